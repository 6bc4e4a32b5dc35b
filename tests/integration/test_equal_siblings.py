"""Instances of a mapped task whose inputs are equal share their batches, and cancel none that another waits for."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, submit

SLOW = Timing(validating_seconds=36_000)
SPEED = 50.0


def attempt(map_index: int, number: int = 1) -> Attempt:
    return replace(ATTEMPT, task=replace(TASK, map_index=map_index), number=number, mark=f"{map_index}:{number}")


def live(sim: KimiSimulator) -> list[str]:
    return [batch_id for batch_id in sim.batches if not sim.status(batch_id).startswith("cancel")]


@pytest.mark.parametrize("lag", [0, 2, 8], ids="the list lags {} s".format)
def test_siblings_with_an_equal_input_that_start_together_pay_once(connect: Connect, lag: int) -> None:
    behaviour = Behaviour(list_lag_seconds=lag)
    with KimiSimulator(speed=SPEED, timing=SLOW, behaviour=behaviour) as sim:
        hook, barrier = connect(sim), Barrier(3)

        def run(index: int) -> list[str]:
            barrier.wait()
            return submit(
                hook, order(["a"]), attempt(index), LogRecord(), lambda seconds: time.sleep(seconds / SPEED)
            ).batch_ids

        with ThreadPoolExecutor(3) as pool:
            returned = list(pool.map(run, range(3)))
        assert returned == [live(sim)] * 3


def both_paid(sim: KimiSimulator, hook: KimiHook) -> list[str]:
    """Two siblings of which neither saw the batch of the other."""
    return [
        batch_id
        for index in (0, 1)
        for batch_id in submit(hook, order(["a"]), attempt(index), LogRecord(), lambda seconds: None).batch_ids
    ]


def test_clearing_a_sibling_cancels_no_batch_that_another_waits_for(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(list_lag_seconds=60)) as sim:
        hook = connect(sim)
        both = both_paid(sim, hook)
        assert len(both) == 2
        sim.advance(600)
        for index in (0, 1):
            log = LogRecord()
            submit(hook, order(["a"]), attempt(index, 2), log, sim.advance)
            assert any("another task instance may be waiting" in line for line in log.warnings)
        assert live(sim) == both


def test_a_sibling_cancels_no_older_double_of_its_own_that_another_may_have_attached_to(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.inject("create_batch", status=504, html=True, done_after_seconds=3600)
        submit(hook, order(["a"]), attempt(0), LogRecord(), sim.advance)
        sim.advance(3600)
        assert len(live(sim)) == 2
        log = LogRecord()
        submit(hook, order(["a"]), attempt(0, 2), log, sim.advance)
        assert len(live(sim)) == 2
        assert any("They go on and are billed" in line for line in log.warnings)
