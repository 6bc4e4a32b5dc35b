"""A cancel ends the rounds of the try that waits, and a clear goes on with them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator, Timing
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.rounds import Model, results, reviews
from tests.support.tasks import resume_task, run_task, run_to_end
from tests.support.triggers import fired

SLOW = Timing(validating_seconds=0, working_seconds=100, finalizing_seconds=1, cancelling_seconds=1)


def job(folder: Path, max_rounds: int = 3) -> KimiBatchOperator:
    return KimiBatchOperator(
        task_id="job",
        input=reviews(folder, 20),
        output=f"{folder}/out",
        key_column="id",
        prompt="Positive or negative? {text}",
        max_rounds=max_rounds,
        poke_interval=0.1,
    )


def cancelled_half_way(sim: KimiSimulator, task: KimiBatchOperator) -> Any:
    """Run a task until it waits, and cancel its batch, as a failed mark does; return the deferral."""
    deferred = run_task(task).deferred
    sim.advance(50)
    KimiHook().cancel_batch(next(iter(sim.batches)))
    sim.advance(10)
    return deferred


def filters_the_first(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
    return RowError("content_filter", "high risk") if custom_id == "r0" and times == 1 else Answer("positive")


def test_a_clear_asks_for_what_a_cancel_has_left(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW, responder=Model(filters_the_first)) as sim:
        connect(sim)
        cancelled_half_way(sim, job(tmp_path, max_rounds=2))
        assert run_task(job(tmp_path, max_rounds=2)).deferred is not None
        sim.advance(200)
        manifest = run_to_end(job(tmp_path, max_rounds=2)).value
    assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == 20
    assert manifest["by_round"][1]["requests"] == 20 - manifest["by_round"][0]["succeeded"] > 2


def test_a_cancel_that_comes_while_the_task_waits_is_the_last_of_its_rounds(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW, responder=Model(filters_the_first)) as sim:
        connect(sim)
        task = job(tmp_path)
        deferred = cancelled_half_way(sim, task)
        event = fired([deferred.trigger])[0].to_dict()
        with pytest.raises(KimiBatchError, match="Clear this task to ask only for the rows without an answer"):
            resume_task(task, event, kwargs=deferred.kwargs)
        assert len(sim.batches) == 1
    assert {row["status"] for row in results(tmp_path).values()} == {"succeeded", "filtered", "cancelled"}


def test_a_retry_goes_on_in_the_second_round_of_a_batch_that_expired(connect: Connect, tmp_path: Path) -> None:
    timing = Timing(validating_seconds=0, working_seconds=200_000, finalizing_seconds=1)
    with KimiSimulator(speed=0, timing=timing) as sim:
        connect(sim)
        assert run_task(job(tmp_path)).deferred is not None
        sim.advance(90_000)
        assert run_task(job(tmp_path)).deferred is not None  # in round 2
        assert run_task(job(tmp_path)).deferred is not None  # and so again, whatever kills the worker
        assert len(sim.batches) == 2
