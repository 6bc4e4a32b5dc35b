"""What the page shows of one batch in full, whoever made it."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.api.replies import read_reply
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.ui.detail_view import ACTS, OUTCOMES, detail_of, outcomes_of, times_of
from tests.support.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch
from tests.ui.test_batch_view import HOSTILE

NOW = 1_757_000_000

OURS = Tags.of_task(TaskIdentity("tasks", "manual__1", "mapped", 3), job_key="j").to_metadata({"team": "reviews"})


def test_the_time_line_has_each_status_with_its_time_and_how_long_it_lasted() -> None:
    times: dict[str, Any] = {"created_at": NOW - 700, "in_progress_at": NOW - 600, "cancelling_at": NOW - 100}
    shown = times_of(make_batch("cancelling", **times), NOW)
    assert [(each["status"], each["seconds"]) for each in shown] == [
        ("created", 100),
        ("in_progress", 500),
        ("cancelling", 100),
    ]
    assert shown[0]["at"] == "2025-09-04T15:21:40+00:00"
    ended = times_of(make_batch("cancelled", **times, cancelled_at=NOW - 50), NOW)
    assert [(each["status"], each["seconds"]) for each in ended[2:]] == [("cancelling", 50), ("cancelled", None)]


def test_a_batch_expires_or_has_ended() -> None:
    running = detail_of(make_batch(created_at=NOW, expires_at=NOW + 60), NOW, may_edit=True)
    assert running["expires_at"] == "2025-09-04T15:34:20+00:00"
    expired = detail_of(make_batch("expired", created_at=NOW - 60, expires_at=NOW), NOW, may_edit=True)
    assert expired["expires_at"] is None
    assert [each["status"] for each in expired["times"]] == ["created", "expired"]


def test_times_that_no_calendar_has_are_left_out() -> None:
    assert times_of(make_batch(created_at=10**17, in_progress_at=NOW), NOW) == [
        {"status": "in_progress", "at": "2025-09-04T15:33:20+00:00", "seconds": 0}
    ]


@pytest.mark.parametrize("status", [*ACTIVE, *TERMINAL, *UNKNOWN])
def test_each_status_says_what_each_act_does(status: str) -> None:
    for metadata in (OURS, {}):
        for counts in (RequestCounts(10, 4), None):
            outcomes = outcomes_of(make_batch(status, metadata=metadata, request_counts=counts))
            assert [*outcomes][:4] == [*ACTS][:4]
            assert set(outcomes.values()) <= OUTCOMES


@pytest.mark.parametrize(
    ("status", "act", "word"),
    [
        ("in_progress", "cancel", "cancel_running"),
        ("in_progress", "mark_failed", "mark_failed_cancels"),
        ("in_progress", "mark_success", "mark_success_goes_on"),
        ("paused", "cancel", "cancel_running"),
        ("finalizing", "cancel", "cancel_finalizing"),
        ("finalizing", "mark_failed", "mark_failed_keeps"),
        ("cancelling", "clear", "clear_cancelling"),
        ("completed", "clear", "clear_lands"),
        ("expired", "clear", "clear_rest"),
        ("cancelled", "clear", "clear_rest"),
        ("failed", "clear", "clear_failed"),
        ("completed", "cancel", "cancel_ended"),
    ],
)
def test_what_an_act_does_follows_from_how_the_batch_stands(status: str, act: str, word: str) -> None:
    assert outcomes_of(make_batch(status, metadata=OURS, request_counts=RequestCounts(10, 4)))[act] == word


def test_a_batch_without_counts_and_one_of_a_stranger_are_told_apart() -> None:
    outcomes = outcomes_of(make_batch("validating", metadata={"team": "x"}))
    assert (outcomes["clear"], outcomes["cancel"]) == ("clear_stranger", "cancel_uncounted")


@pytest.mark.parametrize("status", [*ACTIVE, *TERMINAL, *UNKNOWN])
def test_a_cancel_is_offered_to_those_who_may_and_where_it_helps(status: str) -> None:
    batch = make_batch(status)
    assert detail_of(batch, NOW, may_edit=False)["may_cancel"] is False
    assert detail_of(batch, NOW, may_edit=True)["may_cancel"] is (status not in (*TERMINAL, "finalizing", "cancelling"))


def test_a_batch_leads_to_its_run_too_whatever_its_names_are() -> None:
    shown = detail_of(make_batch(metadata=OURS), NOW, may_edit=True)
    assert shown["task_path"] == "dags/tasks/runs/manual__1/tasks/mapped/mapped/3"
    assert shown["run_path"] == "dags/tasks/runs/manual__1"
    assert detail_of(make_batch(), NOW, may_edit=True)["run_path"] is None


def test_metadata_is_shown_as_short_text_without_the_note_that_holds_the_prompt() -> None:
    metadata: dict[str, Any] = {
        **OURS,
        "kimi_recipe": "eJx",
        "kimi_recipe_2": "eJx",
        "n": 1,
        "x": "y" * 9999,
        "k" * 99: "v",
    }
    shown = dict(detail_of(make_batch(metadata=metadata), NOW, may_edit=True)["metadata"])
    assert shown["team"] == "reviews"
    assert {"kimi_recipe", "kimi_recipe_2", "n"}.isdisjoint(shown)
    assert len(shown["x"]) == 512
    assert max(map(len, shown)) == 64


@pytest.mark.parametrize("sent", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_batch_holds_its_detail_is_short_plain_json(sent: dict[str, Any]) -> None:
    odd = {"input_file_id": "<script>" * 999, "expires_at": -(10**18), "completion_window": "w" * 9999}
    detail = detail_of(read_reply(json.dumps(sent | odd).encode(), Batch), NOW, may_edit=True)
    assert len(json.dumps(detail, ensure_ascii=False, allow_nan=False).encode()) < 40_000
