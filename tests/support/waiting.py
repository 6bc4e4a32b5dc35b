"""Waits on the simulated clock, by the very loop of the trigger."""

import asyncio

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.events import BatchEvent
from airflow_provider_kimi.batch.polling import Watch
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.look import Alone, InWorker
from airflow_provider_kimi.flows.wait import until_finished
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord


async def waited(hook: KimiHook, sim: KimiSimulator, watch: Watch, log: Log | None = None) -> BatchEvent:
    """Wait with a hook's async calls; a pause moves the simulated clock."""

    async def sleep(seconds: float) -> None:
        sim.advance(seconds)

    try:
        alone = Alone(hook, watch, clock=sim.now, sleep=sleep)
        return await until_finished(alone, hook.acancel_batch, watch, log or LogRecord(), clock=sim.now)
    finally:
        await hook.aclose()


def wait_in_worker(hook: KimiHook, sim: KimiSimulator, watch: Watch, log: Log | None = None) -> BatchEvent:
    """Wait with a hook's blocking calls; a pause moves the simulated clock."""

    async def sleep(seconds: float) -> None:
        sim.advance(seconds)

    async def cancel(batch_id: str) -> Batch:
        return hook.cancel_batch(batch_id)

    alone = Alone(InWorker(hook), watch, clock=sim.now, sleep=sleep)
    return asyncio.run(until_finished(alone, cancel, watch, log or LogRecord(), clock=sim.now))
