"""A create that is carried out late makes a second batch: the wait finds it, cancels it, and says what it cost."""

import asyncio
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.waiting.looks import batches_since
from airflow_provider_kimi.waiting.wait import poll_once
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, submit
from tests.support.waiting import wait_in_worker, waited

HOUR = 3600.0
SLOW = Timing(working_seconds=10 * HOUR)


def late_create(sim: KimiSimulator, hook: KimiHook, seconds: float, **task: Any) -> str:
    """Create a batch whose first create is carried out by the platform so much later."""
    sim.inject("create_batch", status=504, html=True, done_after_seconds=seconds)
    attempt = replace(ATTEMPT, task=replace(TASK, **task))
    (batch_id,) = submit(hook, order(["a", "b"]), attempt, LogRecord(), sim.advance).batch_ids
    return batch_id


def double_of(sim: KimiSimulator, batch_id: str) -> str:
    (double,) = [other for other in sim.batches if other != batch_id]
    return double


@pytest.mark.parametrize("mode", ["triggerer", "worker"])
def test_a_create_that_is_carried_out_after_the_gateway_gave_up_leaves_one_batch(connect: Connect, mode: str) -> None:
    """The default gives up on a create after minutes, the platform's gateway after a quarter of an hour."""
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook, log = connect(sim), LogRecord()
        batch_id = late_create(sim, hook, 900)
        watch = Watch((batch_id,), 60.0)
        if mode == "triggerer":
            event = asyncio.run(waited(hook, sim, watch, log))
        else:
            event = wait_in_worker(hook, sim, watch, log)
        double = double_of(sim, batch_id)
        assert (sim.status(batch_id), sim.status(double)) == ("completed", "cancelled")
        assert sim.batches[double].cancelling_at == pytest.approx(sim.batches[batch_id].created_at + 1200, abs=65)
    assert event.outcome == "ended"
    (found,) = [line for line in log.warnings if "the same work as" in line]
    assert found.startswith(f"Batch {double} is in_progress, 0 of 2 rows completed: the same work as {batch_id}")
    assert found.endswith(f"Completed rows are billed, as are rows that are under way. Cancelling {double}.")


def test_a_create_that_is_carried_out_even_later_is_found_by_the_second_look(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        batch_id = late_create(sim, hook, 3000)
        asyncio.run(waited(hook, sim, Watch((batch_id,), 600.0), LogRecord()))
        assert sim.status(double_of(sim, batch_id)) == "cancelled"


def test_a_double_of_a_mapped_task_is_named_and_left_alone(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook, log = connect(sim), LogRecord()
        batch_id = late_create(sim, hook, 900, map_index=2)
        asyncio.run(waited(hook, sim, Watch((batch_id,), 600.0), log))
        assert sim.status(double_of(sim, batch_id)) == "in_progress"
        assert "cancel_batch" not in [call.name for call in sim.journal]
    assert any("Cancel it if no other task waits for it." in line for line in log.warnings)


def test_an_ordinary_batch_costs_two_pages_of_the_list(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        (batch_id,) = submit(hook, order(["a"]), ATTEMPT, LogRecord()).batch_ids
        before = Counter(call.name for call in sim.journal)["list_batches"]
        asyncio.run(waited(hook, sim, Watch((batch_id,), 60.0), LogRecord()))
        assert Counter(call.name for call in sim.journal)["list_batches"] == before + 2


def test_waits_of_a_connection_share_their_looks(hook: KimiHook, sim: KimiSimulator) -> None:
    for number in range(3):
        attempt = replace(ATTEMPT, task=replace(TASK, task_id=f"label_{number}"))
        submit(hook, order([f"row {number}"]), attempt, LogRecord())

    async def look() -> list[int]:
        counts = []
        for now in (1000.0, 1100.0, 1400.0):
            assert len(await batches_since(hook, 0, now, asyncio.sleep) or ()) == 3
            counts.append([call.name for call in sim.journal][before:].count("list_batches"))
        return counts

    before = len(sim.journal)
    assert asyncio.run(look()) == [1, 1, 2]


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 401}, {"status": 403, "error_type": "exceeded_current_quota_error"}],
    ids=["a fault that passes", "the key is refused", "the balance is used up"],
)
def test_a_list_that_cannot_be_read_is_read_again_at_a_later_poll(connect: Connect, fault: dict[str, Any]) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        batch_id = late_create(sim, hook, 900)
        sim.inject("list_batches", **fault, times=3)
        asyncio.run(waited(hook, sim, Watch((batch_id,), 60.0), LogRecord()))
        double = double_of(sim, batch_id)
        assert sim.status(double) == "cancelled"
        assert (sim.batches[double].cancelling_at or math.inf) < sim.batches[batch_id].created_at + 1800, (
            "before the second look"
        )


def test_a_list_that_is_not_served_is_not_read_at_every_poll(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        batch_id = late_create(sim, hook, 900)
        before = Counter(call.name for call in sim.journal)["list_batches"]
        sim.inject("list_batches", status=404, times=None)
        asyncio.run(waited(hook, sim, Watch((batch_id,), 60.0), LogRecord()))
        looks, forms = 2, 2  # each look asks with a size of the page, and without
        assert Counter(call.name for call in sim.journal)["list_batches"] - before == looks * forms


def test_a_wait_from_poke_to_poke_looks_a_few_times_only(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        batch_id = late_create(sim, hook, 900)
        before = Counter(call.name for call in sim.journal)["list_batches"]
        watch = Watch((batch_id,), 60.0)
        while poll_once(hook, watch, LogRecord(), is_only_one=True, clock=sim.now).event is None:
            sim.advance(60)
        assert sim.status(double_of(sim, batch_id)) == "cancelled"
        assert Counter(call.name for call in sim.journal)["list_batches"] - before <= 6


def test_a_restarted_triggerer_looks_once_for_what_it_missed(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        batch_id = late_create(sim, hook, 900)
        sim.advance(2 * HOUR)
        before = Counter(call.name for call in sim.journal)["list_batches"]
        asyncio.run(waited(hook, sim, Watch((batch_id,), 600.0), LogRecord()))
        assert sim.status(double_of(sim, batch_id)) == "cancelled"
        assert Counter(call.name for call in sim.journal)["list_batches"] - before == 1
