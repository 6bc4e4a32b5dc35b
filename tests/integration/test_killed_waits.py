"""A task that is killed around its wait."""

import asyncio
import time
from functools import partial
from typing import Any

from airflow_provider_kimi.calls.cancel import acancel_batch
from airflow_provider_kimi.calls.kill import acancel_batches, to_the_end
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import submit_prompts
from tests.support.tasks import resume_task


class TestTheCancelOfAKilledTask:
    async def test_the_cancel_of_a_killed_task_completes_though_airflow_interrupts_it_every_second(
        self, connect: Connect
    ) -> None:
        """Airflow leaves a second for it, and repeats its own cancel."""
        with KimiSimulator() as sim:
            hook = connect(sim)
            ids = submit_prompts(hook, 2).batch_ids
            sim.inject("cancel_batch", hang_seconds=2)
            log = LogRecord()
            killed = asyncio.create_task(
                to_the_end(acancel_batches(hook.acancel_batch, ids, log, "marked failed"), log)
            )
            for _ in range(10):
                await asyncio.sleep(0.2)
                killed.cancel()
            await asyncio.wait({killed}, timeout=10)
            await hook.aclose()
            assert sim.status(ids[0]) in ("cancelling", "cancelled")

    async def test_the_cancel_of_a_killed_task_does_not_go_on_for_ever(self) -> None:
        begun, log = time.monotonic(), LogRecord()
        await to_the_end(asyncio.sleep(30), log, seconds=0.2)
        assert time.monotonic() - begun < 5
        assert "goes on and is billed: it took longer than 0.2 s" in log.warnings[0]

    async def test_the_cancel_of_a_killed_task_logs_what_kept_it_from_being_sent(self) -> None:
        async def no_answer_of_airflow() -> None:
            raise ConnectionError("the API server is away")

        log = LogRecord()
        await to_the_end(no_answer_of_airflow(), log)
        assert "goes on and is billed: the API server is away" in log.warnings[0]

    async def test_a_cancel_that_is_refused_does_not_keep_the_other_batches_running(self, connect: Connect) -> None:
        with KimiSimulator(speed=0) as sim:
            hook = connect(sim)
            log = LogRecord()
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            await acancel_batches(hook.acancel_batch, ["batch_gone", batch_id], log, "marked failed")
            await hook.aclose()
            assert sim.status(batch_id) == "cancelling"
        assert "batch_gone was not cancelled" in log.warnings[0]

    async def test_a_killed_task_cancels_no_batch_that_assembles_its_results(self, connect: Connect) -> None:
        """The rows are paid by then, and a cancel was seen to lose them."""
        with KimiSimulator(speed=0, timing=Timing(working_seconds=10, finalizing_seconds=1000)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            sim.advance(60)
            assert (await acancel_batch(hook, batch_id)).status == "finalizing"
            await hook.aclose()
            assert "cancel_batch" not in [call.name for call in sim.journal]

    async def test_the_cancel_of_a_killed_task_is_sent_again_after_a_fault_that_passes(self, connect: Connect) -> None:
        with KimiSimulator(speed=0) as sim:
            hook, log = connect(sim), LogRecord()
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            sim.inject("cancel_batch", status=502)
            await acancel_batches(partial(acancel_batch, hook), [batch_id], log, "marked failed")
            await hook.aclose()
            assert sim.status(batch_id) == "cancelling"
        assert len(log.warnings) == 1


def test_a_resumed_task_that_is_killed_knows_its_batches(connect: Connect) -> None:
    """The ids are fields of the task, and what the first half set is not needed."""
    with KimiSimulator(speed=0) as sim:
        hook: KimiHook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.advance(60)
        task: Any = KimiBatchSensor(task_id="wait", batch_id=batch_id)
        assert resume_task(
            task, BatchEvent("ended", {batch_id: BatchEnd.of(hook.get_batch(batch_id))}).to_dict()
        ).value == [batch_id]
        task.on_kill()
        assert "cancel_batch" not in [call.name for call in sim.journal]
