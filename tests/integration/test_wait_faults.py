"""Faults that look permanent: a wait believes them only once they have lasted, and another try may fare better."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import submit_prompts
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task
from tests.support.triggers import created
from tests.support.waiting import from_poke_to_poke, in_triggerer, sensor, wait_in_worker

HOUR = 3600.0
NEVER = Timing(working_seconds=100 * HOUR)

UNKNOWN: dict[str, Any] = {"status": 404, "error_type": "resource_not_found_error"}
REFUSED: dict[str, Any] = {"status": 401, "error_type": "invalid_authentication_error"}
FORBIDDEN: dict[str, Any] = {"status": 403, "error_type": "permission_denied_error"}
NO_MONEY: dict[str, Any] = {"status": 429, "error_type": "exceeded_current_quota_error", "message": "top up"}

Wait = Callable[[KimiHook, KimiSimulator, Watch, LogRecord], BatchEvent]


MODES = [in_triggerer, wait_in_worker, from_poke_to_poke]


def refuse(sim: KimiSimulator, fault: Mapping[str, Any], times: int | None = None) -> None:
    for call in ("get_batch", "list_batches"):
        sim.inject(call, **fault, times=times)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
class TestAFaultThatPasses:
    @pytest.mark.parametrize(
        ("fault", "polls"),
        [
            pytest.param(UNKNOWN, 3, id="404 for half a minute"),
            pytest.param(UNKNOWN, 7, id="404 for four minutes"),
            pytest.param(FORBIDDEN, 7, id="403 for four minutes"),
            pytest.param(REFUSED, 13, id="401 for nine minutes"),
            pytest.param(NO_MONEY, 13, id="no money for nine minutes"),
        ],
    )
    def test_it_only_delays_the_wait_of_a_fresh_batch(
        self, connect: Connect, mode: Wait, fault: dict[str, Any], polls: int
    ) -> None:
        """So many polls in a row meet it, at pauses of 10 to 50 seconds."""
        with KimiSimulator(speed=0, timing=Timing(working_seconds=1000)) as sim:
            hook = connect(sim)
            (batch_id,) = created(hook, 1)
            sim.inject("get_batch", **fault, times=polls)
            event = mode(hook, sim, Watch((batch_id,), 10.0), LogRecord())
        assert event.outcome == "ended"

    def test_a_batch_that_the_platform_shows_late_is_waited_for(self, connect: Connect, mode: Wait) -> None:
        with KimiSimulator(speed=0, behaviour=Behaviour(batch_lag_seconds=200, list_lag_seconds=200)) as sim:
            hook = connect(sim)
            (batch_id,) = created(hook, 1)
            event = mode(hook, sim, Watch((batch_id,), 5.0), LogRecord())
        assert event.outcome == "ended"


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
class TestAFaultThatLasts:
    @pytest.mark.parametrize(
        ("fault", "age", "seconds"),
        [
            pytest.param(UNKNOWN, 0, 300, id="404, young"),
            pytest.param(UNKNOWN, HOUR, 300, id="404, old but never read"),
            pytest.param(REFUSED, HOUR, 600, id="401"),
            pytest.param(NO_MONEY, HOUR, 600, id="no money"),
        ],
    )
    def test_it_ends_the_wait_at_its_time_and_another_try_may_fare_better(
        self, connect: Connect, mode: Wait, fault: dict[str, Any], age: float, seconds: float
    ) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = created(hook, 1)
            sim.advance(age)
            refuse(sim, fault)
            begun = sim.now()
            event = mode(hook, sim, Watch((batch_id,), 7.0), log := LogRecord())
            assert seconds <= sim.now() - begun <= seconds + 15
        assert (event.outcome, event.retryable) == ("failed", True)
        assert sum("The wait goes on for" in line for line in log.warnings) == 1


def test_a_batch_that_was_read_and_is_old_is_given_up_after_a_minute(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=NEVER) as sim:
        hook = connect(sim)
        (batch_id,) = created(hook, 1)
        sim.advance(HOUR)
        sim.inject("get_batch", **UNKNOWN, times=None, skip=1)
        begun = sim.now()
        event = in_triggerer(hook, sim, Watch((batch_id,), 20.0), LogRecord())
        assert 40 + 60 <= sim.now() - begun <= 40 + 60 + 25
    assert event.batches == {batch_id: BatchEnd("in_progress", total=2)}, "as it was last read"


class TestWhatTasksBehindAWaitSee:
    """A person may mark it success at any time, and the batches are paid."""

    def test_a_deferred_sensor_has_pushed_the_ids_that_it_will_return(self, hook: KimiHook) -> None:
        ids = created(hook, 2)
        attempt = run_task(sensor(ids))
        assert attempt.deferred is not None
        assert attempt.ti.xcoms["return_value"] == ids

    def test_a_rescheduled_sensor_has_pushed_them_too(self, hook: KimiHook) -> None:
        ids, ti = created(hook, 1), TaskInstanceRecord(task_id="wait")
        context: Any = {"ti": ti}
        assert sensor(ids, deferrable=False, mode="reschedule").poke(context) is False
        assert ti.xcoms["return_value"] == ids

    def test_a_sensor_that_pushes_no_xcom_pushes_none_while_it_waits(self, hook: KimiHook) -> None:
        attempt = run_task(sensor(created(hook, 1), do_xcom_push=False))
        assert "return_value" not in attempt.ti.xcoms


class TestTheFirstPoll:
    """It holds a worker slot, so it does not wait for certainty."""

    @pytest.mark.parametrize("fault", [UNKNOWN, REFUSED, FORBIDDEN], ids=["404", "401", "403"])
    def test_a_deferrable_sensor_defers_at_once_and_says_what_to_do(
        self, sim: KimiSimulator, hook: KimiHook, fault: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = created(hook, 3)
        refuse(sim, fault)
        before = sim.now()
        assert run_task(sensor(ids)).deferred is not None
        assert sim.now() - before < 10
        log = capsys.readouterr().out
        assert "The wait goes on for" in log
        if fault is REFUSED:
            assert "The wait goes on for 10 minutes: put it right by then, and it goes on. The key of connection" in log
            assert "Put a valid key into its API key field" in log

    def test_an_id_that_cannot_be_one_fails_the_task_at_once(self, hook: KimiHook) -> None:
        with pytest.raises(AirflowFailException, match="Nothing was sent"):
            run_task(sensor("../etc"))


def refused(batch_ids: list[str], **fields: Any) -> dict[str, Any]:
    """The event of a wait that believes that a batch is gone."""
    ends = {batch_id: BatchEnd("in_progress", total=2, completed=1) for batch_id in batch_ids}
    return BatchEvent("failed", ends, "Kimi refused reading a batch.", retryable=True, **fields).to_dict()


class TestTheVerdict:
    def test_six_seconds_of_404_on_a_healthy_batch_cancel_nothing(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, timing=NEVER) as sim:
            hook = connect(sim)
            (batch_id,) = created(hook, 1)
            sim.advance(60)
            sim.inject("get_batch", **UNKNOWN, skip=1, times=2)
            event = in_triggerer(hook, sim, Watch((batch_id,), 3.0, sim.now() + 600), LogRecord())
            assert event.outcome == "timed_out", "and not failed"
            assert "cancel_batch" not in [call.name for call in sim.journal]

    def test_a_verdict_that_the_next_read_disproves_is_withdrawn(
        self, sim: KimiSimulator, hook: KimiHook, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The platform answers again: nothing is cancelled, and the wait goes on."""
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        task = sensor(batch_id, on_final_failure="cancel")
        assert resume_task(task, refused([batch_id])).deferred is not None
        assert "cancel_batch" not in [call.name for call in sim.journal]
        assert "can be read again, so the wait goes on" in capsys.readouterr().out

    def test_a_verdict_that_a_poll_without_an_answer_leaves_open_is_withdrawn(
        self, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.inject("get_batch", status=503, times=None)
        task = sensor(batch_id, on_final_failure="cancel")
        assert resume_task(task, refused([batch_id])).deferred is not None

    def test_a_verdict_about_batches_that_have_ended_meanwhile_is_their_end(
        self, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.advance(60)
        assert resume_task(sensor(batch_id), refused([batch_id])).value == [batch_id]

    def test_a_verdict_that_stands_leaves_the_task_to_its_retries_and_cancels_nothing_yet(
        self, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        gone, runs = created(hook, 2)
        sim.inject("get_batch", **UNKNOWN)
        task = sensor([gone, runs], on_final_failure="cancel", soft_fail=True)
        with pytest.raises(KimiBatchError) as caught:
            resumed(task, refused([gone, runs]), max_tries=1)
        assert caught.value.retryable is True
        assert not isinstance(caught.value, AirflowFailException)
        assert "The next try waits for what still runs and is billed: " in str(caught.value)
        assert "cancel_batch" not in [call.name for call in sim.journal]

    def test_at_the_last_try_only_what_can_be_read_is_cancelled(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """The other may be healthy; a poll singly meets the one that is put first."""
        first, second = created(hook, 2)
        sim.advance(10)
        sim.inject("get_batch", **UNKNOWN)
        task = sensor([first, second], on_final_failure="cancel")
        with pytest.raises(KimiBatchError, match="Not read, so perhaps running and billed") as caught:
            resumed(task, refused([first, second]), max_tries=0)
        assert caught.value.retryable is True
        assert {sim.status(first), sim.status(second)} & {"in_progress"}, "it is left alone"
        assert [call.name for call in sim.journal].count("cancel_batch") == 1

    def test_at_the_last_try_a_sensor_with_soft_fail_skips(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = created(hook, 1)
        sim.inject("get_batch", **UNKNOWN)
        with pytest.raises(AirflowSkipException):
            resumed(sensor(batch_id, soft_fail=True), refused([batch_id]), max_tries=0)

    def test_a_sensor_whose_key_is_refused_names_what_was_not_read(self, sim: KimiSimulator, hook: KimiHook) -> None:
        ids = created(hook, 3)
        refuse(sim, REFUSED)
        with pytest.raises(KimiBatchError, match=f"perhaps running and billed: {', '.join(ids)}"):
            resumed(sensor(ids, on_final_failure="cancel"), refused([]), max_tries=0)
        assert "cancel_batch" not in [call.name for call in sim.journal]

    def test_a_batch_with_an_undocumented_status_is_cancelled_as_well(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """Nobody knows that it does not run and cost money."""
        (batch_id,) = created(hook, 1)
        event = BatchEvent("failed", {batch_id: BatchEnd("paused")}, "The wait ends, as on_stall='fail' asks.")
        with pytest.raises(AirflowFailException, match="Cancelled, as on_final_failure asks"):
            resumed(sensor(batch_id, on_final_failure="cancel"), event.to_dict(), max_tries=3)
        assert [call.name for call in sim.journal].count("cancel_batch") == 1


def resumed(task: Any, event: dict[str, Any], max_tries: int) -> Any:
    """Resume the first try of so many retries."""
    ti = TaskInstanceRecord(task_id=task.task_id, max_tries=max_tries)
    context: Any = {"ti": ti}
    task.render_template_fields(context)
    return task.execute_complete(context, event)


NOW = int(time.time())


class TestABatchThatIsShownOddly:
    """A wait goes on, whatever numbers and times the platform sends."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"in_progress_at": NOW - 1800, "request_counts": {"total": 10**9, "completed": -1, "failed": 0}},
            {"in_progress_at": NOW - 60, "request_counts": {"total": -5, "completed": 1, "failed": -70_000_000}},
            {"in_progress_at": -63_375_533_000, "request_counts": {"total": 3, "completed": 1, "failed": 0}},
            {"created_at": NOW, "expires_at": 10**12},
            {"created_at": NOW, "expires_at": NOW - 8 * 86_400},
            {"created_at": "soon", "expires_at": None, "request_counts": []},
            {"status": None, "metadata": []},
        ],
        ids=str,
    )
    def test_a_sensor_waits_for_it_and_cancels_nothing(
        self, sim: KimiSimulator, hook: KimiHook, fields: dict[str, Any]
    ) -> None:
        sim.add_odd_batch({"id": "batch_odd", "status": "in_progress", **fields})
        attempt = run_task(sensor("batch_odd", on_timeout="cancel"))
        assert attempt.deferred is not None
        assert "cancel_batch" not in [call.name for call in sim.journal]
