"""A machine whose clock is wrong cancels nothing: waits go by the platform's clock."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.wait import poll_once
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.tasks import TaskInstanceRecord, run_task
from tests.support.triggers import fired

HOUR, DAY = 3600.0, 86_400.0


class Rescheduled(TaskInstanceRecord):
    """A task instance that polled first at some time, by a clock that may be another machine's."""

    first_at: float | None = None

    def get_first_reschedule_date(self, context: Any) -> Any:
        return None if self.first_at is None else datetime.fromtimestamp(self.first_at, UTC)


@pytest.fixture(params=[-DAY, DAY, -12 * HOUR, HOUR], ids=["a day fast", "a day slow", "12 h fast", "1 h slow"])
def sim(request: pytest.FixtureRequest) -> Iterator[KimiSimulator]:
    """A platform whose clock is that far ahead of this machine's."""
    with KimiSimulator(timing=Timing(working_seconds=100 * HOUR, cancelling_seconds=1)) as simulator:
        simulator.advance(request.param)
        yield simulator


@pytest.fixture
def hook(sim: KimiSimulator, connect: Connect) -> KimiHook:
    return connect(sim)


def batch_of_12_hours(hook: KimiHook) -> str:
    (batch_id,) = submit(hook, order(["a", "b"], completion_window="12h"), ATTEMPT, LogRecord()).batch_ids
    return batch_id


MODES = [
    pytest.param({}, id="deferrable"),
    pytest.param({"deferrable": False, "mode": "reschedule"}, id="reschedule"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limits", [{}, {"timeout": 10 * HOUR}, {"execution_timeout": timedelta(hours=10)}], ids=str)
def test_a_batch_that_has_hours_left_is_not_cancelled_at_the_first_poll(
    sim: KimiSimulator, hook: KimiHook, mode: dict[str, Any], limits: dict[str, Any]
) -> None:
    batch_id = batch_of_12_hours(hook)
    sim.advance(60)
    task = KimiBatchSensor(task_id="wait", batch_id=batch_id, on_timeout="cancel", **mode, **limits)
    if mode:
        assert task.poke({"ti": Rescheduled()}) is False  # type: ignore[typeddict-item]
    else:
        assert run_task(task).deferred is not None
    assert "cancel_batch" not in [call.name for call in sim.journal]


def test_the_stored_deadline_is_by_the_platforms_clock(sim: KimiSimulator, hook: KimiHook) -> None:
    """The machine of the triggerer may have another clock."""
    attempt = run_task(KimiBatchSensor(task_id="wait", batch_id=batch_of_12_hours(hook), timeout=2 * HOUR))
    assert attempt.deferred is not None
    assert isinstance(attempt.deferred.trigger, KimiBatchTrigger)
    assert attempt.deferred.trigger.watch.deadline == pytest.approx(sim.now() + 2 * HOUR, abs=20)


def test_a_trigger_keeps_a_deadline_that_its_own_clock_says_has_passed_or_is_far(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    """It cancels once the platform's clock says so, and not before."""
    batch_id = batch_of_12_hours(hook)
    sim.advance(60)
    deadline = sim.now() + HOUR
    statuses = []

    async def pass_by() -> None:
        await asyncio.sleep(7)
        statuses.append(sim.status(batch_id))
        sim.advance(HOUR)

    trigger = KimiBatchTrigger(batch_ids=[batch_id], poll_interval=1, deadline=deadline, on_timeout="cancel")
    (event,) = fired([trigger], pass_by)
    assert statuses == ["in_progress"], "as long as the platform's clock says so"
    assert event.outcome == "timed_out"
    assert event.batches[batch_id].status == "cancelled"


def test_a_wrong_clock_is_warned_about_once(sim: KimiSimulator, hook: KimiHook) -> None:
    watch = Watch((batch_of_12_hours(hook),), 5.0)
    poll_once(hook, watch, log := LogRecord())
    (line,) = [line for line in log.warnings if "The clock of this machine" in line]
    assert "Set the machine's clock." in line
    assert ("ahead of" in line) == (sim.now() < time.time())


def test_a_rescheduled_wait_does_not_end_by_a_first_poke_that_another_clock_has_noted(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    batch_id = batch_of_12_hours(hook)
    task = KimiBatchSensor(
        task_id="wait", batch_id=batch_id, deferrable=False, mode="reschedule", timeout=2 * HOUR, on_timeout="cancel"
    )
    for first_at in (sim.now() - HOUR, time.time() - HOUR):
        ti = Rescheduled()
        ti.first_at = first_at
        context: Any = {"ti": ti}
        assert task.poke(context) is False
    assert sim.status(batch_id) != "cancelled"


def test_a_clock_that_is_right_ends_waits_as_ever(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=Timing(working_seconds=100 * HOUR)) as sim:
        hook = connect(sim)
        batch_id = batch_of_12_hours(hook)
        sim.advance(100)
        log = LogRecord()
        poll = poll_once(hook, Watch((batch_id,), 5.0, time.time() - 1, "cancel"), log)
        assert poll.event is None
        assert sim.status(batch_id) in ("cancelling", "cancelled")
        assert not any("clock" in line for line in log.warnings)
