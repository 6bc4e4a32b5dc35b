"""The wait of a task: it polls, defers, is resumed and is killed in the same way, whatever the task does besides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from msgspec.structs import replace

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.standing import as_clock
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import AirflowSensorTimeout, Context, first_poke
from airflow_provider_kimi.compat.triggers import TRIGGERS_SEE_MARKS
from airflow_provider_kimi.context import is_last_try, read_try_number
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.turns import NOTHING_TO_COME, ToCome
from airflow_provider_kimi.jobs.wait_terms import WaitTerms
from airflow_provider_kimi.kills.airflow import RETURNED_KEY, WAITING_FOR_KEY, WAITING_TRY_KEY, judge_wait
from airflow_provider_kimi.kills.cancels import acancel_given_up
from airflow_provider_kimi.kills.claims import marks_in_words
from airflow_provider_kimi.kills.thread import Kill
from airflow_provider_kimi.links import show_links
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.triggers.batch import PROGRESS_KEY, KimiBatchTrigger
from airflow_provider_kimi.waiting.cancel import leave_running
from airflow_provider_kimi.waiting.progress import progress_at_end
from airflow_provider_kimi.waiting.wait import FirstPoll, poll_once, wait_here

#: How long before an `execution_timeout` the wait ends by itself.
EVENT_MARGIN_SECONDS = 30.0


class TaskWait:
    """One wait of one try of a task. It is entered while the task deals with its batches.

    :param task: The operator.
    :param batch_ids: What it waits for.
    :param shown_as: XCom key under which the ids are shown while it waits.
    :param is_rescheduled: Whether Airflow starts the task anew for each poll. Its time counts from the first of them,
        and no `execution_timeout` bounds it.
    :param to_come: What is created later, for which the wait ends once there is room.
    """

    def __init__(
        self,
        task: Any,
        context: Context,
        hook: KimiHook,
        batch_ids: Sequence[str],
        terms: WaitTerms,
        *,
        shown_as: str = RETURNED_KEY,
        is_rescheduled: bool = False,
        to_come: ToCome = NOTHING_TO_COME,
    ) -> None:
        self._task = task
        self._context = context
        self._hook = hook
        self._terms = terms
        self._shown_as = shown_as
        self._is_rescheduled = is_rescheduled
        self._to_come = to_come
        self._kill = Kill(lambda _: self._cancel_if_given_up(), task.log)
        self.batch_ids = batch_ids

    def __enter__(self) -> Self:
        self._kill.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._kill.__exit__()

    def until_ended(self, **resume: Any) -> BatchEvent:
        """Wait; in the triggerer, unless there is nothing left to wait for.

        :param resume: What the resumed task is to be given beside the event.
        :raises TaskDeferred: The task waits in the triggerer.
        """
        self._note()
        return self._go_on(self._poll(), resume)

    def resumed(self, event: BatchEvent, **resume: Any) -> BatchEvent:
        """Go on when the trigger has fired.

        An event of an earlier try, or of other batches, decides nothing: the task then waits as if it had just started.
        """
        own, try_number = self.batch_ids, read_try_number(self._context)
        is_late = event.try_number is not None and event.try_number != (try_number or event.try_number)
        is_of_others = not event.batches.keys() <= set(own)
        is_early = event.outcome == "ended" and not self._to_come.count and not event.has_ended(own)
        if is_late or is_of_others or is_early:
            self._task.log.warning(
                "The event that resumed this task is of another try or of other batches. Waiting again."
            )
            return self.until_ended(**resume)
        return self._go_on(self._checked(event), resume) if _is_refusal(event) else event

    def poke(self) -> FirstPoll:
        """Poll once, as a sensor does that Airflow calls again."""
        self._note()
        first = self._poll(is_only_one=True)
        if first.event is not None and _is_refusal(first.event):
            first = self._checked(first.event)
        if first.event is None:
            self._push_ids()
        return first

    def kill(self) -> None:
        """Cancel what runs, if the task is given up."""
        if self._terms.cancel_on_kill:
            self._kill.begin()

    def show_end(self, event: BatchEvent) -> None:
        """Push how far the batches are at the end of the wait."""
        if event.batches:
            self._push_progress(event.batches.values(), event.polled_at)

    def check(self, event: BatchEvent, *, is_overdue: bool = False) -> None:
        """Fail a task whose batches have not ended, or could not be read.

        :param is_overdue: Whether batches that are still to come will not be made, since the task is to finish.
        :raises KimiBatchError: They could not be read.
        :raises AirflowSensorTimeout: They have not ended in time.
        """
        if event.outcome == "failed":
            cancel = self._terms.on_final_failure == "cancel"
            is_final = is_last_try(self._context) or not event.retryable
            calls = Calls(self._hook, self._task.log)
            left = leave_running(calls, event, self.batch_ids, cancel=cancel, is_final=is_final)
            raise KimiBatchError(f"{event.message} {left}".strip(), retryable=event.retryable)
        if event.outcome == "timed_out" and self._lacks_any(event, is_overdue=is_overdue):
            raise AirflowSensorTimeout(event.message)

    def _lacks_any(self, event: BatchEvent, *, is_overdue: bool) -> bool:
        return not event.has_ended(self.batch_ids) or (self._to_come.count > 0 and not is_overdue)

    def _note(self) -> None:
        """Note the try and its batches, so that a kill knows whether a later try or another task waits for them."""
        show_links(self._context, self._hook, self.batch_ids)
        if (try_number := read_try_number(self._context)) is not None:
            self._context["ti"].xcom_push(WAITING_TRY_KEY, try_number)
            self._context["ti"].xcom_push(WAITING_FOR_KEY, list(self.batch_ids))

    def _poll(self, *, is_only_one: bool = False) -> FirstPoll:
        with airflow_errors(self._task):
            return poll_once(self._hook, self._watch(), self._task.log, is_only_one=is_only_one)

    def _go_on(self, first: FirstPoll, resume: Mapping[str, Any]) -> BatchEvent:
        """Return the event if a first poll has ended the wait; else wait on."""
        while first.event is None:
            self._task.log.info("Waiting until %s at the latest.%s", as_clock(first.ends_at), self._next_look())
            for line in marks_in_words(cancels=self._sees_marks()):
                self._task.log.info("%s", line)
            self._push_ids()
            if self._terms.deferrable:
                trigger = KimiBatchTrigger.of(first.watch)
                self._task.defer(trigger=trigger, method_name="execute_complete", kwargs=dict(resume))
                raise AssertionError("Airflow goes on behind a deferral")
            event = wait_here(self._hook, first.watch, self._task.log)
            if not _is_refusal(event):
                return event
            first = self._checked(event)
        return first.event

    def _checked(self, event: BatchEvent) -> FirstPoll:
        """Poll once more before batches that could not be read fail the task; without a fault the wait goes on.

        Of a verdict that stands, only batches count that can be read now.
        """
        again = self._poll()
        if not again.is_in_doubt:
            self._task.log.warning(
                "The batches can be read again, so the wait goes on. It was to end: %s", event.message
            )
            return again
        batches = {batch_id: BatchEnd.of(batch) for batch_id, batch in again.read.items()}
        return again._replace(event=replace(event, batches=batches))

    def _sees_marks(self) -> bool:
        """Whether a failed mark cancels the batches."""
        return self._terms.cancel_on_kill and (TRIGGERS_SEE_MARKS or not self._terms.deferrable)

    def _next_look(self) -> str:
        """Say when the task looks for room, if it does."""
        count, look_at = self._to_come.count, self._to_come.look_at
        if look_at is None:
            return ""
        return f" The account has no room now. Batches to come: {count}. The task looks again at {as_clock(look_at)}."

    def _push_ids(self) -> None:
        """Show the ids while the task waits, so that they are known if it is marked success."""
        if self._task.do_xcom_push and (ti := self._context.get("ti")) is not None:
            ti.xcom_push(self._shown_as, list(self.batch_ids))
            if not self.batch_ids:  # a trigger without batches pushes nothing
                self._push_progress((), None)

    def _push_progress(self, batches: Collection[BatchEnd], polled_at: float | None) -> None:
        if self._shows_progress() and (ti := self._context.get("ti")) is not None:
            ti.xcom_push(PROGRESS_KEY, progress_at_end(batches, polled_at, self._to_come.count).to_dict())

    def _shows_progress(self) -> bool:
        """Whether the task and its connection both want it; that the connection cannot be read now fails no wait."""
        with suppress(KimiError):
            return self._terms.progress and self._hook.settings.progress
        return self._terms.progress

    def _cancel_if_given_up(self) -> None:
        verdict = judge_wait(self._context["ti"], list(self.batch_ids), read_try_number(self._context))
        if verdict.cancels:
            _ = self._hook.settings  # looked up here, where it may block
        asyncio.run(acancel_given_up(self._hook, verdict, {}, self._task.log))

    def _watch(self) -> Watch:
        """Say what is waited for, and until when. Airflow bounds only what a worker does; the wait keeps to it too."""
        started = first_poke(self._context) if self._is_rescheduled else None
        started = started or self._to_come.idle_since or time.time()
        ends = [started + self._terms.allowed_seconds]
        if self._task.execution_timeout and not self._is_rescheduled:
            seconds = self._task.execution_timeout.total_seconds()
            ends.append(time.time() + seconds - min(EVENT_MARGIN_SECONDS, seconds / 10))
        deadline, on_timeout = min(ends), self._terms.on_timeout
        if self._terms.ends_at is not None and (last := max(self._terms.ends_at, time.time())) <= deadline:
            deadline, on_timeout = last, "cancel"
        return Watch(
            tuple(self.batch_ids),
            pause_seconds=self._terms.pause_seconds,
            deadline=deadline,
            on_timeout=on_timeout,
            stall_seconds=self._terms.stall_seconds,
            on_stall=self._terms.on_stall,
            kimi_conn_id=self._hook.kimi_conn_id,
            cancel_on_kill=self._terms.cancel_on_kill,
            try_number=read_try_number(self._context),
            fewer_than=self._to_come.fewer_than,
            look_at=self._to_come.look_at,
            to_come=self._to_come.count,
            progress=self._shows_progress(),
        )


def _is_refusal(event: BatchEvent) -> bool:
    """Whether a wait ended because batches could not be read."""
    return event.outcome == "failed" and event.retryable
