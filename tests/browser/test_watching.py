"""A person logs in, opens the page of batches from the menu, watches one get done, and follows it to its task."""

from typing import Any

import pytest

from tests.browser.conftest import People, Place, enter, log_in
from tests.support.real_airflow import USER, wait_for

RUN_ID = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def watched(place: Place, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The batch that a task waits for, half done."""
    platform = place.platforms["kimi_watched"]
    conf = {"conn": "kimi_watched", "output": str(tmp_path_factory.mktemp("watched") / "result")}
    place.airflow.run_dag("assets", RUN_ID, conf)
    wait_for(lambda: platform.batches, "no batch was created")
    platform.advance(3601)
    (batch_id,) = platform.batches
    return batch_id


@pytest.fixture
def window(browser: Any, people: People) -> Any:
    """A browser in which nobody is logged in yet."""
    return browser.new_context(viewport={"width": 1400, "height": 800}, color_scheme="light").new_page()


def opened_from_the_menu(page: Any) -> Any:
    """Open the page of batches as a person does; returns the frame."""
    page.get_by_text("Browse", exact=True).click()
    page.get_by_role("menuitem", name="Kimi batches").click()
    page.wait_for_url("**/plugin/kimi-batches/**")
    return page.frame_locator("iframe")


def test_a_person_watches_a_batch_get_done_and_follows_it_to_its_task_and_back(
    place: Place, people: People, window: Any, watched: str
) -> None:
    hosts, errors, loads = set(), [], []
    window.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    window.on("pageerror", lambda error: errors.append(str(error)))
    log_in(window, place.airflow, USER)
    frame = opened_from_the_menu(window)
    enter(frame, "kimi_watched")
    row = frame.locator("tr", has_text=watched)
    row.locator(".badge.in_progress").wait_for()
    assert "1 of 2 done" in row.inner_text()
    people.keep(window, "watched")

    window.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    place.platforms["kimi_watched"].advance(8000)
    row.locator(".badge.completed").wait_for(timeout=60_000)
    assert "2 of 2 done" in row.inner_text()
    assert loads == [], "the page was loaded again"

    row.get_by_role("link", name="assets › label").click()
    window.wait_for_url(f"**/dags/assets/runs/{RUN_ID.replace(':', '%3A').replace('+', '%2B')}/tasks/label**")
    window.get_by_text("KimiBatchOperator").first.wait_for()
    people.keep(window, "task")
    window.go_back()
    row.wait_for()
    assert hosts == {place.airflow.url.removeprefix("http://")}
    assert errors == []


def test_the_page_takes_the_theme_that_is_chosen_in_airflow(place: Place, people: People) -> None:
    window = people.window(viewport={"width": 1400, "height": 800}, color_scheme="light")
    window.goto(f"{place.airflow.url}/plugin/kimi-batches/")
    frame = window.frame_locator("iframe")
    frame.locator("tbody tr").first.wait_for()
    window.evaluate("document.documentElement.className = 'dark'")
    frame.locator("html.dark").wait_for()
    people.keep(window, "dark_in_airflow")
    inside, around = (window.screenshot(clip={"x": x, "y": 400, "width": 1, "height": 1}) for x in (1396 - 8, 1399))
    assert inside == around, "the page has another background than Airflow around it"
