"""The sensor: a task that is done when its batches are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, get_args

from msgspec.structs import replace

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.ids import read_batch_ids
from airflow_provider_kimi.api.standing import as_clock
from airflow_provider_kimi.calls.cancel import OnFinalFailure
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    XComArg,
    first_poke,
)
from airflow_provider_kimi.context import read_attempt, read_try_number
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.fields import check_choice, check_flag, check_seconds
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.airflow import RETURNED_KEY, WAITING_FOR_KEY, WAITING_TRY_KEY, judge_wait
from airflow_provider_kimi.kills.cancels import acancel_given_up
from airflow_provider_kimi.kills.thread import Kill
from airflow_provider_kimi.lineage import lineage_of_batches
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.watch import DEFAULT_STALL_SECONDS, OnStall, OnTimeout, Watch
from airflow_provider_kimi.results.shortfall import Shortfall, shortfall
from airflow_provider_kimi.triggers.batch import PROGRESS_KEY, KimiBatchTrigger
from airflow_provider_kimi.waiting.cancel import leave_running
from airflow_provider_kimi.waiting.decision import CANCEL_GRACE_SECONDS, EXPIRY_GRACE_SECONDS
from airflow_provider_kimi.waiting.pace import LONGEST_PAUSE_SECONDS
from airflow_provider_kimi.waiting.progress import progress_at_end
from airflow_provider_kimi.waiting.wait import FirstPoll, poll_once, wait_here

#: The longest window is 7 days; a wait that no expiry ends, because none is known, ends after these and the grace.
LONGEST_WAIT_SECONDS = 7 * 86_400 + EXPIRY_GRACE_SECONDS

#: How long before an `execution_timeout` the wait ends by itself.
EVENT_MARGIN_SECONDS = 30.0

#: What to do where nothing runs now.
LAND_IT = (
    "Land what there is with KimiBatchResultsOperator (on_incomplete='continue' here goes on to it), then submit the "
    "rest again."
)

#: What happens if a batch ended otherwise than completed.
OnIncomplete = Literal["fail", "continue"]


class KimiBatchSensor(BaseSensorOperator):
    """Wait until every batch is terminal. The wait holds no worker slot.

    A failed poll (no network, 5xx, 429) only delays the wait. If the batches have ended already, the task does not
    defer. A retry or a clear waits for the same batches again; it never creates one. While the task waits, its XCom
    ``return_value`` holds the ids, so that tasks behind it have them if it is marked success.

    ====================================  ===========================================
    the batches ended as                  the task
    ====================================  ===========================================
    all ``completed``                     succeeds (rows in them may have failed)
    one ``failed, expired, cancelled``    ``on_incomplete``: fails at once, or succeeds
    not in time                           ``on_timeout``, then fails without a retry
    unknown id, refused key               fails once that has lasted; ``retries`` count
    ====================================  ===========================================

    Batches end in time if they end within six hours after the last ``expires_at``, and before ``timeout`` and
    ``execution_timeout``. A task that is marked failed cancels what runs, unless another task instance of the run may
    be waiting for it (``cancel_on_kill``). A success mark, a skip and a clear cancel nothing.

    :param batch_id: One id, a list, or the rendered text of a list. Templated.
    :param kimi_conn_id: Airflow connection. Templated.
    :param deferrable: Wait in the triggerer. False waits in the worker, by ``mode`` (``poke`` or ``reschedule``).
    :param poke_interval: Seconds or timedelta between two polls, whatever the platform's tier allows. None for a pace
        that slows down with the batches' age from 10 seconds to a minute (more for windows of days), speeds up near
        their end, and keeps to the connection's ``requests_per_minute`` (3 if it says nothing).
    :param timeout: Seconds or timedelta after which the wait ends, counted from the first poll of this try and kept
        when the triggerer restarts; None for as long as the platform may take. On Airflow 2 a task in
        ``mode="reschedule"`` keeps to Airflow's own limit, an hour later, and cancels nothing then.
    :param on_timeout: What becomes of batches that have not ended in time: ``keep`` lets them go on, and a clear waits
        on; ``cancel`` cancels them and waits up to an hour for their end, so that completed rows can be landed.
    :param cancel_on_kill: Cancel what runs when the task or its run is marked failed while it waits, or the run times
        out (``dagrun_timeout``). For a deferred task this needs Airflow 3.3 and a live triggerer; a task in
        ``mode="reschedule"`` cannot notice.
    :param on_final_failure: What becomes of batches that still run when the task fails for good for another reason:
        ``keep`` lets them go on, and the message names them; ``cancel`` cancels them.
    :param stall_timeout: Seconds or timedelta after which a batch that has not moved is stalled; half an hour after its
        ``expires_at`` it is stalled too. In ``mode="reschedule"`` rows that no longer get done are not noticed.
    :param on_stall: What becomes of a stalled batch: ``keep`` warns and waits on, ``cancel`` cancels it and waits for
        its end, ``fail`` fails the task and does with it what ``on_final_failure`` says.
    :param on_incomplete: What happens if a batch is ``failed``, ``expired`` or ``cancelled``: ``fail`` fails the task,
        ``continue`` goes on, so that a KimiBatchResultsOperator can land the completed rows.
    :return: The ids, in the given order.
    """

    template_fields: Sequence[str] = ("batch_id", "kimi_conn_id")
    ui_color = "#e6e1ff"

    def __init__(
        self,
        *,
        batch_id: str | Sequence[str] | XComArg,
        kimi_conn_id: str = KimiHook.default_conn_name,
        deferrable: bool = True,
        poke_interval: timedelta | float | None = None,
        timeout: timedelta | float | None = None,
        on_timeout: OnTimeout = "keep",
        cancel_on_kill: bool = True,
        on_final_failure: OnFinalFailure = "keep",
        stall_timeout: timedelta | float = DEFAULT_STALL_SECONDS,
        on_stall: OnStall = "keep",
        on_incomplete: OnIncomplete = "fail",
        **kwargs: Any,
    ) -> None:
        allowed = LONGEST_WAIT_SECONDS if timeout is None else check_seconds("timeout", timeout)
        own_pause = None if poke_interval is None else check_seconds("poke_interval", poke_interval)
        # Airflow's own limit, which holds in a worker only, comes last: ours ends the wait in order.
        super().__init__(
            poke_interval=LONGEST_PAUSE_SECONDS if own_pause is None else own_pause,
            timeout=allowed + CANCEL_GRACE_SECONDS,
            **kwargs,
        )
        check_choice("on_incomplete", on_incomplete, get_args(OnIncomplete))
        check_choice("on_timeout", on_timeout, get_args(OnTimeout))
        check_choice("on_final_failure", on_final_failure, get_args(OnFinalFailure))
        check_choice("on_stall", on_stall, get_args(OnStall))
        check_flag("cancel_on_kill", cancel_on_kill)
        check_flag("deferrable", deferrable)
        self.batch_id = batch_id
        self.kimi_conn_id = kimi_conn_id
        self.deferrable = deferrable
        self.on_incomplete = on_incomplete
        self.on_timeout = on_timeout
        self.cancel_on_kill = cancel_on_kill
        self.on_final_failure = on_final_failure
        self.on_stall = on_stall
        self._own_pause = own_pause
        self._stall_seconds = check_seconds("stall_timeout", stall_timeout)
        self._allowed_seconds = allowed
        self._is_killed = False
        self._kill: Kill | None = None
        self._pause_seconds = LONGEST_PAUSE_SECONDS

    @cached_property
    def hook(self) -> KimiHook:
        """One hook, and so one HTTP client, for all polls of a task that waits in its worker."""
        return KimiHook(self.kimi_conn_id)

    @property
    def _calls(self) -> Calls:
        return Calls(self.hook, self.log)

    def execute(self, context: Context) -> Any:
        """Wait; in the triggerer unless there is nothing left to wait for."""
        if self.mode == "reschedule" and not self.deferrable:
            return super().execute(context)
        with self._killable(context):
            self._note_wait(context)
            return self._go_on(context, self._poll(context))

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once."""
        with self._killable(context):
            self._note_wait(context)
            return self._poke(context)

    def _poke(self, context: Context) -> bool | PokeReturnValue:
        first = self._poll(context, is_only_one=True)
        if first.event is not None and _is_refusal(first.event):
            first = self._checked(context, first.event)
        self._pause_seconds = first.pause_seconds
        if first.event is not None:
            return PokeReturnValue(True, self._conclude(context, first.event))
        self._push_ids(context)
        return False

    def _poll(self, context: Context, *, is_only_one: bool = False) -> FirstPoll:
        with airflow_errors(self):
            return poll_once(self.hook, self._watch(context), self.log, is_only_one=is_only_one)

    def _go_on(self, context: Context, first: FirstPoll) -> Any:
        """Conclude if the first poll has ended the wait; else wait on."""
        if first.event is not None:
            return self._conclude(context, first.event)
        self.log.info("Waiting until %s at the latest.", as_clock(first.ends_at))
        watch = first.watch
        self._push_ids(context)
        if not self.deferrable:
            return self._after_wait(context, wait_here(self.hook, watch, self.log))
        self.defer(trigger=KimiBatchTrigger.of(watch), method_name="execute_complete")

    def _after_wait(self, context: Context, event: BatchEvent) -> Any:
        if not _is_refusal(event):
            return self._conclude(context, event)
        return self._go_on(context, self._checked(context, event))

    def _checked(self, context: Context, event: BatchEvent) -> FirstPoll:
        """Poll once more before batches that could not be read fail the task; without a fault the wait goes on.

        Of a verdict that stands, only batches count that can be read now.
        """
        again = self._poll(context)
        if not again.is_in_doubt:
            self.log.warning("The batches can be read again, so the wait goes on. It was to end: %s", event.message)
            return again
        batches = {batch_id: BatchEnd.of(batch) for batch_id, batch in again.read.items()}
        return again._replace(event=replace(event, batches=batches))

    def _push_ids(self, context: Context) -> None:
        """Show the ids while the task waits, so that tasks behind it have them if it is marked success."""
        if self.do_xcom_push and (ti := context.get("ti")) is not None:
            ti.xcom_push(RETURNED_KEY, self._ids())

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Say when to poke again in ``mode="reschedule"``; Airflow asks so in all its versions since 2.11."""
        asked = super()._get_next_poke_interval(*args, **kwargs) if self.exponential_backoff else 0.0
        return max(float(asked), self._pause_seconds)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume when the trigger has fired.

        An event of an earlier try, or of other batches, decides nothing: the task then waits as if it had just started.
        """
        with airflow_errors(self):
            read = BatchEvent.from_dict(event)
            own = self._ids()
        is_late = read.try_number is not None and read.try_number != (read_try_number(context) or read.try_number)
        is_of_others = not read.batches.keys() <= set(own) or (read.outcome == "ended" and not read.has_ended(own))
        if is_late or is_of_others:
            self.log.warning("The event that resumed this task is of another try or of other batches. Waiting again.")
            return self.execute(context)
        with self._killable(context):
            return self._after_wait(context, read)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Report the batches to OpenLineage; the same in every mode."""
        return lineage_of_batches(self.batch_id, self.kimi_conn_id)

    def on_kill(self) -> None:
        """Cancel what runs, if the task is given up while it is in a worker."""
        self._is_killed = True
        if self.cancel_on_kill and self._kill is not None:
            self._kill.begin()

    def _killable(self, context: Context) -> Kill:
        """Be ready for a kill, also for one that has come already."""
        self._kill = Kill(lambda _: self._cancel_if_given_up(context), self.log)
        if self._is_killed:
            self.on_kill()
        return self._kill

    def _cancel_if_given_up(self, context: Context) -> None:
        verdict = judge_wait(context["ti"], self._ids(), read_try_number(context))
        if verdict.cancels:
            _ = self.hook.settings  # looked up here, where it may block
        asyncio.run(acancel_given_up(self.hook, verdict, {}, self.log))

    def _note_wait(self, context: Context) -> None:
        """Note the try and its batches, so that a kill knows whether a later try or another task waits for them."""
        with airflow_errors(self):
            batch_ids = self._ids()
        if (try_number := read_try_number(context)) is not None:
            context["ti"].xcom_push(WAITING_TRY_KEY, try_number)
            context["ti"].xcom_push(WAITING_FOR_KEY, batch_ids)

    def _watch(self, context: Context) -> Watch:
        """Say what is waited for, and until when. Airflow bounds only what a worker does; the wait keeps to it too."""
        started = first_poke(context) if self.mode == "reschedule" else None
        ends = [(started or time.time()) + self._allowed_seconds]
        if self.execution_timeout and self.mode != "reschedule":
            seconds = self.execution_timeout.total_seconds()
            ends.append(time.time() + seconds - min(EVENT_MARGIN_SECONDS, seconds / 10))
        with airflow_errors(self):
            batch_ids = tuple(self._ids())
        return Watch(
            batch_ids,
            pause_seconds=self._own_pause,
            deadline=min(ends),
            on_timeout=self.on_timeout,
            stall_seconds=self._stall_seconds,
            on_stall=self.on_stall,
            kimi_conn_id=self.kimi_conn_id,
            cancel_on_kill=self.cancel_on_kill,
            try_number=read_try_number(context),
        )

    def _ids(self) -> list[str]:
        return read_batch_ids(self.batch_id)

    def _conclude(self, context: Context, event: BatchEvent) -> list[str]:
        if event.batches and (ti := context.get("ti")) is not None:
            ti.xcom_push(PROGRESS_KEY, progress_at_end(event.batches.values()).to_dict())
        is_last = context.get("ti") is None or read_attempt(context).is_last
        try:
            with airflow_errors(self):
                self._judge(event, is_last=is_last)
        except (KimiError, AirflowSensorTimeout) as error:
            may_pass = isinstance(error, KimiError) and error.retryable and not is_last
            if not may_pass and (self.soft_fail or getattr(self, "never_fail", False)):
                self.log.warning("%s", error)  # Airflow does not log why a task was skipped
                raise AirflowSkipException(str(error)) from None
            raise
        return self._ids()

    def _judge(self, event: BatchEvent, *, is_last: bool) -> None:
        if event.outcome == "failed":
            cancel, is_final = self.on_final_failure == "cancel", is_last or not event.retryable
            left = leave_running(self._calls, event, self._ids(), cancel=cancel, is_final=is_final)
            raise KimiBatchError(f"{event.message} {left}".strip(), retryable=event.retryable)
        if event.outcome == "timed_out" and not event.has_ended(self._ids()):
            raise AirflowSensorTimeout(event.message)
        is_late = event.outcome == "timed_out"
        found = Shortfall("The wait timed out.", event.message) if is_late else shortfall(self._calls, event)
        if found is None:
            return
        if self.on_incomplete == "continue":
            self.log.warning("Going on, as on_incomplete='continue' asks. %s %s", *found)
            return
        raise (AirflowSensorTimeout if is_late else KimiBatchError)(f"{found.cause} {LAND_IT} {found.details}")


def _is_refusal(event: BatchEvent) -> bool:
    """Whether a wait ended because batches could not be read."""
    return event.outcome == "failed" and event.retryable
