"""The tab of a task instance, and the links that lead to it: deferred, failed, mapped, landed and of others."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.browser.conftest import LANDED, People, Place, complaints
from tests.browser.test_strange import assert_nothing_runs
from tests.support.real_airflow import wait_for

RUN = "manual__2026-02-02T00:00:00+00:00"
VIEW = {"width": 1400, "height": 1100}
SAMPLE = Path(__file__).parents[1] / "records" / "samples" / "manifest.jsonl"

SCRIPT = "<script>window.hacked=1</script>"
IMAGE = "<img src=x onerror=window.hacked=1>"

#: What somebody may put into an XCom.
HOSTILE: dict[str, Any] = {
    "return_value": json.loads(SAMPLE.read_text().splitlines()[-1])
    | {
        "model": SCRIPT,
        "batch_ids": [IMAGE, "batch_of_yore", "b" * 9000],
        "counts": {"total": 10**30, "succeeded": -1, "failed": "<b>1</b>"},
        "cost": {"amount": 12.5, "currency": "<svg onload=window.hacked=1>"},
        "completed_at": "<b>now</b>",
        "results_file": "javascript:window.hacked=1//results.jsonl",
        "dead_letter_file": "../../../etc/passwd",
        "failures": [
            {
                "status": "__proto__",
                "reason": "<img src=x onerror=window.hacked=1>",
                "count": 10**30,
                "sample": ["<b>id</b>"],
            }
        ],
    },
    "progress": {"statuses": {SCRIPT: 1}, "total": 3, "polled_at": "0001-01-01T00:00:00"},
}


@pytest.fixture(scope="module")
def run(place: Place, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of each DAG: the labels are half done, an unknown batch has failed, and the mapped ones are created."""
    platform, airflow = place.platforms["kimi_tab"], place.airflow
    conf = {"conn": "kimi_tab", "output": str(tmp_path_factory.mktemp("tab") / "result")}
    airflow.run_dag("tab", RUN, conf)
    wait_for(lambda: airflow.task_states("tab", RUN).get("label") == "deferred", "not deferred")
    platform.advance(3601)
    airflow.run_dag("links", RUN, conf | {"output": conf["output"] + "2"})
    wait_for(lambda: airflow.task_states("links", RUN).get("fails") == "failed", "not failed")
    wait_for(lambda: airflow.mapped_states("links", RUN, "mapped") == ["success"] * 2, "not created")
    wait_for(lambda: (airflow.xcom("tab", RUN, "label", "progress") or {}).get("completed"), "no progress")
    return conf["output"]


def task_page(place: Place, dag_id: str, task: str, run_id: str = RUN) -> str:
    return f"{place.airflow.url}/dags/{dag_id}/runs/{quote(run_id)}/tasks/{task}"


def opened_tab(page: Any, place: Place, dag_id: str, task: str, run_id: str = RUN) -> Any:
    """Open the tab as a person does; returns the frame."""
    page.goto(task_page(place, dag_id, task, run_id))
    page.get_by_role("link", name="Kimi batch", exact=True).click()
    page.wait_for_url("**/plugin/kimi-batch")
    frame = page.frame_locator("iframe")
    frame.locator("#task :is([data-part='facts'] div, [data-part='other']:not([hidden]))").first.wait_for()
    return frame


def test_a_deferred_task_shows_its_batch_its_progress_and_what_acts_do(place: Place, people: People, run: str) -> None:
    page = people.window(viewport=VIEW, color_scheme="light")
    frame = opened_tab(page, place, "tab", "label")
    frame.locator("#task tbody tr .badge.in_progress").wait_for()
    told = place.airflow.xcom("tab", RUN, "label", "progress")
    progress = frame.locator("#task [data-part='progress']").inner_text()
    assert f"{told['completed']} of {told['total']} done, {told['failed']} failed" in progress
    assert "ago" in progress.split("Last poll of the task")[1]
    row = frame.locator("#task tbody tr").inner_text()
    assert f"{told['completed']} of {told['total']} done" in row
    outcomes = frame.locator("#task [data-part='outcomes']").inner_text()
    assert "Goes on with this batch" in outcomes
    assert "Cancels this batch" in outcomes
    people.keep(page, "tab_deferred")
    frame.locator("#task tbody tr a").first.click()
    frame.locator("#batch h1", has_text=told and next(iter(place.platforms["kimi_tab"].batches))).wait_for()


@pytest.mark.parametrize(
    ("dag_id", "task", "has"),
    [
        ("tab", "label", ("Kimi batch", "Kimi console", "Results")),
        ("links", "fails", ("Kimi batch", "Kimi console", "Results")),
        ("links", "mapped/mapped/1", ("Kimi batch", "Kimi console")),
    ],
)
def test_the_links_are_there_and_lead_to_the_batch_and_to_the_tab(
    place: Place, people: People, run: str, dag_id: str, task: str, has: tuple[str, ...]
) -> None:
    page = people.window(viewport=VIEW)
    page.goto(f"{task_page(place, dag_id, task)}/details")
    for name in has:
        page.get_by_role("link", name=name, exact=True).last.wait_for()
    people.keep(page, f"tab_links_{task.replace('/', '_')}")
    batch, tab = (page.get_by_role("link", name=name, exact=True) for name in ("Kimi batch", "Results"))
    if "Results" in has:
        assert unquote(tab.get_attribute("href")).endswith(f"/runs/{RUN}/tasks/{task}/plugin/kimi-batch")
    batch.last.click()
    page.frame_locator("iframe").locator("#batch h1").wait_for()
    assert "conn_id=kimi_tab" in page.url
    people.keep(page, f"tab_batch_of_{task.replace('/', '_')}")


def test_a_failed_and_a_mapped_task_have_the_tab(place: Place, people: People, run: str) -> None:
    page = people.window(viewport=VIEW, color_scheme="dark")
    frame = opened_tab(page, place, "links", "fails")
    frame.locator("#task tbody tr", has_text="batch-unknown").locator(".badge.unknown").wait_for()
    assert "batch-unknown" in frame.locator("#task tbody").inner_text()
    assert "failed" in frame.locator("#task [data-part='facts']").inner_text()
    people.keep(page, "tab_failed")
    frame = opened_tab(page, place, "links", "mapped/mapped/1")
    frame.locator("#task tbody tr").wait_for()
    assert "links › mapped [1]" in frame.locator("#task [data-part='facts']").inner_text()
    people.keep(page, "tab_mapped")


def test_a_task_of_another_operator_says_so(place: Place, people: People, run: str) -> None:
    page = people.window(viewport=VIEW)
    frame = opened_tab(page, place, "tab", "other")
    assert frame.locator("#task").inner_text().count("uses no operator of the Kimi provider") == 1
    people.keep(page, "tab_other")


def test_whatever_an_xcom_holds_is_text(place: Place, people: People, run: str) -> None:
    entries = f"/api/v2/dags/links/dagRuns/{quote(RUN)}/taskInstances/fails/xcomEntries"
    for key, value in HOSTILE.items():
        place.airflow.call("POST", entries, {"key": key, "value": value, "map_index": -1})
    page = people.window(viewport=VIEW)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    asked = f"dag_id=links&run_id={quote(RUN)}&task_id=fails&map_index=%7BMAP_INDEX%7D"
    page.goto(f"{place.airflow.url}/kimi/?{asked}")
    page.locator("#task [data-part='result'] dl").first.wait_for()
    shown = page.locator("#task").inner_text()
    for text in (
        "<svg onload=window.hacked=1>",
        "<b>id</b>",
        "../../../etc/passwd",
        "<script>window.hacked=1</script>",
    ):
        assert text in shown, text
    assert_nothing_runs(page)
    assert errors == []
    people.keep(page, "tab_hostile")


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": VIEW, "color_scheme": "light"},
    "phone_dark": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "color_scheme": "dark"},
    "chinese": {"viewport": VIEW, "locale": "zh-CN"},
}


def test_a_landed_result_shows_counts_files_and_how_to_ask_the_rest(place: Place, people: People, landed: str) -> None:
    faults = {}
    for look, options in LOOKS.items():
        page = people.window(**options)
        page.goto(f"{place.airflow.url}/kimi/?dag_id=tab&run_id={quote(LANDED)}&task_id=label&map_index=")
        page.locator("#task pre").wait_for()
        faults[look] = complaints(page)
        page.locator("#task [data-part='result'] h2").first.scroll_into_view_if_needed()
        people.keep(page, f"tab_landed_{look}")
    assert faults == dict.fromkeys(LOOKS, "")
    page = people.window(**LOOKS["light"])
    frame = opened_tab(page, place, "tab", "label", LANDED)
    result = frame.locator("#task [data-part='result']")
    result.locator("pre").wait_for()
    shown = result.inner_text()
    assert "18 succeeded, 2 filtered" in shown
    assert f"{landed}/results.jsonl" in shown
    assert "content_filter" in shown
    conf = json.loads(result.locator("pre").inner_text())
    assert conf["dead_letters"].endswith("/dead_letter.jsonl")
    result.get_by_role("button").click()
    result.get_by_role("status").filter(has_text="cop").or_(result.get_by_text("Copied.")).wait_for()
    people.keep(page, "tab_landed")
