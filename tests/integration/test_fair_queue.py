"""Thirty runs share a queue with room for three batches: all end, and none waits much longer than the others."""

import random
import time
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.in_flight import event_of, running
from tests.support.rounds import Model, failing, job, results
from tests.support.tasks import Attempt, TaskInstanceRecord, resume_task, run_task

RUNS = 30
SHARDS = 2
SLOTS = 3

#: An hour for each batch.
HOURLY = Timing(validating_seconds=60, working_seconds=3480, finalizing_seconds=60)


def wakes_in(sim: KimiSimulator, attempt: Attempt, now: float) -> float:
    """How many seconds a task waits that was deferred just now."""
    assert attempt.deferred is not None
    _, arguments = attempt.deferred.trigger.serialize()
    if arguments["look_at"] is not None:
        turn_at: float = (attempt.deferred.kwargs or {})["pending"]["turn_at"]
        return turn_at - time.time()
    ends = [sim.batches[batch_id].created_at + 3600 for batch_id in arguments["batch_ids"]]
    return max(1.0, min(end for end in ends if end > now - 1) - now)


@pytest.mark.slow
def test_thirty_runs_share_the_room_of_a_connection(connect: Connect, tmp_path: Path) -> None:
    random.seed(1)
    with KimiSimulator(speed=0, timing=HOURLY, responder=Model(failing())) as sim:
        connect(sim, max_in_flight=SLOTS)
        now = 0.0
        waiting: list[tuple[float, int]] = []
        tasks: list[Any] = []
        attempts: list[Attempt] = []
        ended_at: list[float] = [0.0] * RUNS
        for run in range(RUNS):
            (tmp_path / str(run)).mkdir()
            task = job(tmp_path / str(run), SHARDS, sim=sim, max_rows_per_batch=1, poke_interval=1200)
            task._sleep = lambda _: None
            tasks.append(task)
            attempts.append(run_task(task, TaskInstanceRecord(task_id="job", run_id=f"run {run}")))
            heappush(waiting, (now + wakes_in(sim, attempts[run], sim.now()), run))
        while waiting:
            at, run = heappop(waiting)
            sim.advance(max(0.0, at - now))
            now = max(now, at)
            attempt, task = attempts[run], tasks[run]
            assert attempt.deferred is not None
            attempts[run] = resume_task(
                task, event_of(attempt).to_dict(), ti=attempt.ti, kwargs=attempt.deferred.kwargs
            )
            assert running(sim) <= SLOTS
            if attempts[run].deferred is None:
                ended_at[run] = now
            else:
                heappush(waiting, (now + wakes_in(sim, attempts[run], sim.now()), run))
        assert len(sim.batches) == RUNS * SHARDS
    mean = sum(ended_at) / RUNS
    assert max(ended_at) < 1.85 * mean
    assert max(ended_at) < 1.25 * 3600 * RUNS * SHARDS / SLOTS, "the room is used"
    assert all(len(results(tmp_path / str(run))) == SHARDS for run in range(RUNS))
