"""A person opens one batch from the list, reads what it is, cancels it, and goes back."""

import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.browser.accounts import STRANGE
from tests.browser.conftest import People, Place, complaints, enter
from tests.browser.test_looks import LOOKS
from tests.browser.test_strange import assert_nothing_runs
from tests.support.real_airflow import USER, VIEWER

CONN_ID = "kimi_detail"

IS_TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def open_first(page: Any, status: str, words: str = "reviews") -> Any:
    """Open the first batch in a status, as a person does."""
    page.locator("#search").fill(words)
    page.locator("#status").select_option(status)
    page.locator("tbody tr a").first.click()
    page.locator("#batch .badge").wait_for()
    return page.locator("#batch")


def test_a_person_opens_a_batch_cancels_it_and_goes_back(place: Place, people: People) -> None:
    page = people.batches(CONN_ID, viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    batch = open_first(page, "in_progress")
    batch_id = batch.locator("[data-part=id]").inner_text()
    assert page.evaluate("document.activeElement.dataset.part") == "title"
    for words in ("Time line", "reviews › label", "kimi-k2.6", "24h", "What happens, and what it costs", "reviews-"):
        assert words in batch.inner_text()

    platform = place.platforms[CONN_ID]
    batch.get_by_role("button", name="Cancel this batch").click()
    dialog = page.get_by_role("dialog", name="Cancel this batch?")
    assert re.search(r"Done and billed: \d+ of 40 rows", dialog.inner_text())
    assert "mark it failed instead" in dialog.inner_text()
    assert page.evaluate("document.activeElement.dataset.part") == "keep"
    for _ in range(4):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert platform.status(batch_id) == "in_progress"

    batch.get_by_role("button", name="Cancel this batch").click()
    dialog.get_by_role("button", name="Cancel the batch").click()
    batch.locator(".badge.cancelling").wait_for()
    dialog.wait_for(state="hidden")
    assert platform.status(batch_id) == "cancelling"
    assert batch.get_by_role("button", name="Cancel this batch").is_hidden()
    people.keep(page, "detail_cancelled")
    batch.get_by_role("link", name="All batches").click()
    assert page.locator("#search").input_value() == "reviews", "the list is as it was left"
    page.locator("#status").select_option("")
    page.locator("#search").fill(batch_id)
    page.locator("tbody tr", has_text=batch_id).locator(".badge.cancelling").wait_for()
    page.go_back()
    assert batch.locator("[data-part=id]").inner_text() == batch_id
    assert errors == []
    with closing(
        sqlite3.connect(place.airflow.home / "airflow.db")
    ) as database:  # Airflow shows no entry of an unknown DAG
        logged = database.execute("select owner, dag_id, extra from log where event = 'kimi_cancel_batch'").fetchall()
    assert (USER, "reviews", batch_id) in [(owner, dag, json.loads(extra)["batch_id"]) for owner, dag, extra in logged]


def test_a_viewer_sees_a_batch_and_is_refused_its_cancel(place: Place, people: People) -> None:
    page = people.batches(CONN_ID, user=VIEWER)
    batch = open_first(page, "validating")
    batch_id = batch.locator("[data-part=id]").inner_text()
    assert batch.get_by_role("button", name="Cancel this batch").is_hidden()
    sent = "fetch(`batches/${id}/cancel?conn_id=kimi_detail`, {method: 'POST', headers: {'X-Requested-With': 'x'}})"
    assert page.evaluate(f"(id) => {sent}.then((reply) => reply.status)", batch_id) == 403
    assert place.platforms[CONN_ID].status(batch_id) == "validating"


def test_a_cancel_that_fails_says_so_in_the_dialog(place: Place, people: People) -> None:
    page = people.batches(CONN_ID)
    open_first(page, "in_progress", "news")
    place.platforms[CONN_ID].inject("cancel_batch", status=503)
    page.locator("[data-part=open]").click()
    page.locator("[data-part=confirm]").click()
    refusal = page.locator("[data-part=refusal]")
    refusal.wait_for()
    assert "HTTP 503" in refusal.inner_text()


def test_the_view_of_a_batch_has_an_address_in_airflow_and_leads_to_its_run_and_back(
    place: Place, people: People
) -> None:
    page = people.window(viewport={"width": 1280, "height": 900})
    page.goto(f"{place.airflow.url}/plugin/kimi-batches/")
    frame = page.frame_locator("iframe")
    enter(frame, CONN_ID)
    batch = open_first(frame, "in_progress", "news")
    batch_id = batch.locator("[data-part=id]").inner_text()
    page.wait_for_url(f"**/plugin/kimi-batches/**batch={batch_id}**")
    page.reload()
    batch.locator(".badge.in_progress").wait_for()
    assert batch.locator("[data-part=id]").inner_text() == batch_id
    people.keep(page, "detail_in_airflow")
    batch.get_by_role("button", name="Cancel this batch").click()
    frame.get_by_role("button", name="Cancel the batch").click()
    batch.locator(".badge.cancelling").wait_for()
    batch.locator("a", has_text="scheduled__").click()
    page.wait_for_url("**/dags/news/runs/scheduled__**")
    page.go_back()
    batch.locator(".badge.cancelling").wait_for()


def test_an_id_that_no_batch_has_is_told_in_words(place: Place, people: People) -> None:
    page = people.window()
    page.goto(f"{place.airflow.url}/kimi/?batch=batch_absent&conn_id={CONN_ID}")
    page.locator("#batch [role=alert]", has_text="There is no batch 'batch_absent' that you may see").wait_for()
    assert page.locator("#batch .badge").is_hidden()


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_what_a_stranger_wrote_is_text_there_too(people: People, number: int) -> None:
    page = people.batches("kimi_strange")
    page.locator("tbody tr").nth(number).wait_for()
    page.locator("tbody tr").nth(number).locator("a").first.click()
    page.locator("#batch .badge").wait_for(state="attached")
    page.locator("#batch dd").first.wait_for()
    assert page.evaluate("[window.hacked, top.hacked]") == [None, None]
    assert page.locator("#batch :is(script, img, svg, iframe, b)").count() == 0
    assert_nothing_runs(page)


@pytest.mark.parametrize("look", LOOKS)
def test_everybody_can_use_the_view_and_its_dialog_in_each_look(people: People, look: str) -> None:
    page = people.batches(CONN_ID, **LOOKS[look])
    open_first(page, "in_progress", "tickets")
    people.keep(page, f"detail_{look}")
    assert (complaints(page), page.evaluate(IS_TOO_WIDE)) == ("", False)
    page.locator("[data-part=open]").click()
    people.keep(page, f"detail_{look}_dialog")
    assert (complaints(page), page.evaluate(IS_TOO_WIDE)) == ("", False)
