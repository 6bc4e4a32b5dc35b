"""A task that is killed around its wait."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_kimi.calls.cancel import acancel_batch
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.airflow import WAITING_FOR_KEY, WAITING_TRY_KEY
from airflow_provider_kimi.kills.cancels import cancel_while_killed, to_the_end
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.conftest import Connect
from tests.support.killed import killed_once
from tests.support.logs import LogRecord
from tests.support.requests import submit_prompts
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord, resume_task
from tests.support.triggers import created


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
                to_the_end(cancel_while_killed(hook.acancel_batch, ids, log, "marked failed"), log)
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
            await cancel_while_killed(hook.acancel_batch, ["batch_gone", batch_id], log, "marked failed")
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
            await cancel_while_killed(partial(acancel_batch, hook), [batch_id], log, "marked failed")
            await hook.aclose()
            assert sim.status(batch_id) == "cancelling"
        assert "was not cancelled" in log.warnings[0]
        assert "KimiOrphanBatchesOperator finds them" in log.warnings[1], "a worker may be gone before it asks again"


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


class PushedKeys(TaskInstanceRecord):
    """Keeps the key of every XCom that is pushed, too."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.__dict__.setdefault("keys", []).append(key)
        super().xcom_push(key, value)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_wait_notes_once_what_it_waits_for(connect: Connect, mode: str) -> None:
    """And not when it resumes and polls again: what it noted before it was deferred is still there."""
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        task: Any = KimiBatchSensor(task_id="wait", batch_id=batch_id, mode=mode, deferrable=mode == "poke")
        first, resumed = PushedKeys(task_id="wait"), PushedKeys(task_id="wait")
        if mode == "reschedule":
            assert not task.poke({"ti": first})
        else:
            with pytest.raises(TaskDeferred):
                task.execute({"ti": first})
            with pytest.raises(TaskDeferred):
                task.execute_complete({"ti": resumed}, BatchEvent("failed", {}, "refused", retryable=True).to_dict())
        pushed = [*first.__dict__["keys"], *resumed.__dict__.get("keys", [])]
        assert (pushed.count(WAITING_TRY_KEY), pushed.count(WAITING_FOR_KEY)) == (1, 1)
        assert (first.xcoms[WAITING_TRY_KEY], first.xcoms[WAITING_FOR_KEY]) == (1, [batch_id])


#: A task's process that is killed while its first poll imports the SDK.
KILLED_WHILE_IT_IMPORTS = """
import os, signal, sys, time
from importlib.abc import MetaPathFinder

from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord

task = {task}

class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "openai._client":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)

assert "openai" not in sys.modules
sys.meta_path.insert(0, Slow())
signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
states = {{"killed": "{state}", "results": "{state}"}}
with supervised(Supervisor(states, {{("killed", -1, "kimi_waiting_try"): 1}}, "failed")):
    context = {{"ti": TaskInstanceRecord(task_id="killed", run_id="{run}")}}
    task.render_template_fields(context)
    task.execute(context)
"""


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("state", ["failed", "skipped"], ids=["marked failed", "the run has timed out"])
def test_a_wait_that_is_killed_while_a_module_is_being_imported_cancels_its_batch(connect: Connect, state: str) -> None:
    with KimiSimulator(timing=Timing(1, 100_000, 1, 0.1)) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        task = f"KimiBatchSensor(task_id='killed', batch_id={batch_id!r}, deferrable=False, poke_interval=0.2)"
        done = run_program(KILLED_WHILE_IT_IMPORTS.format(task=task, state=state, run="r"))
        assert sim.status(batch_id).startswith("cancel"), done.stderr
        assert "ImportError" not in done.stderr


def test_a_create_that_is_killed_while_a_module_is_being_imported_cancels_what_an_earlier_attempt_made(
    connect: Connect,
) -> None:
    with KimiSimulator(timing=Timing(1, 100_000, 1, 0.1)) as sim:
        hook = connect(sim)
        tags = Tags.of_task(TaskIdentity("reviews", "r", "killed"), job_key="other", shard="1/1")
        (batch_id,) = created(hook, 1, tags.to_metadata({}))
        task = "KimiCreateBatchOperator(task_id='killed', input=['a'])"
        done = run_program(KILLED_WHILE_IT_IMPORTS.format(task=task, state="failed", run="r"))
        assert sim.status(batch_id).startswith("cancel"), done.stderr
        assert list(sim.batches) == [batch_id], "it creates nothing more"


def test_a_wait_in_its_worker_that_is_marked_failed_cancels_its_batch(connect: Connect) -> None:
    """Also while the code that the signal interrupts asks Airflow for something."""
    with KimiSimulator(timing=Timing(1, 100_000, 1, 0.1)) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        task: Any = KimiBatchSensor(task_id="wait", batch_id=batch_id, deferrable=False, poke_interval=0.2)
        ti = TaskInstanceRecord(task_id="wait")
        with (
            supervised(Supervisor({"wait": "failed"}, {("wait", -1, WAITING_TRY_KEY): 1})),
            killed_once(task, lambda: any(call.name == "get_batch" for call in sim.journal)),
            pytest.raises(AirflowFailException, match="cancelled"),
        ):
            task.execute({"ti": ti})
        assert sim.status(batch_id) == "cancelled"
        assert ti.xcoms["kimi_waiting_for"] == [batch_id]


def test_a_wait_in_its_worker_that_is_marked_success_keeps_its_batch(connect: Connect) -> None:
    with KimiSimulator(speed=50, timing=Timing(1, 50, 1)) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        task: Any = KimiBatchSensor(task_id="wait", batch_id=batch_id, deferrable=False, poke_interval=0.2)
        with (
            supervised(Supervisor({"wait": "success"})),
            killed_once(task, lambda: any(call.name == "get_batch" for call in sim.journal)),
        ):
            assert task.execute({"ti": TaskInstanceRecord(task_id="wait")}) == [batch_id]
        assert "cancel_batch" not in [call.name for call in sim.journal]


@pytest.mark.parametrize(("state", "cancels"), [("failed", True), ("success", False)])
def test_a_wait_that_is_killed_while_it_resumes_does_what_the_mark_asks(
    connect: Connect, state: str, cancels: bool
) -> None:
    """It polls once more, since its batch could not be read."""
    with KimiSimulator(timing=Timing(1, 100_000, 1, 100_000)) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.inject("get_batch", hang_seconds=0.5)
        task: Any = KimiBatchSensor(task_id="wait", batch_id=batch_id)
        refused = BatchEvent("failed", {}, "refused", retryable=True).to_dict()
        with (
            supervised(Supervisor({"wait": state}, {("wait", -1, WAITING_TRY_KEY): 1})),
            killed_once(task, lambda: any(call.name == "get_batch" for call in sim.journal)),
            pytest.raises(TaskDeferred),
        ):
            task.execute_complete({"ti": TaskInstanceRecord(task_id="wait")}, refused)
        assert sim.status(batch_id).startswith("cancel") is cancels


class TestTheTrigger:
    """Its `on_kill` asks Airflow, and reads no batch that a poll has just shown."""

    async def killed(
        self, supervisor: Supervisor, batch_id: str, *, is_polled: bool = False, map_index: int = -1
    ) -> None:
        trigger: Any = KimiBatchTrigger.of(Watch((batch_id,), 0.1, cancel_on_kill=True, try_number=1))
        trigger.task_instance = TaskInstanceRecord(task_id="wait", map_index=map_index, run_id=uuid4().hex)
        if is_polled:
            run = asyncio.create_task(anext(trigger.run()))
            while trigger._subscription is None or not trigger._subscription.fresh():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run
        with supervised(supervisor):
            await trigger.on_kill()

    async def test_a_batch_that_was_just_polled_is_cancelled_without_a_read(self, connect: Connect) -> None:
        with KimiSimulator(timing=Timing(1, 100_000, 1)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            supervisor = Supervisor({"wait": "failed"}, {("wait", -1, WAITING_TRY_KEY): 1})
            await self.killed(supervisor, batch_id, is_polled=True)
            assert sim.status(batch_id) == "cancelling"
            assert [call.name for call in sim.journal][-2:] == ["get_batch", "cancel_batch"]

    async def test_a_trigger_whose_task_is_deferred_cancels_nothing(self, connect: Connect) -> None:
        """Also one whose triggerer took a long pause: another has the trigger now, and the task is deferred."""
        with KimiSimulator(timing=Timing(1, 100_000, 1)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            await self.killed(Supervisor({"wait": "deferred"}, {("wait", -1, WAITING_TRY_KEY): 1}), batch_id)
            assert "cancel_batch" not in [call.name for call in sim.journal]

    @pytest.mark.parametrize(
        "others",
        [{"wait_1": "deferred"}, {"wait_1": "success"}, {"wait_all": "up_for_reschedule"}],
        ids=["a sibling waits", "a sibling was marked success", "another task waits"],
    )
    async def test_a_batch_that_another_task_instance_uses_is_not_cancelled(
        self, connect: Connect, others: dict[str, str]
    ) -> None:
        """Mapped siblings with equal input share a batch."""
        with KimiSimulator(timing=Timing(1, 100_000, 1)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            xcoms: dict[tuple[str, int, str], Any] = {
                ("wait", 0, WAITING_TRY_KEY): 1,
                ("wait", 1, WAITING_FOR_KEY): [batch_id],
                ("wait_all", -1, WAITING_FOR_KEY): [batch_id],
            }
            await self.killed(Supervisor({"wait_0": "failed", **others}, xcoms), batch_id, map_index=0)
            assert "cancel_batch" not in [call.name for call in sim.journal]
