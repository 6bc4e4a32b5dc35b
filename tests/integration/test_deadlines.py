"""When a wait ends, and what becomes of batches that have not ended by then."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.watch import CANCEL_GRACE_SECONDS, EXPIRY_GRACE_SECONDS, OnTimeout, Watch
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.wait import poll_once
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit, submit_prompts
from tests.support.tasks import resume_task, run_task
from tests.support.triggers import created, fired
from tests.support.waiting import waited

HOUR, DAY = 3600.0, 86_400.0
NEVER = Timing(working_seconds=100 * DAY)
PAUSE = 600.0


def wait_for(
    hook: KimiHook,
    sim: KimiSimulator,
    batch_id: str,
    deadline: float | None = None,
    on_timeout: OnTimeout = "keep",
    log: LogRecord | None = None,
    **stall: Any,
) -> BatchEvent:
    """Wait on the simulated clock."""
    return asyncio.run(waited(hook, sim, Watch((batch_id,), PAUSE, deadline, on_timeout, **stall), log))


class TestTheBatchesOwnExpiry:
    def test_the_expiry_of_a_batch_ends_a_wait_without_a_deadline(self, connect: Connect) -> None:
        """A window of three days is waited for three days, not for a constant."""
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = submit(hook, order(["a"], completion_window="3d"), ATTEMPT, LogRecord()).batch_ids
            begun = sim.now()
            event = wait_for(hook, sim, batch_id)
        assert (event.outcome, event.batches[batch_id].status) == ("ended", "expired")
        assert 3 * DAY <= sim.now() - begun <= 3 * DAY + PAUSE

    def test_the_expiry_of_a_batch_bounds_a_later_deadline_and_an_earlier_one_wins(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            begun = sim.now()
            assert wait_for(hook, sim, batch_id, deadline=begun + 2 * HOUR).outcome == "timed_out"
            assert sim.now() - begun == pytest.approx(2 * HOUR, abs=2)
            assert wait_for(hook, sim, batch_id, deadline=begun + 40 * DAY).outcome == "ended"


class TestTheDeadline:
    def test_a_deadline_is_kept_however_often_the_wait_restarts(self, connect: Connect) -> None:
        """A triggerer that restarts every hour does not wait for ever."""
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            begun = sim.now()
            for _ in range(4):
                sim.advance(HOUR)
                event = wait_for(hook, sim, batch_id, deadline=begun + 5 * HOUR)
                sim.advance(-(sim.now() - begun) % HOUR)
            assert event.outcome == "timed_out"
            assert wait_for(hook, sim, batch_id, deadline=begun + 5 * HOUR).outcome == "timed_out"

    @pytest.mark.parametrize(
        ("parameters", "seconds"),
        [
            pytest.param({}, 7 * DAY + EXPIRY_GRACE_SECONDS, id="as long as the platform may take"),
            pytest.param({"timeout": HOUR}, HOUR, id="timeout"),
            pytest.param({"timeout": timedelta(hours=2)}, 2 * HOUR, id="timeout as a timedelta"),
            pytest.param({"execution_timeout": timedelta(hours=2)}, 2 * HOUR - 30, id="just before execution_timeout"),
            pytest.param({"execution_timeout": timedelta(seconds=60)}, 54, id="a short execution_timeout"),
            pytest.param({"timeout": HOUR, "execution_timeout": timedelta(hours=2)}, HOUR, id="the earlier of both"),
        ],
    )
    def test_the_deadline_of_a_trigger_is_absolute(
        self, connect: Connect, parameters: dict[str, Any], seconds: float
    ) -> None:
        """Airflow bounds no deferred time, so the trigger does; its own defer timeout is not used."""
        with KimiSimulator(speed=0) as sim:
            (batch_id,) = submit_prompts(connect(sim), 2).batch_ids
            attempt = run_task(KimiBatchSensor(task_id="wait", batch_id=batch_id, **parameters))
        assert attempt.deferred is not None
        trigger = attempt.deferred.trigger
        assert isinstance(trigger, KimiBatchTrigger)
        assert trigger.watch.deadline == pytest.approx(time.time() + seconds, abs=5)
        assert attempt.deferred.timeout is None

    def test_a_deadline_ends_a_wait_in_the_worker_as_well(self, connect: Connect) -> None:
        """The event comes just before Airflow's own limit, so that the policy is obeyed."""
        with KimiSimulator(timing=NEVER) as sim:
            (batch_id,) = submit_prompts(connect(sim), 2).batch_ids
            task = KimiBatchSensor(
                task_id="wait", batch_id=batch_id, deferrable=False, poke_interval=0.2, timeout=1, on_timeout="cancel"
            )
            with pytest.raises(AirflowSensorTimeout, match="What ran was cancelled"):
                run_task(task)
            assert sim.status(batch_id) == "cancelled"


class TestOnTimeout:
    def test_on_timeout_keep_lets_the_batch_go_on(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            wait_for(hook, sim, batch_id, deadline=sim.now() + HOUR)
            assert sim.status(batch_id) == "in_progress"
            assert "cancel_batch" not in [call.name for call in sim.journal]

    def test_on_timeout_cancel_waits_for_the_end_and_reports_completed_rows(self, connect: Connect) -> None:
        """Cancelling is not an end; rows that end meanwhile are paid, and counted."""
        timing = Timing(working_seconds=4 * HOUR, cancelling_seconds=1500)
        with KimiSimulator(speed=0, timing=timing) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 4).batch_ids
            event = wait_for(hook, sim, batch_id, deadline=sim.now() + 2.5 * HOUR, on_timeout="cancel")
            calls = [call.name for call in sim.journal]
        assert event.outcome == "timed_out"
        assert (event.batches[batch_id].status, event.batches[batch_id].completed) == ("cancelled", 2)
        assert "2 of 4 rows completed" in event.message
        assert calls.count("cancel_batch") == 1

    def test_on_timeout_cancel_is_asked_for_again_where_it_fails(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            sim.inject("cancel_batch", status=503, times=2)
            event = wait_for(hook, sim, batch_id, deadline=sim.now() + HOUR, on_timeout="cancel")
        assert event.batches[batch_id].status == "cancelled"

    def test_cancels_that_are_refused_for_a_day_are_logged_once_and_not_for_every_shard(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook, log = connect(sim), LogRecord()
            ids = created(hook, 5)
            sim.inject("cancel_batch", status=503, times=10**6)
            watch = Watch(tuple(ids), PAUSE, sim.now() + DAY, stall_seconds=HOUR, on_stall="cancel")
            asyncio.run(waited(hook, sim, watch, log))
            calls = Counter(call.name for call in sim.journal)
        assert calls["cancel_batch"] <= 2 * calls["list_batches"]
        assert len(log.warnings) + len(log.infos) < 200

    def test_a_wait_ends_an_hour_after_its_deadline_where_the_cancel_does_not_end(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=Timing(working_seconds=100 * DAY, cancelling_seconds=100 * DAY)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            begun = sim.now()
            event = wait_for(hook, sim, batch_id, deadline=begun + HOUR, on_timeout="cancel")
        assert f"{batch_id} is cancelling" in event.message
        assert sim.now() - begun == pytest.approx(HOUR + CANCEL_GRACE_SECONDS, abs=2)

    def test_on_timeout_cancels_though_the_triggerer_was_away_for_longer_than_a_cancel_may_take(
        self, connect: Connect
    ) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            (batch_id,) = created(connect(sim), 1)
            deadline = time.time() - CANCEL_GRACE_SECONDS - 60
            (event,) = fired(
                [KimiBatchTrigger(batch_ids=[batch_id], poll_interval=5, deadline=deadline, on_timeout="cancel")]
            )
            assert sim.status(batch_id) == "cancelling"
        assert event.outcome == "timed_out"

    def test_on_timeout_cancels_in_a_task_that_is_rescheduled_more_seldom_than_a_cancel_may_take(
        self, connect: Connect
    ) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = created(hook, 1)
            watch = Watch((batch_id,), 2 * HOUR, sim.now() + 2.5 * HOUR, "cancel")
            pauses = []
            while (found := poll_once(hook, watch, LogRecord(), clock=sim.now)).event is None:
                pauses.append(found.pause_seconds)
                sim.advance(found.pause_seconds)
            assert sim.status(batch_id) == "cancelled"
        assert pauses[:3] == pytest.approx([2 * HOUR, 0.5 * HOUR, 60], abs=2)

    def test_cancels_of_many_waits_at_once_open_few_connections(self, connect: Connect) -> None:
        with KimiSimulator(timing=NEVER) as sim:
            ids = created(connect(sim), 40)
            sim.inject("cancel_batch", hang_seconds=0.5, times=None)
            at_once = 0

            async def count() -> None:
                nonlocal at_once
                while True:
                    at_once = max(
                        at_once, sum(call.name == "cancel_batch" and call.status is None for call in sim.journal)
                    )
                    await asyncio.sleep(0.05)

            options: dict[str, Any] = {"poll_interval": 1, "deadline": time.time() - 1, "on_timeout": "cancel"}
            fired([KimiBatchTrigger(batch_ids=[batch_id], **options) for batch_id in ids], count)
        assert 1 <= at_once <= 3

    def test_on_timeout_cancels_nothing_that_assembles_its_results(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=Timing(working_seconds=1, finalizing_seconds=1.5 * HOUR)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            event = wait_for(hook, sim, batch_id, deadline=sim.now() + HOUR, on_timeout="cancel")
            assert "cancel_batch" not in [call.name for call in sim.journal]
        assert (event.outcome, event.batches[batch_id].status) == ("ended", "completed")

    def test_a_task_goes_on_to_rows_that_were_paid_after_a_timeout_if_asked_to(self, connect: Connect) -> None:
        """Rows that were done are landed, whatever the batch ended as."""
        with KimiSimulator(speed=0, timing=Timing(working_seconds=4 * HOUR)) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 4).batch_ids
            event = wait_for(hook, sim, batch_id, deadline=sim.now() + 2 * HOUR, on_timeout="cancel").to_dict()
            go_on = KimiBatchSensor(task_id="wait", batch_id=batch_id, on_timeout="cancel", on_incomplete="continue")
            assert resume_task(go_on, event).value == [batch_id]
            assert "on_incomplete" not in event["message"], "it is set already"
            with pytest.raises(AirflowSensorTimeout, match="^The wait timed out. Land what there is"):
                resume_task(KimiBatchSensor(task_id="wait", batch_id=batch_id, on_timeout="cancel"), event)


class TestAStallThatIsCancelled:
    def test_a_stall_that_was_cancelled_is_named_by_the_error_of_the_deferred_task(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            event = wait_for(hook, sim, batch_id, stall_seconds=HOUR, on_stall="cancel").to_dict()
            with pytest.raises(
                AirflowFailException, match="Land what there is.*has not moved since.*None of these runs.*is cancelled"
            ):
                resume_task(KimiBatchSensor(task_id="wait", batch_id=batch_id, on_stall="cancel"), event)

    def test_a_stall_that_was_cancelled_is_named_by_the_error_of_a_task_that_waits_in_its_worker(
        self, connect: Connect
    ) -> None:
        with KimiSimulator(timing=NEVER) as sim:
            (batch_id,) = submit_prompts(connect(sim), 2).batch_ids
            task = KimiBatchSensor(
                task_id="wait",
                batch_id=batch_id,
                deferrable=False,
                poke_interval=0.2,
                stall_timeout=3,
                on_stall="cancel",
            )
            with pytest.raises(AirflowFailException, match="has not moved since"):
                run_task(task)


class TestAnEventOfAnotherTry:
    def test_an_event_of_another_try_decides_nothing(self, connect: Connect) -> None:
        """A retry that is resumed with the event of the try before waits as if it had just begun."""
        with KimiSimulator(speed=0) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            stale = BatchEvent("timed_out", {}, "too late", try_number=1).to_dict()
            task = KimiBatchSensor(task_id="wait", batch_id=batch_id)
            with pytest.raises(AirflowSensorTimeout):
                resume_task(task, stale, try_number=1)
            sim.advance(60)
            assert resume_task(task, stale, try_number=2).value == [batch_id]

    def test_an_event_about_fewer_batches_decides_nothing(self, connect: Connect) -> None:
        with KimiSimulator(speed=0) as sim:
            hook = connect(sim)
            ids = created(hook, 2)
            sim.advance(60)
            fewer = BatchEvent("ended", {ids[0]: BatchEnd.of(hook.get_batch(ids[0]))})
            before = len(sim.journal)
            assert resume_task(KimiBatchSensor(task_id="wait", batch_id=ids), fewer.to_dict()).value == ids
            assert len(sim.journal) > before, "it polled both"

    def test_an_event_about_other_batches_decides_nothing(self, connect: Connect) -> None:
        with KimiSimulator(speed=0) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 2).batch_ids
            sim.advance(60)
            other = BatchEvent("failed", {"batch_of_before": BatchEnd.of(hook.get_batch(batch_id))}, "another")
            task = KimiBatchSensor(task_id="wait", batch_id=batch_id)
            assert resume_task(task, other.to_dict()).value == [batch_id]


def test_a_trigger_that_an_older_release_stored_starts_and_cancels_nothing_when_killed() -> None:
    """The arguments of 0.1.0 before `on_timeout`, `cancel_on_kill` and `try_number` existed."""
    stored = {"batch_ids": ["batch_1"], "kimi_conn_id": "kimi_default", "poll_interval": 30.0, "deadline": 1.8e9}
    trigger = KimiBatchTrigger(**stored)
    assert trigger.serialize()[1] == {
        **stored,
        "on_timeout": "keep",
        "cancel_on_kill": False,
        "try_number": None,
        "stall_timeout": 21_600.0,
        "on_stall": "keep",
        "told": None,
        "fewer_than": None,
        "look_at": None,
        "to_come": 0,
        "progress": True,
        "version": 1,
    }
