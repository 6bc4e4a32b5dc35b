"""A person logs in to a real Airflow, opens the page of batches, and watches one get done."""

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.ui.app import FILES
from tests.support.real_airflow import PASSWORD, USER, RealAirflow, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

DAGS = Path(__file__).parents[1] / "real_airflow" / "dags"
CHROMIUM = shutil.which("chromium") or "chromium"

#: What a batch of a stranger may hold; the page shows it as text.
HOSTILE: list[dict[str, Any]] = [
    {"id": "<script>window.hacked=1</script>", "status": "<img src=x onerror=window.hacked=1>"},
    {"id": "long_" + "b" * 10_240, "status": "in_progress", "request_counts": None, "metadata": None},
    {
        "id": "batch_of_another",
        "status": "paused by hand",
        "request_counts": {"total": None, "completed": -1, "failed": None},
        "metadata": {
            "kimi_job_key": "j",
            "airflow_dag_id": '"><svg onload=window.hacked=1>',
            "airflow_run_id": "javascript:window.hacked=1",
            "airflow_task_id": "<b>bold</b>",
        },
    },
]


@dataclass(frozen=True)
class Place:
    """A real Airflow whose one connection is in its database, and the platform behind it.

    :param batch_id: Of the batch that a task waits for, an hour old.
    """

    airflow: RealAirflow
    platform: KimiSimulator
    batch_id: str


def fill_the_account(airflow: RealAirflow, platform: KimiSimulator, folder: Path) -> str:
    """Batches in several statuses, of strangers and of a DAG that waits; returns the id of that one."""
    os.environ["AIRFLOW_CONN_KIMI_OUTSIDE"] = json.dumps(
        {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
    )
    hook = KimiHook("kimi_outside")
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "很好"}]}
    lines = [{"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(200)]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    file_id = hook.upload_file(BytesIO(content), "rows.jsonl").id
    done, cancelled = (hook.create_batch(file_id).id for _ in range(2))
    platform.advance(10)
    hook.cancel_batch(cancelled)
    platform.advance(8000)
    assert platform.status(done) == "completed"
    del os.environ["AIRFLOW_CONN_KIMI_OUTSIDE"]
    for shape in HOSTILE:
        platform.add_odd_batch(shape)
    before = set(platform.batches)
    run = {"conn": "kimi_default", "output": str(folder / "result")}
    airflow.run_dag("assets", "manual__2026-01-01T00:00:00+00:00", run)
    (batch_id,) = wait_for(lambda: set(platform.batches) - before, "no batch was created")
    return batch_id


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "home").mkdir()
    (folder / "dags").mkdir()
    shutil.copy(DAGS / "assets.py", folder / "dags")
    with (
        KimiSimulator(timing=Timing(1, 7200, 1)) as platform,
        RealAirflow(folder / "home", folder / "dags", {}) as airflow,
    ):
        fields = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
        extra = json.dumps({"requests_per_minute": 600})
        airflow.call("POST", "/api/v2/connections", {"connection_id": "kimi_default", "extra": extra, **fields})
        batch_id = fill_the_account(airflow, platform, folder)
        platform.advance(3600)
        yield Place(airflow, platform, batch_id)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield started
        started.close()


def logged_in(browser: Any, airflow: RealAirflow, **options: Any) -> Any:
    """Log in as a person does; returns the open page."""
    page = browser.new_context(**options).new_page()
    page.goto(airflow.url)
    page.fill('input[name="username"]', USER)
    page.fill('input[name="password"]', PASSWORD)
    page.click('button[type="submit"]')
    page.wait_for_url(lambda url: "/auth/" not in url and "login" not in url)
    return page


def opened_from_the_menu(page: Any) -> Any:
    """Open the page of batches as a person does; returns the frame."""
    page.get_by_text("Browse", exact=True).click()
    page.get_by_role("menuitem", name="Kimi batches").click()
    page.wait_for_url("**/plugin/kimi-batches/**")
    return page.frame_locator("iframe")


def narrow_down(frame: Any) -> None:
    """Search, then choose a status; each leaves one batch."""
    assert frame.locator("tbody tr").count() == 6
    frame.locator("#search").fill("assets label")
    assert frame.locator("tbody tr").count() == 1
    frame.locator("#search").fill("")
    frame.locator("#status").select_option("cancelled")
    assert frame.locator("tbody tr").count() == 1
    frame.locator("#status").select_option("")


def test_a_person_watches_a_batch_get_done_and_follows_it_to_its_task(
    place: Place, browser: Any, tmp_path: Path
) -> None:
    shots = Path(os.environ.get("SCREENSHOTS", str(tmp_path)))
    page = logged_in(browser, place.airflow, viewport={"width": 1400, "height": 800}, color_scheme="light")
    hosts, errors = set(), []
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.on("pageerror", lambda error: errors.append(str(error)))
    frame = opened_from_the_menu(page)
    row = frame.locator("tr", has_text=place.batch_id)
    row.wait_for()
    assert row.locator(".badge").inner_text() == "in progress"
    assert "1 of 2 done" in row.inner_text()
    statuses = set(frame.locator(".badge").all_inner_texts())
    assert {"in progress", "completed", "cancelled", "paused by hand"} <= statuses
    page.screenshot(path=shots / "light.png")
    narrow_down(frame)

    place.platform.advance(8000)
    row.locator(".badge.completed").wait_for(timeout=60_000)
    assert "2 of 2 done" in row.inner_text()
    page.evaluate("document.documentElement.className = 'dark'")
    frame.locator("html.dark").wait_for()
    page.screenshot(path=shots / "dark_in_airflow.png")
    assert [shown.evaluate("window.hacked") for shown in page.frames] == [None, None]

    row.locator("a").click()
    page.wait_for_url("**/dags/assets/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/label**")
    page.get_by_text("KimiBatchOperator").first.wait_for()
    page.screenshot(path=shots / "task.png")
    page.go_back()
    row.wait_for()
    assert hosts == {place.airflow.url.removeprefix("http://")}
    assert errors == []


LOOKS: dict[str, dict[str, Any]] = {
    "dark": {"color_scheme": "dark", "viewport": {"width": 1400, "height": 800}},
    "tablet": {"viewport": {"width": 1024, "height": 768}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "chinese": {"locale": "zh-CN", "viewport": {"width": 1400, "height": 800}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_takes_the_theme_the_width_and_the_language(
    place: Place, browser: Any, tmp_path: Path, look: str
) -> None:
    page = logged_in(browser, place.airflow, **LOOKS[look])
    page.goto(f"{place.airflow.url}/kimi/")
    page.locator("tbody tr").first.wait_for()
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", str(tmp_path))) / f"{look}.png")
    width = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(width), "the page is wider than the window"
    assert page.evaluate("document.documentElement.classList.contains('dark')") is (look == "dark")
    assert page.title() == ("Kimi 批处理" if look == "chinese" else "Kimi batches")


def test_whoever_is_not_logged_in_gets_no_route(place: Place) -> None:
    for path in (*FILES, "/batches", "/batches?conn_id=kimi_default"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{place.airflow.url}/kimi{path}", timeout=60)
        assert refused.value.code == 401, path
        refused.value.close()
    for path in ("/docs", "/redoc", "/openapi.json"):
        with pytest.raises(urllib.error.HTTPError) as absent:
            urllib.request.urlopen(f"{place.airflow.url}/kimi{path}", timeout=60)
        assert absent.value.code == 404, path
        absent.value.close()
