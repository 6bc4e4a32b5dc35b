"""What comes late is landed in the end: a file id, the end of a batch, the batch itself. Until then all is kept."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.account.delete import delete_landed
from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.results.batch_files import READ_PAUSES_SECONDS
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, RowError
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.tasks.landing import LandingTask
from tests.conftest import Connect
from tests.support.landing import Landed
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, spoiling, submit, submit_prompts

#: Longer than a landing waits for a file.
TOO_LATE = sum(READ_PAUSES_SECONDS) + 60


def land(sim: KimiSimulator, hook: KimiHook, folder: Path, ids: list[str], *, delete: bool = True) -> Landed:
    """Land on a platform whose clock is moved by the pauses, then delete what is landed."""
    log = LogRecord()
    calls = Calls(hook, log, sim.advance)
    collected = collect(calls, Landing(ids, str(folder), may_replace=not delete))
    if delete:
        delete_landed(calls, collected)
    return Landed(folder, collected, log)


def kept(hook: KimiHook) -> set[str]:
    return {file.id for file in hook.list_files()}


def two_batches(sim: KimiSimulator, hook: KimiHook) -> list[str]:
    """Two batches of two rows, of which the second one ends later."""
    first = submit_prompts(hook, 2).batch_ids
    sim.advance(200)
    second = submit(hook, order(["one", "two"]), Attempt(replace(TASK, task_id="second")), LogRecord()).batch_ids
    while sim.status(second[0]) != "completed":
        sim.advance(1)
    return first + second


def test_an_output_file_that_comes_30_seconds_late_is_landed(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(late_file_seconds=30)) as sim:
        hook = connect(sim)
        landed = land(sim, hook, tmp_path, two_batches(sim, hook))
        assert kept(hook) == set(), "now that all is landed"
    assert landed.manifest["status"] == "completed"
    assert landed.statuses == {"succeeded": 4}


def test_what_there_is_is_landed_without_a_file_that_comes_too_late_and_nothing_is_deleted(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(late_file_seconds=TOO_LATE)) as sim:
        hook = connect(sim)
        ids = two_batches(sim, hook)
        before = kept(hook)
        first = land(sim, hook, tmp_path, ids)
        assert (first.manifest["status"], first.statuses) == ("partial", {"succeeded": 2, "missing": 2})
        assert kept(hook) >= before
        said = str(first.log.warnings)
        assert f"counts 2 completed and 0 failed of 2 rows, but names no output file yet, of batch {ids[1]}" in said
        assert "clear this task later" in said
        sim.advance(TOO_LATE)
        assert land(sim, hook, tmp_path, ids).statuses == {"succeeded": 4}
        assert kept(hook) == set()


def test_an_error_file_that_comes_too_late_keeps_the_files_too(connect: Connect, tmp_path: Path) -> None:
    spoilt = spoiling({"row-00000002": RowError("server_error", "it broke")})
    with KimiSimulator(speed=0, responder=spoilt) as sim:
        hook = connect(sim)
        ids = submit_prompts(hook, 3).batch_ids
        sim.advance(60)
        assert sim.status(ids[0]) == "completed"
        batch = sim.batches[ids[0]]
        late, batch.error_file_id = batch.error_file_id, None
        before = kept(hook)
        first = land(sim, hook, tmp_path, ids)
        assert first.statuses == {"succeeded": 2, "missing": 1}
        assert kept(hook) == before
        batch.error_file_id = late
        assert land(sim, hook, tmp_path, ids).statuses == {"succeeded": 2, "failed": 1}
        assert kept(hook) == set()


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_the_answers_of_a_batch_that_ended_early_are_waited_for_too(
    connect: Connect, tmp_path: Path, end: str, counted: bool
) -> None:
    behaviour = Behaviour(late_file_seconds=30, null_request_counts=not counted)
    with KimiSimulator(speed=0, behaviour=behaviour) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 10).batch_ids
        sim.advance(13)
        if end == "cancelled":
            hook.cancel_batch(batch_id)
        else:
            sim.batches[batch_id].expires_at = sim.now()
        while sim.status(batch_id) != end:
            sim.advance(1)
        assert land(sim, hook, tmp_path, [batch_id]).statuses == {"succeeded": 5, end: 5}


def test_an_earlier_result_is_not_taken_for_whole_when_a_file_that_it_lacks_has_come_and_another_is_gone(
    connect: Connect, tmp_path: Path
) -> None:
    """The answers that it lacks are on the platform only."""
    with KimiSimulator(speed=0, behaviour=Behaviour(late_file_seconds=TOO_LATE)) as sim:
        hook = connect(sim)
        ids = two_batches(sim, hook)
        first = land(sim, hook, tmp_path, ids)
        assert first.statuses == {"succeeded": 2, "missing": 2}
        sim.advance(TOO_LATE)
        hook.delete_file(str(sim.batches[ids[0]].input_file_id))
        before = kept(hook)
        again = land(sim, hook, tmp_path, ids)
        assert again.manifest == first.manifest
        assert kept(hook) == before
        assert sim.batches[ids[1]].output_file_id in before
        elsewhere = land(sim, hook, tmp_path / "elsewhere", ids, delete=False)
    assert elsewhere.manifest["counts"]["succeeded"] == 4


def test_rows_whose_answers_are_still_to_come_fail_a_task_that_is_tried_again(connect: Connect, tmp_path: Path) -> None:
    """Without one usable answer the task fails, but not for good."""
    with KimiSimulator(speed=0, behaviour=Behaviour(late_file_seconds=TOO_LATE)) as sim:
        hook = connect(sim)
        ids = submit_prompts(hook, 2).batch_ids
        while sim.status(ids[0]) != "completed":
            sim.advance(1)
        landed = land(sim, hook, tmp_path, ids)
        operator = KimiBatchResultsOperator(task_id="results", batch_id=ids, output=str(tmp_path))
        with pytest.raises(KimiBatchError, match="no row has a usable answer.*names no output file yet") as caught:
            LandingTask(operator, {}).judge(landed.collected)
    assert caught.value.retryable


class TestABatchThatIsReadAsItWasAMomentAgo:
    def test_a_batch_that_is_read_as_finalizing_after_its_end_is_landed(self, connect: Connect, tmp_path: Path) -> None:
        """The wait has seen `completed`, and another copy of the data answers the results."""
        with KimiSimulator(speed=0, behaviour=Behaviour(stale_read_seconds=20)) as sim:
            hook = connect(sim)
            ids = submit_prompts(hook, 2).batch_ids
            while sim.status(ids[0]) != "completed":
                sim.advance(1)
            assert hook.get_batch(ids[0]).status in ("finalizing", "in_progress", "validating")
            assert land(sim, hook, tmp_path, ids).statuses == {"succeeded": 2}

    def test_a_batch_that_is_unknown_for_a_moment_is_landed(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path
    ) -> None:
        ids = submit_prompts(hook, 2).batch_ids
        sim.advance(60)
        sim.inject("get_batch", status=404, error_type="resource_not_found_error", times=3)
        assert land(sim, hook, tmp_path, ids).statuses == {"succeeded": 2}

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            pytest.param({}, "is still validating.*goes on and is billed.*clear this task later", id="still running"),
            pytest.param({"status": 404}, "Nothing was landed, and nothing is lost", id="unknown"),
            pytest.param({"status": 401}, "Nothing was landed, and nothing is lost", id="key refused"),
        ],
    )
    def test_what_does_not_pass_within_a_minute_is_left_to_the_retries_of_the_task(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path, fault: dict[str, Any], says: str
    ) -> None:
        ids = submit_prompts(hook, 2).batch_ids
        if fault:
            sim.inject("get_batch", times=None, **fault)
        paused: list[float] = []
        calls = Calls(hook, LogRecord(), paused.append)
        with pytest.raises((KimiApiError, KimiBatchError), match=says) as caught, airflow_errors(None):
            collect(calls, Landing(ids, str(tmp_path)))
        assert not isinstance(caught.value, AirflowFailException)
        assert sum(paused) == sum(READ_PAUSES_SECONDS)


def test_batches_that_did_not_end_yet_are_waited_for_together(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """A minute for all of them, not for each."""
    ids = submit(hook, order(["a", "b", "c"], max_rows_per_batch=1), ATTEMPT, LogRecord()).batch_ids
    paused: list[float] = []
    with pytest.raises(KimiBatchError):
        collect(Calls(hook, LogRecord(), paused.append), Landing(ids, str(tmp_path)))
    assert sum(paused) == sum(READ_PAUSES_SECONDS)


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_the_landing_of_a_batch_that_ended_early_says_how_to_ask_only_the_rest(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, end: str
) -> None:
    (batch_id,) = submit_prompts(hook, 10).batch_ids
    sim.advance(13)
    if end == "cancelled":
        hook.cancel_batch(batch_id)
    else:
        sim.batches[batch_id].expires_at = sim.now()
    sim.advance(60)
    landed = land(sim, hook, tmp_path, [batch_id], delete=False)
    letters = json.loads((tmp_path / "manifest.json").read_text())["dead_letter_file"]
    said = str(landed.log.warnings)
    assert f"5 {end} rows were not done when their batch ended; those that were done are landed and billed" in said
    assert "To ask only the rest, clear the task that created the batches and those behind it, or" in said
    assert f"They are in {letters}." in said
    again = submit(hook, order(letters), ATTEMPT, LogRecord())
    assert again.request_count == 5


@pytest.mark.parametrize("minutes", [1, 90])
def test_files_of_a_completed_batch_whose_counts_lag_are_deleted_only_once_no_row_can_come(
    connect: Connect, tmp_path: Path, minutes: int
) -> None:
    """The output file grows after the end of the batch, and the counts with it."""
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.advance(60 * minutes)
        output = str(hook.get_batch(batch_id).output_file_id)
        sim.replace_content(output, b"".join(sim.file_content(output).splitlines(keepends=True)[:2]))
        sim.batches[batch_id].completed = 2
        landed = land(sim, hook, tmp_path, [batch_id])
        assert landed.statuses == {"succeeded": 2, "missing": 2}
        assert landed.collected.is_whole is (minutes == 90)
