"""A task with a deadline: it cancels in time, keeps what was done, and asks the rest by chat calls where it may."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.integration.test_realtime import Platform, chats_of
from tests.support.rounds import QUICK, check_sums, job, letters, results, tries
from tests.support.tasks import TaskInstanceRecord, resume_task, resume_to_end, run_task, run_to_end

#: Three to four of ten rows are done when the time of a task with `SOON` is over, and none that is in a queue.
HALF_DONE, QUEUED = Timing(0.2, 8, 0.2, 0.3), Timing(1000, 8, 0.2, 0.3)
SOON: dict[str, Any] = {"finish_by": timedelta(seconds=4), "poke_interval": 0.1}


def run_begun(seconds_ago: float = 0.0) -> Any:
    began = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return SimpleNamespace(start_date=began, run_after=began, conf={})


def numbers(ids: list[str]) -> list[str]:
    return [custom_id.removeprefix("r") for custom_id in ids]


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("timing", [HALF_DONE, QUEUED], ids=["half done", "queued"])
def test_at_its_time_the_task_cancels_keeps_what_was_done_and_asks_the_rest(
    connect: Connect, tmp_path: Path, timing: Timing, deferrable: bool
) -> None:
    platform = Platform()
    with KimiSimulator(timing=timing, responder=platform) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, max_rounds=1, allow_realtime=True, deferrable=deferrable, **SOON)
        run = run_begun()
        found = run_to_end(task, dag_run=run).value
        (batch_id,) = sim.batches
        assert sim.status(batch_id) == "cancelled"
        done = sim.batches[batch_id].total - len(platform.chats)
        assert (0 < done < 10) if timing is HALF_DONE else done == 0
        assert run_to_end(task, dag_run=run).value == found
        assert chats_of(sim) == len(set(platform.chats)) == 10 - done
    check_sums(found, 10)
    assert (found["status"], found["realtime"]["succeeded"], found["rounds"]) == ("completed", 10 - done, 2)
    assert letters(tmp_path) == []
    assert (found["cost"]["amount"] == found["realtime"]["cost"]["amount"]) is (done == 0)


def test_without_chat_calls_the_rest_is_cancelled_and_a_clear_lands_what_there_is(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(timing=HALF_DONE, responder=Platform()) as sim:
        connect(sim)
        task, run = job(tmp_path, sim=sim, **SOON), run_begun()
        for _ in range(2):
            with pytest.raises(AirflowException) as failed:
                run_to_end(task, dag_run=run)
        assert len(sim.batches) == 1
        assert chats_of(sim) == 0
        rows = results(tmp_path)
        cancelled = [key for key, row in rows.items() if row["status"] == "cancelled"]
        assert 0 < len(cancelled) < 10
        assert letters(tmp_path) == cancelled
        said = str(failed.value)
        assert "1 of 1 batches did not complete. What was answered is landed in" in said
        assert "What ran was cancelled because of finish_by=" in said
        assert "set a later finish_by, or allow_realtime=True, then clear this task" in said
        logged = capsys.readouterr().out
        assert f"{len(cancelled)} rows without a usable answer: it is too late for a batch" in logged
        found = run_to_end(job(tmp_path, sim=sim, allow_realtime=True, **SOON), dag_run=run).value
        assert (len(sim.batches), chats_of(sim)) == (1, len(cancelled))
    assert found["counts"]["succeeded"] == 10


def test_a_later_time_lets_a_clear_ask_the_rest_by_a_batch(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(timing=HALF_DONE, responder=Platform()) as sim:
        connect(sim)
        run = run_begun()
        with pytest.raises(AirflowException):
            run_to_end(job(tmp_path, sim=sim, **SOON), dag_run=run)
        sim.advance(100)
        found = tries(job(tmp_path, sim=sim, finish_by=timedelta(hours=9)), sim, 2).value
        assert len(sim.batches) == 2
    assert found["counts"]["succeeded"] == 10


@pytest.mark.parametrize("finish_by", ["{{ by }}", datetime(2026, 1, 1, tzinfo=UTC)], ids=str)
def test_a_time_that_is_over_is_refused_before_anything_is_sent(
    connect: Connect, tmp_path: Path, finish_by: Any
) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException, match="too late for finish_by=2026-01-01 00:00 UTC.*No batch was cre"):
            tries(job(tmp_path, sim=sim, finish_by=finish_by), sim, by="2026-01-01 00:00:00+00:00")
        assert not {"upload_file", "create_batch"} & {call.name for call in sim.journal}


@pytest.mark.parametrize(
    "finish_by", ["soon", "2026-12-01T07:00:00", datetime(2026, 12, 1), timedelta(0), 7, True], ids=repr
)
def test_what_is_not_a_time_is_refused_while_the_dag_is_parsed(tmp_path: Path, finish_by: Any) -> None:
    with KimiSimulator(speed=0) as sim, pytest.raises(ValueError, match="finish_by is .*; it must be a time with its"):
        job(tmp_path, sim=sim, finish_by=finish_by)


def test_a_round_that_would_not_end_in_time_is_asked_by_chat_calls(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(speed=0, timing=Timing(10, 3000, 10), responder=Platform(3)) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, finish_by=timedelta(minutes=40), allow_realtime=True)
        first = tries(task, sim, at={1: lambda: sim.advance(4000)}).value
        assert (len(sim.batches), chats_of(sim)) == (1, 1)
    assert first["counts"]["succeeded"] == 10
    assert "a batch took 50 minutes, so another one would not end in time for finish_by=" in capsys.readouterr().out


def test_a_round_that_ends_in_time_is_a_batch(connect: Connect, tmp_path: Path) -> None:
    platform = Platform(3)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, finish_by=timedelta(minutes=40), allow_realtime=True, max_rounds=2)
        tries(task, sim)
        assert (len(sim.batches), chats_of(sim)) == (2, 0)


def test_the_time_outlasts_a_deferral_and_keeps_what_timeout_means(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        began = run_begun()
        late = run_task(job(tmp_path, sim=sim, finish_by=timedelta(hours=2)), dag_run=began).deferred
        early = run_task(job(tmp_path, sim=sim, finish_by=timedelta(hours=2), timeout=600), dag_run=began).deferred
    assert late is not None
    assert early is not None
    end = began.start_date.timestamp() + 7200
    assert (late.kwargs or {})["deadline"] == {"finish_by": end, "waits_until": end - 1800}
    watched = late.trigger.serialize()[1]
    assert watched["deadline"] == pytest.approx(end - 1800, abs=2)
    assert watched["on_timeout"] == "cancel"
    watched = early.trigger.serialize()[1]
    assert watched["deadline"] == pytest.approx(time.time() + 600, abs=30)
    assert watched["on_timeout"] == "keep"


@pytest.mark.parametrize("on_incomplete", ["fail", "continue"])
def test_batches_that_wait_for_their_turn_are_not_created_when_it_is_too_late(
    connect: Connect, tmp_path: Path, on_incomplete: str
) -> None:
    """Their rows are in no file of the result, so the task fails in any case."""
    with KimiSimulator(timing=HALF_DONE, responder=Platform()) as sim:
        connect(sim)
        queued: dict[str, Any] = {"max_rows_per_batch": 4, "max_in_flight": 1, "on_incomplete": on_incomplete}
        with pytest.raises(AirflowException) as failed:
            run_to_end(job(tmp_path, sim=sim, **queued, **SOON), dag_run=run_begun())
        assert len(sim.batches) == 1
        said = str(failed.value)
        assert "7 rows were not sent, because it is too late for finish_by=" in said
        assert "set a later finish_by, then clear this task: it attaches to what is there" in said
        sim.advance(100)
        found = tries(job(tmp_path, sim=sim, finish_by=timedelta(hours=9), **queued), sim, 2).value
    assert found["counts"]["succeeded"] == 10


def test_a_task_that_is_resumed_too_late_knows_of_its_unsent_rows_when_what_runs_has_been_cancelled(
    connect: Connect, tmp_path: Path
) -> None:
    """There was room for a batch in time, and a worker for the task only later."""
    with KimiSimulator(timing=HALF_DONE, responder=Platform()) as sim:
        connect(sim)
        queued: dict[str, Any] = {"max_rows_per_batch": 4, "max_in_flight": 1, "on_incomplete": "continue"}
        task = job(tmp_path, sim=sim, **queued, **SOON)
        deferred = (attempt := run_task(task, dag_run=run_begun())).deferred
        assert deferred is not None
        time.sleep(3.2)
        (batch_id,) = sim.batches
        event = BatchEvent(outcome="ended", batches={batch_id: BatchEnd("in_progress")}).to_dict()
        resumed = resume_task(task, event, ti=attempt.ti, kwargs=deferred.kwargs)
        with pytest.raises(AirflowException, match="7 rows were not sent, because it is too late for finish_by="):
            resume_to_end(task, resumed)
        assert sim.status(batch_id) == "cancelled"


def test_all_batches_that_are_cancelled_in_time_have_their_rest_asked(connect: Connect, tmp_path: Path) -> None:
    platform = Platform()
    with KimiSimulator(timing=HALF_DONE, responder=platform) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, max_rows_per_batch=4, allow_realtime=True, **SOON)
        found = run_to_end(task, dag_run=run_begun()).value
        assert len(sim.batches) == 3
    assert found["counts"]["succeeded"] == 10
    assert found["realtime"]["rows"] == len(platform.chats) > 3


def test_a_wait_that_its_time_has_ended_has_the_rest_asked_whichever_clock_it_went_by(
    connect: Connect, tmp_path: Path
) -> None:
    """The triggerer's clock is 45 seconds ahead of the worker's."""
    platform = Platform()
    with KimiSimulator(speed=0, timing=QUEUED, responder=platform) as sim:
        hook = connect(sim)
        task = job(tmp_path, sim=sim, allow_realtime=True, finish_by=timedelta(seconds=600))
        ti, run = TaskInstanceRecord(task_id="job"), run_begun(seconds_ago=450 - 45)
        deferred = run_task(task, ti, dag_run=run).deferred
        assert deferred is not None
        (batch_id,) = sim.batches
        hook.cancel_batch(batch_id)
        sim.advance(10)
        event = BatchEvent("timed_out", {batch_id: BatchEnd.of(hook.get_batch(batch_id))}, try_number=1)
        found = resume_task(task, event.to_dict(), ti=ti, kwargs=deferred.kwargs, variables={"dag_run": run}).value
    assert found["realtime"]["succeeded"] == len(platform.chats) == 10
