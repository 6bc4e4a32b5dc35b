"""Attempts that run at the same time: a worker that lost its heartbeat, and its retry."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import order, submit

RACES = 100

#: How much faster than real time the platform runs, and so do the pauses.
SPEED = 100.0

#: Validating takes minutes in reality, so that a duplicate ends before a row of it is done.
SLOW = Timing(validating_seconds=600)


def race(hook: KimiHook, number: int, tries: tuple[int, int]) -> list[list[str]]:
    """Let two attempts of one task submit the same two shards at once, and return what each returns."""
    barrier = threading.Barrier(2)
    task = TaskIdentity("dag", f"run_{number}", "create")

    def pause(seconds: float) -> None:
        time.sleep(seconds / SPEED)

    def one(try_number: int) -> list[str]:
        barrier.wait()
        attempt = Attempt(task, number=try_number, mark=str(threading.get_ident()))
        return submit(hook, order(["a", "b"], max_rows_per_batch=1), attempt, LogRecord(), pause).batch_ids

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, tries))


@pytest.mark.parametrize(
    ("tries", "lag", "races"),
    [
        pytest.param((1, 1), 0, RACES, id="both are first tries"),
        pytest.param((1, 2), 0, RACES // 2, id="a first try and its retry"),
        pytest.param((2, 3), 0, RACES // 2, id="both are retries"),
        pytest.param((2, 3), 10, 10, id="both are retries and the list lags"),
    ],
)
def test_two_attempts_at_once_pay_for_one_batch_for_each_shard(
    connect: Connect, tries: tuple[int, int], lag: int, races: int
) -> None:
    with KimiSimulator(speed=SPEED, timing=SLOW, behaviour=Behaviour(list_lag_seconds=lag)) as sim:
        hook = connect(sim)
        for number in range(races):
            first, second = race(hook, number, tries)
            assert first == second, "both return the same batches"
            mine = [batch for batch in sim.batches.values() if f"run_{number}" in (batch.metadata or {}).values()]
            alive = [batch.id for batch in mine if not sim.status(batch.id).startswith("cancel")]
            assert sorted(alive) == sorted(first), "one batch of each shard runs, and it is the one returned"


def test_a_zombie_that_wakes_up_late_gives_way_to_its_retry(connect: Connect) -> None:
    """Its search is out of date. It creates a duplicate, and attaches to the batch of its retry."""
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        task = TaskIdentity("dag", "run", "create")
        retried: list[str] = []

        class Sleepy(KimiHook):
            """Sleeps between the search and the upload, until the retry has submitted."""

            def list_models(self):  # type: ignore[no-untyped-def]
                if not retried:
                    retry = Attempt(task, number=2)
                    retried.extend(submit(hook, order(["a"]), retry, LogRecord(), sim.advance).batch_ids)
                    sim.advance(3600)
                return super().list_models()

        zombie = submit(Sleepy(), order(["a"]), Attempt(task), LogRecord(), sim.advance)
        assert zombie.batch_ids == retried
        assert len(sim.batches) == 2
        (duplicate,) = set(sim.batches) - set(retried)
        assert sim.status(duplicate).startswith("cancel")


def test_the_next_attempt_cancels_the_duplicate_that_a_killed_attempt_left(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        attempt = Attempt(TaskIdentity("dag", "run", "create"))
        (first,) = submit(hook, order(["a"]), attempt, LogRecord()).batch_ids
        winner = sim.batches[first]
        sim.advance(1)
        duplicate = hook.create_batch(winner.input_file_id, metadata=winner.metadata)
        assert submit(hook, order(["a"]), replace(attempt, number=2), LogRecord()).batch_ids == [first]
        assert sim.status(duplicate.id).startswith("cancel")
