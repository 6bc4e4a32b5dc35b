"""A person approves a job, rejects one, and forgets one, by Airflow's REST API; one DAG run each, side by side."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from tests.real_airflow.conftest import Run
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow


def path_of(run: Run) -> str:
    return f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/label/-1/hitlDetails"


def question(run: Run) -> Any:
    return run.airflow.call("GET", path_of(run))


def answer(run: Run, option: str) -> None:
    run.airflow.call("PATCH", path_of(run), {"chosen_options": [option], "params_input": {}})


def until_parked(run: Run, state: str = "awaiting_input") -> None:
    """Wait for the end of the process that parked the task: Airflow fails a task that an answer resumes before it."""
    run.until("label", state)
    scheduler = run.airflow.home / "scheduler.log"
    of_run = f"run_id={run.run_id}, map_index=-1"

    def has_ended() -> bool:
        lines = scheduler.read_text(errors="replace").splitlines()
        return any(of_run in line and f"state={state}, executor=" in line for line in lines)

    wait_for(has_ended, f"{run.run_id} is not parked")


def is_paying(run: Run) -> bool:
    return bool({"upload_file", "create_batch"} & {call.name for call in run.platform.journal})


def test_a_job_waits_for_a_person_without_a_triggerer_and_does_what_that_person_says(
    prepare: Callable[[str], Run],
) -> None:
    approved, rejected, forgotten = (prepare(dag_id) for dag_id in ("approved", "approved", "approved_in_time"))
    for run in (approved, rejected, forgotten):
        run.launch()
    for run in (approved, rejected):
        until_parked(run)
    with sqlite3.connect(approved.airflow.home / "airflow.db") as database:
        waiting = "select trigger_id from task_instance where state = 'awaiting_input' and dag_id = 'approved'"
        assert database.execute(waiting).fetchall() == [(None,), (None,)]
    assert question(approved)["subject"].endswith(" for 3 rows?")
    assert "````text\n很好，喜欢 ``` <b>bold</b>\n````" in question(approved)["body"]
    assert not is_paying(approved)

    answer(approved, "Approve")
    answer(rejected, "Reject")
    rejected.until("label", "skipped")
    assert not is_paying(rejected)
    assert "Rejected by 'admin'" in rejected.log()
    forgotten.until("label", "failed")
    assert not is_paying(forgotten)
    assert "Nobody answered in approval_timeout" in forgotten.log()
    approved.until("label", "deferred")
    approved.platform.advance(8000)
    approved.until("label", "success")
    assert json.loads((approved.output / "manifest.json").read_text())["counts"]["succeeded"] == 3
    assert approved.calls("create_batch") == 1

    rejected.airflow.clear(rejected.dag_id, rejected.run_id, "label")
    rejected.until("label", "awaiting_input")
    assert question(rejected)["response_received"] is False
    rejected.airflow.mark(rejected.dag_id, rejected.run_id, "label", "failed")
    rejected.until_the_run_is("failed")
    assert not is_paying(rejected)


def test_an_answer_that_comes_while_a_later_try_waits_for_its_batches_does_not_end_that_wait(
    prepare: Callable[[str], Run],
) -> None:
    run = prepare("approved_at_first")
    run.launch()
    until_parked(run)
    run.airflow.clear(run.dag_id, run.run_id, "label")
    until_parked(run, "deferred")
    answer(run, "Reject")
    wait_for(lambda: "answered a question of an earlier try" in run.log(), "the answer has not resumed the task")
    run.until("label", "deferred")
    run.platform.advance(8000)
    run.until("label", "success")
    assert run.calls("create_batch") == 1
