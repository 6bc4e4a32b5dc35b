"""Accounts that may send few requests a minute: every create gets through."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.rounds import BROKEN, YES, Model
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task

SLOW = Timing(validating_seconds=36_000)

#: How much faster than real time the platform runs, and so do the pauses.
SPEED = 200.0


@pytest.mark.parametrize("number", [1, 2], ids=["a first attempt", "a retry"])
@pytest.mark.parametrize("behaviour", [{}, {"retry_after_date": True}, {"retry_after_seconds": 1.0}], ids=str)
def test_a_create_gets_through_three_requests_a_minute(
    connect: Connect, behaviour: dict[str, float | bool], number: int
) -> None:
    limited = Behaviour(calls_per_minute=3, **behaviour)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=SLOW, behaviour=limited) as sim:
        began = sim.now()
        wanted = order(["a", "b"], max_rows_per_batch=1)
        ids = submit(connect(sim), wanted, replace(ATTEMPT, number=number), LogRecord(), sim.advance).batch_ids
        assert ids == list(sim.batches)
        assert sim.now() - began < 600


def test_the_calls_that_a_create_needs_fit_into_one_minute_of_the_lowest_tier(connect: Connect) -> None:
    """What only informs is left out where the platform asks to slow down."""
    with KimiSimulator(speed=0, behaviour=Behaviour(calls_per_minute=4)) as sim:
        began = sim.now()
        submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), sim.advance)
        assert sim.now() - began < 60
        assert [call.name for call in sim.journal if call.status == 200] == [
            *("list_batches", "list_models", "upload_file", "create_batch"),
        ]


def test_thirty_runs_at_once_get_through_twenty_requests_a_minute(connect: Connect) -> None:
    with KimiSimulator(speed=SPEED, timing=SLOW, behaviour=Behaviour(calls_per_minute=20)) as sim:
        hook = connect(sim)

        def run(number: int) -> list[str]:
            attempt = Attempt(TaskIdentity("dag", f"run_{number}", "create"))
            return submit(
                hook, order([f"row {number}"]), attempt, LogRecord(), lambda seconds: time.sleep(seconds / SPEED)
            ).batch_ids

        with ThreadPoolExecutor(30) as pool:
            made = [batch_id for ids in pool.map(run, range(30)) for batch_id in ids]
        assert sorted(made) == sorted(sim.batches)
        assert len(made) == 30


def test_thirty_whole_jobs_at_once_get_through_twenty_requests_a_minute(connect: Connect, tmp_path: Path) -> None:
    """Each asks a row twice; the wait itself is that of one triggerer, and costs the account little."""

    def pause(seconds: float) -> None:
        time.sleep(seconds / SPEED)

    class Job(KimiBatchOperator):
        _sleep = staticmethod(pause)

    def run(number: int) -> Any:
        task = Job(
            task_id="job",
            input=[{"id": f"{number}-{row}", "text": "good"} for row in range(3)],
            key_column="id",
            prompt="{text}",
            output=f"{tmp_path}/{number}",
            max_rounds=2,
        )
        attempt = run_task(task, TaskInstanceRecord(task_id="job", run_id=f"run_{number}"))
        while (deferred := attempt.deferred) is not None:
            ids = deferred.trigger.serialize()[1]["batch_ids"]
            while not all(sim.status(batch_id) == "completed" for batch_id in ids):
                pause(5)
            read = Calls(KimiHook(), LogRecord(), pause).read_batch
            event = BatchEvent("ended", {each: BatchEnd.of(read(each)) for each in ids}, try_number=1)
            attempt = resume_task(task, event.to_dict(), ti=attempt.ti, kwargs=deferred.kwargs)
        return attempt.value["counts"]["succeeded"]

    model = Model(lambda row, times, body: BROKEN if row.endswith("-0") and times == 1 else YES)
    limited = Behaviour(calls_per_minute=20)
    with KimiSimulator(speed=SPEED, timing=Timing(5, 60, 5), behaviour=limited, responder=model) as sim:
        connect(sim)
        with ThreadPoolExecutor(30) as pool:
            assert list(pool.map(run, range(30))) == [3] * 30
        print(f"{len(sim.journal)} calls in {(sim.journal[-1].at - sim.journal[0].at) / 60:.0f} simulated minutes")
        assert len(sim.batches) == 60
        assert set(model.asked.values()) == {1, 2}


def test_an_account_whose_empty_list_is_null_creates(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(empty_list="null")) as sim:
        assert submit(connect(sim), order(["a"]), replace(ATTEMPT, number=2), LogRecord(), sim.advance).batch_ids
