"""Waiting: the same decisions in every mode, through hours of faults, without ever blocking the event loop."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx

from airflow_provider_kimi.api.standing import as_clock
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.alone import Alone, Polled, pause_after, poll_all
from airflow_provider_kimi.waiting.wait import until_finished, wait_here
from tests.conftest import Connect
from tests.support import waiting
from tests.support.logs import LogRecord
from tests.support.requests import submit_prompts
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task
from tests.support.waiting import PAUSE, batch_that_ends_as, first_poll, sensor

#: What goes wrong with one poll, and passes.
FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 502, "html": True},
    {"status": 503, "error_type": "server_unavailable"},
    {"status": 504, "html": True},
    {"status": 429, "error_type": "rate_limit_reached_error", "retry_after": 60},
    {"status": 429, "error_type": "engine_overloaded_error"},
    {"status": 200, "html": True},
    {"drop": True},
    {"hang_seconds": 5.0},  # much longer than the client waits, also where the machine is busy
]


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Fail the test where something blocks the event loop."""
    with blockbuster_ctx() as blockbuster:
        yield blockbuster


async def waited(hook: KimiHook, sim: KimiSimulator, *batch_ids: str, deadline: float | None = None) -> BatchEvent:
    """Wait on the simulated clock."""
    return await waiting.waited(hook, sim, Watch(batch_ids, PAUSE, deadline))


class TestHowAWaitEnds:
    async def test_a_wait_ends_when_every_batch_is_terminal(self, sim: KimiSimulator, hook: KimiHook) -> None:
        ids = [submit_prompts(hook, 2).batch_ids[0] for _ in range(3)]
        event = await waited(hook, sim, *ids)
        assert event.outcome == "ended"
        assert {batch_id: end.status for batch_id, end in event.batches.items()} == dict.fromkeys(ids, "completed")

    async def test_a_wait_ends_at_its_deadline_though_the_batch_goes_on(
        self, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        event = await waited(hook, sim, batch_id, deadline=sim.now() + 9)
        assert event.outcome == "timed_out"
        assert f"{batch_id} is in_progress" in event.message
        assert "goes on and is billed" in event.message


class TestFailedPollsOnlyDelay:
    async def test_twenty_failed_polls_only_delay_a_wait(self, sim: KimiSimulator, connect: Connect) -> None:
        """One bad poll ended the wait elsewhere."""
        hook = connect(sim, timeout=0.1)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.inject("get_batch", status=500, times=8)
        sim.inject("get_batch", hang_seconds=5, times=4)
        sim.inject("get_batch", drop=True, times=4)
        sim.inject("get_batch", status=504, html=True, times=2)
        sim.inject("get_batch", status=200, html=True, times=2)
        event = await waited(hook, sim, batch_id)
        assert event.outcome == "ended"
        assert event.batches[batch_id].status == "completed"
        assert len([call for call in sim.journal if call.name == "get_batch"]) == 21

    async def test_six_hours_of_faults_of_all_kinds_only_delay_a_wait(self, connect: Connect) -> None:
        """Then one event, one resume, and nothing submitted again."""
        with KimiSimulator(speed=0, timing=Timing(working_seconds=1800)) as sim:
            hook = connect(sim, timeout=0.05)
            (batch_id,) = await asyncio.to_thread(lambda: submit_prompts(hook, 2).batch_ids)
            wait = await asyncio.to_thread(run_task, sensor(batch_id))
            assert wait.deferred is not None
            begun, source = sim.now(), random.Random(17)

            async def sleep(seconds: float) -> None:
                sim.advance(seconds)
                if sim.now() < begun + 6 * 3600:
                    sim.inject("get_batch", **source.choice(FAULTS))

            watch = Watch((batch_id,), PAUSE, wait.deferred.trigger.serialize()[1]["deadline"])
            log = LogRecord()
            alone = Alone(hook, watch, clock=sim.now, sleep=sleep)
            event = await until_finished(alone, watch, log, clock=sim.now, sleep=sleep)
            await hook.aclose()
            assert 6 * 3600 <= sim.now() - begun <= 6.2 * 3600
            assert (await asyncio.to_thread(resume_task, sensor(batch_id), event.to_dict())).value == [batch_id]
            calls = Counter(call.name for call in sim.journal)
        assert (calls["create_batch"], calls["cancel_batch"]) == (1, 0)
        assert calls["get_batch"] < 6 * 60, "an outage is polled less and less often"
        assert len(log.warnings) + len(log.infos) < 100

    async def test_a_wait_pauses_as_long_as_the_platform_asks(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.inject("get_batch", status=429, error_type="rate_limit_reached_error", retry_after=90)
        started = sim.now()
        await waited(hook, sim, batch_id)
        assert sim.now() - started == pytest.approx(PAUSE + 90, abs=0.5)

    async def test_failed_polls_never_delay_a_wait_past_its_deadline(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.inject("get_batch", status=500, times=None)
        started = sim.now()
        event = await waited(hook, sim, batch_id, deadline=started + 100)
        assert event.outcome == "timed_out"
        assert f"{batch_id} could not be read" in event.message
        assert sim.now() - started == pytest.approx(100, abs=0.5)


class TestTheTrigger:
    def test_a_trigger_survives_serialization(self) -> None:
        trigger = KimiBatchTrigger.of(Watch(("batch_1", "batch_2"), 12.0, 1_800_000_000.0, kimi_conn_id="kimi_other"))
        path, arguments = trigger.serialize()
        assert path == "airflow_provider_kimi.triggers.batch.KimiBatchTrigger"
        assert KimiBatchTrigger(**arguments).serialize() == (path, arguments)

    async def test_a_trigger_fires_one_event_and_never_blocks_the_loop(
        self, sim: KimiSimulator, hook: KimiHook, no_blocking: BlockBuster
    ) -> None:
        """A blocking poll stalls every trigger of the triggerer."""
        (batch_id,) = await asyncio.to_thread(lambda: submit_prompts(hook, 2).batch_ids)
        sim.advance(60)
        events = [event async for event in KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.1).run()]
        assert [event.payload["outcome"] for event in events] == ["ended"]

    async def test_a_trigger_does_not_block_the_loop_while_the_server_hangs(
        self, sim: KimiSimulator, connect: Connect, no_blocking: BlockBuster
    ) -> None:
        hook = connect(sim, timeout=0.2)
        (batch_id,) = await asyncio.to_thread(lambda: submit_prompts(hook, 2).batch_ids)
        sim.advance(60)
        sim.inject("get_batch", hang_seconds=30)
        trigger = KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.1)
        longest = 0.0

        async def beat() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.01)
                longest = max(longest, time.perf_counter() - before)

        beating = asyncio.create_task(beat())
        events = [event async for event in trigger.run()]
        beating.cancel()
        assert [event.payload["outcome"] for event in events] == ["ended"]
        assert longest < 1.0

    async def test_a_trigger_cancels_nothing_when_it_is_stopped(
        self, sim: KimiSimulator, hook: KimiHook, no_blocking: BlockBuster
    ) -> None:
        """A restart of the triggerer must not touch paid work."""
        (batch_id,) = await asyncio.to_thread(lambda: submit_prompts(hook, 2).batch_ids)
        for _ in range(10):
            running: asyncio.Future[Any] = asyncio.ensure_future(anext(KimiBatchTrigger(batch_ids=[batch_id]).run()))
            await asyncio.sleep(0.02)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert "cancel_batch" not in [call.name for call in sim.journal]


class BlockingTrigger(KimiBatchTrigger):
    """Shows its progress in a blocking way."""

    def _show(self, progress: Progress) -> None:
        time.sleep(0.01)


async def test_a_trigger_that_blocks_its_loop_fails_the_test(sim: KimiSimulator, hook: KimiHook) -> None:
    """The alarm that watches over all tests works."""
    (batch_id,) = await asyncio.to_thread(lambda: submit_prompts(hook, 2).batch_ids)
    sim.advance(60)
    with pytest.raises(BlockingError):
        await anext(BlockingTrigger(batch_ids=[batch_id], poll_interval=0.1).run())


MODES = [
    pytest.param({}, id="deferrable"),
    pytest.param({"deferrable": False, "mode": "poke"}, id="poke"),
    pytest.param({"deferrable": False, "mode": "reschedule"}, id="reschedule"),
]


@pytest.mark.parametrize("mode", MODES)
class TestTheSensorIsTheSameInEveryMode:
    def test_a_sensor_of_a_completed_batch_succeeds_without_deferring(
        self, sim: KimiSimulator, hook: KimiHook, mode: dict[str, Any]
    ) -> None:
        """An event that fires at once can race with the end of the process that deferred."""
        batch_id = batch_that_ends_as("completed", sim, hook)
        assert first_poll(sensor([batch_id], **mode)) == [batch_id]

    @pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
    def test_a_sensor_of_a_batch_that_ended_otherwise_fails_for_good_and_says_how(
        self, sim: KimiSimulator, hook: KimiHook, mode: dict[str, Any], status: str
    ) -> None:
        """Green although the batch was cancelled."""
        batch_id = batch_that_ends_as(status, sim, hook)
        with pytest.raises(AirflowFailException) as caught:
            first_poll(sensor(batch_id, **mode))
        assert batch_id in str(caught.value)
        assert status in str(caught.value)
        assert "billed" in str(caught.value)

    @pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
    def test_a_sensor_goes_on_with_an_incomplete_batch_if_asked_to_and_says_so(
        self, sim: KimiSimulator, hook: KimiHook, mode: dict[str, Any], status: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        batch_id = batch_that_ends_as(status, sim, hook)
        task = sensor(batch_id, on_incomplete="continue", **mode)
        assert first_poll(task) == [batch_id]
        log = capsys.readouterr().out
        assert "did not complete" in log
        assert "Going on, as on_incomplete='continue' asks." in log

    def test_a_sensor_with_soft_fail_skips_and_says_why(
        self, sim: KimiSimulator, hook: KimiHook, mode: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Airflow writes of a skip only that there was one."""
        batch_id = batch_that_ends_as("cancelled", sim, hook)
        task = sensor(batch_id, soft_fail=True, **mode)
        with pytest.raises(AirflowSkipException, match="cancelled"):
            first_poll(task)
        assert f"{batch_id} is cancelled" in capsys.readouterr().out


class TestTheDeferredSensor:
    def test_a_sensor_defers_while_the_batch_runs(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        attempt = run_task(sensor(f"['{batch_id}']", timeout=3600))
        assert attempt.deferred is not None
        assert attempt.deferred.timeout is None
        trigger = attempt.deferred.trigger
        assert isinstance(trigger, KimiBatchTrigger)
        assert trigger.watch.batch_ids == (batch_id,)
        assert trigger.watch.pause_seconds == PAUSE
        assert trigger.watch.deadline == pytest.approx(time.time() + 3600, abs=60)

    def test_a_sensor_logs_until_when_it_waits_at_the_latest(
        self, sim: KimiSimulator, hook: KimiHook, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Six hours after the end of the batch's window, though the task itself has no limit so near."""
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        run_task(sensor(batch_id))
        latest = as_clock(sim.batches[batch_id].expires_at + 6 * 3600)
        assert f"Waiting until {latest} at the latest." in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({}, "Mark failed cancels these batches, unless another task uses them. What is done is billed."),
            (
                {"cancel_on_kill": False},
                "Marks and clears of this task cancel nothing: its batches go on and are billed.",
            ),
        ],
    )
    def test_a_sensor_logs_what_a_mark_does_to_its_batches(
        self,
        sim: KimiSimulator,
        hook: KimiHook,
        capsys: pytest.CaptureFixture[str],
        options: dict[str, Any],
        says: str,
    ) -> None:
        """The log is what a person sees of a task that waits, beside the buttons for marks."""
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        run_task(sensor(batch_id, **options))
        assert capsys.readouterr().out.count(says) == 1

    def test_a_sensor_keeps_to_a_shorter_execution_timeout(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """Airflow does not enforce it while a task is deferred."""
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        attempt = run_task(sensor(batch_id, timeout=3600, execution_timeout=timedelta(seconds=120)))
        assert attempt.deferred is not None
        assert attempt.deferred.trigger.serialize()[1]["deadline"] == pytest.approx(time.time() + 120, abs=30)

    def test_a_sensor_defers_though_its_first_poll_fails(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.inject("get_batch", status=500)
        assert run_task(sensor(batch_id)).deferred is not None

    async def test_a_sensor_resumes_from_the_event_alone(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        event = await waited(hook, sim, batch_id)
        resumed = resume_task(sensor(batch_id), event.to_dict())
        assert resumed.value == [batch_id]
        assert resumed.ti.xcoms["progress"]["statuses"] == {"completed": 1}

    def test_a_passed_deadline_is_a_sensor_timeout(self) -> None:
        event = BatchEvent("timed_out", {}, "The wait timed out")
        with pytest.raises(AirflowSensorTimeout, match="The wait timed out"):
            resume_task(sensor("batch_1"), event.to_dict())

    def test_an_event_of_a_newer_version_is_refused_in_words(self) -> None:
        with pytest.raises(AirflowFailException, match="same version of airflow-provider-kimi"):
            resume_task(sensor("batch_1"), {"version": 99, "outcome": "ended", "batches": {}})


def test_a_wait_in_the_worker_is_the_same_loop(connect: Connect) -> None:
    with KimiSimulator(speed=100) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        event = wait_here(hook, Watch((batch_id,), 0.1, time.time() + 30), LogRecord())
    assert event.batches[batch_id].status == "completed"


def next_poke(task: KimiBatchSensor) -> float:
    """In how many seconds a task that is rescheduled polls again."""
    begun = time.time()
    with pytest.raises(AirflowRescheduleException) as caught:
        run_task(task, Rescheduled())
    return float(caught.value.reschedule_date.timestamp() - begun)


def rescheduled(batch_id: Any, **parameters: Any) -> KimiBatchSensor:
    return KimiBatchSensor(task_id="wait", batch_id=batch_id, deferrable=False, mode="reschedule", **parameters)


def test_a_rescheduled_wait_keeps_to_the_pace_of_the_batch(sim: KimiSimulator, hook: KimiHook) -> None:
    """Ten seconds at first would be six requests a minute; the connection says nothing, so there is time for three."""
    (batch_id,) = submit_prompts(hook, 2).batch_ids
    for parameters, seconds in (({}, 20), ({"poke_interval": 7}, 7), ({"poke_interval": timedelta(seconds=90)}, 90)):
        assert next_poke(rescheduled(batch_id, **parameters)) == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize("parameters", [{}, {"poke_interval": 7}])
def test_a_rescheduled_wait_keeps_to_what_the_platform_and_the_connection_ask_for(
    sim: KimiSimulator, connect: Connect, parameters: dict[str, Any]
) -> None:
    (batch_id,) = submit_prompts(connect(sim, requests_per_minute=1), 2).batch_ids
    assert next_poke(rescheduled(batch_id, **parameters)) == pytest.approx(60, abs=5)
    sim.inject("get_batch", status=429, error_type="rate_limit_reached_error", retry_after=300)
    assert next_poke(rescheduled(batch_id, **parameters)) == pytest.approx(300, abs=5)


async def test_an_unknown_id_does_not_shorten_a_pause_that_the_platform_asks_for(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    (batch_id,) = await asyncio.to_thread(lambda: submit_prompts(hook, 2).batch_ids)
    sim.inject("get_batch", status=404, error_type="resource_not_found_error")
    sim.inject("get_batch", status=429, error_type="rate_limit_reached_error", retry_after=300)
    watch = Watch(("batch_gone", batch_id))
    polled = await poll_all(hook, watch.batch_ids, Polled())
    await hook.aclose()
    assert len(polled.memory.doubted) == 1
    assert pause_after(polled, watch, None, sim.now()) == 300


class Rescheduled(TaskInstanceRecord):
    """A task instance that was never rescheduled before."""

    def get_first_reschedule_date(self, context: Any) -> None:
        """Tell that there was no such time."""
