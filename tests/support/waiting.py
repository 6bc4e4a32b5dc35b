"""Waits on the simulated clock, with the loop of the trigger; sensors whose first poll ends the wait."""

import asyncio
from typing import Any

from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.waiting.alone import Alone, InWorker
from airflow_provider_kimi.waiting.wait import poll_once, until_finished
from tests.support.logs import LogRecord
from tests.support.requests import submit_prompts
from tests.support.tasks import run_task

#: Seconds between two polls.
PAUSE = 30.0


async def waited(hook: KimiHook, sim: KimiSimulator, watch: Watch, log: Log | None = None) -> BatchEvent:
    """Wait with a hook's async calls; a pause moves the simulated clock."""

    async def sleep(seconds: float) -> None:
        sim.advance(seconds)

    try:
        alone = Alone(hook, watch, clock=sim.now, sleep=sleep)
        return await until_finished(alone, watch, log or LogRecord(), clock=sim.now, sleep=sleep)
    finally:
        await hook.aclose()


def wait_in_worker(hook: KimiHook, sim: KimiSimulator, watch: Watch, log: Log | None = None) -> BatchEvent:
    """Wait with a hook's blocking calls; a pause moves the simulated clock."""

    async def sleep(seconds: float) -> None:
        sim.advance(seconds)

    alone = Alone(InWorker(hook), watch, clock=sim.now, sleep=sleep)
    return asyncio.run(until_finished(alone, watch, log or LogRecord(), clock=sim.now, sleep=sleep))


def batch_that_ends_as(status: str, sim: KimiSimulator, hook: KimiHook) -> str:
    """Create a batch and bring it to a terminal status."""
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    if status == "cancelled":
        sim.advance(10)
        hook.cancel_batch(batch_id)
    if status == "failed":
        sim.batches[batch_id].balance_failure = True
    if status == "expired":
        sim.batches[batch_id].expires_at = sim.batches[batch_id].created_at + 10
    sim.advance(60)
    assert sim.status(batch_id) == status
    return batch_id


def sensor(batch_id: Any, **parameters: Any) -> KimiBatchSensor:
    return KimiBatchSensor(task_id="wait", batch_id=batch_id, poke_interval=PAUSE, **parameters)


def first_poll(task: KimiBatchSensor) -> Any:
    """The result of the first execution, for a batch that needs no second one."""
    if task.mode == "reschedule":
        found = task.poke({})
        return getattr(found, "xcom_value", found)
    attempt = run_task(task)
    assert attempt.deferred is None
    return attempt.value


def in_triggerer(hook: KimiHook, sim: KimiSimulator, watch: Watch, log: LogRecord) -> BatchEvent:
    return asyncio.run(waited(hook, sim, watch, log))


def from_poke_to_poke(hook: KimiHook, sim: KimiSimulator, watch: Watch, log: LogRecord) -> BatchEvent:
    """Wait as `mode="reschedule"` does: every poke is a process of its own, which remembers nothing."""

    async def sleep(seconds: float) -> None:
        sim.advance(seconds)

    while True:
        first = poll_once(hook, watch, log, is_only_one=True, clock=sim.now, sleep=sleep)
        if first.event is not None:
            return first.event
        sim.advance(watch.pause_seconds or 0.0)
