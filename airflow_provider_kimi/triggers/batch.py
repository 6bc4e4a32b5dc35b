"""The trigger: waits for batches in the triggerer, where a wait costs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import acancel_batch, acancel_batches, is_given_up, to_the_end
from airflow_provider_kimi.calls.patience import AtOnce
from airflow_provider_kimi.compat import BaseTrigger, TriggerEvent, own_xcom, push_xcom, task_state
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.waiting.decision import OnTimeout, Watch
from airflow_provider_kimi.waiting.progress import Progress
from airflow_provider_kimi.waiting.stalls import DEFAULT_STALL_SECONDS, OnStall
from airflow_provider_kimi.waiting.wait import until_finished
from airflow_provider_kimi.waiting.watcher import subscribe

#: XCom key under which a waiting task notes its try, so that a trigger of an earlier one can tell.
WAITING_TRY_KEY = "kimi_waiting_try"

#: XCom key under which a wait shows how far its batches are.
PROGRESS_KEY = "progress"

#: Waits of a triggerer that show that at once: each push is a request that Airflow answers one after the other.
PUSHES = AtOnce(2)

#: Longest time that one push may take.
PUSH_SECONDS = 30.0


class KimiBatchTrigger(BaseTrigger):
    """Wait until every batch is terminal, the deadline has passed, or waiting on makes no sense; then fire once.

    It may be stopped and started again anywhere: everything it needs is in its arguments, and a restart changes no
    batch. Failed polls only delay it. All triggers of one connection in a triggerer share their looks, so that a
    thousand of them make a dozen requests. While it waits, the XCom ``progress`` of its task tells how many batches
    have which status, how many rows are done, and when the last one is expected (from Airflow 3.0 on). The event is a
    :class:`~airflow_provider_kimi.records.events.BatchEvent` as a dict.

    :param batch_ids: Batches to wait for.
    :param kimi_conn_id: Airflow connection, looked up in the triggerer.
    :param poll_interval: Seconds between two looks, and from a start of the triggerer to the first one; None for 10
        seconds at first to a minute or more later.
    :param deadline: Unix seconds; absolute, so that a restart does not begin the wait anew. Six hours after the last
        batch's ``expires_at`` the wait ends too, if that is earlier and known; None for no other end.
    :param on_timeout: ``cancel`` cancels what has not ended by then, and waits up to an hour for the end; ``keep`` lets
        it go on.
    :param cancel_on_kill: Cancel what runs when the waiting task is marked failed or success (Airflow 3.3 and newer).
        A clear, and a stop of the triggerer, never do.
    :param try_number: The try that waits; None where that is not known.
    :param stall_timeout: Seconds without any movement after which a batch counts as stalled; it does too half an hour
        after its ``expires_at``. A restart of the triggerer counts them anew, from what the batch's own times tell.
    :param on_stall: What becomes of such a batch, after a warning: ``keep`` waits on, ``cancel`` cancels it and waits
        for its end, ``fail`` ends the wait.
    :param told: Statuses of the batches that the task's log has told already; None where that is not known.
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        kimi_conn_id: str = KimiHook.default_conn_name,
        poll_interval: float | None = None,
        deadline: float | None = None,
        on_timeout: OnTimeout = "keep",
        cancel_on_kill: bool = False,
        try_number: int | None = None,
        stall_timeout: float = DEFAULT_STALL_SECONDS,
        on_stall: OnStall = "keep",
        told: Sequence[str] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch_ids = list(batch_ids)
        self.kimi_conn_id = kimi_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.on_timeout = on_timeout
        self.cancel_on_kill = cancel_on_kill
        self.try_number = try_number
        self.stall_timeout = stall_timeout
        self.on_stall = on_stall
        self.told = None if told is None else sorted(told)
        self._showing: asyncio.Task[None] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return all that a restart needs; no secret is in it."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_ids": self.batch_ids,
                "kimi_conn_id": self.kimi_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "on_timeout": self.on_timeout,
                "cancel_on_kill": self.cancel_on_kill,
                "try_number": self.try_number,
                "stall_timeout": self.stall_timeout,
                "on_stall": self.on_stall,
                "told": self.told,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        watch = Watch(
            tuple(self.batch_ids),
            self.poll_interval,
            self.deadline,
            self.on_timeout,
            self.stall_timeout,
            self.on_stall,
        )
        subscription = subscribe(self.kimi_conn_id, watch, self.log)
        try:
            event = await until_finished(subscription, self._cancel, watch, self.log, told=self.told, show=self._show)
        finally:
            self._stop_showing()
            await subscription.leave()
        yield TriggerEvent(replace(event, try_number=self.try_number).to_dict())  # type: ignore[no-untyped-call]

    async def _cancel(self, batch_id: str) -> Batch:
        hook = KimiHook(self.kimi_conn_id)
        try:
            return await hook.acancel_batch(batch_id)
        finally:
            await hook.aclose()

    def _show(self, progress: Progress) -> None:
        """Show how far the batches are, beside the wait; what is not shown yet gives way to what is newer."""
        if self.task_instance is not None:  # it is in dag.test
            self._stop_showing()
            self._showing = asyncio.create_task(self._push(progress.to_dict()))

    def _stop_showing(self) -> None:
        if self._showing is not None:
            self._showing.cancel()

    async def _push(self, value: dict[str, Any]) -> None:
        try:
            async with PUSHES.turn():
                await asyncio.wait_for(push_xcom(self.task_instance, PROGRESS_KEY, value), PUSH_SECONDS)
        except Exception as error:  # that this fails concerns nobody's batch
            self.log.debug("The XCom %s was not pushed: %s", PROGRESS_KEY, error)

    async def on_kill(self) -> None:
        """Cancel what runs, if a user has given the task up. Airflow 3.3 calls this, older versions do not."""
        if not self.cancel_on_kill:
            self.log.info("cancel_on_kill is False: what runs goes on and is billed.")
        elif self.task_instance is not None:
            await to_the_end(self._abandon(), self.log)

    async def _abandon(self) -> None:
        ti = self.task_instance
        state = await asyncio.to_thread(task_state, ti)
        newest_try = await asyncio.to_thread(own_xcom, ti, WAITING_TRY_KEY)
        if not is_given_up(state, self.try_number, newest_try):
            self.log.info("The task is %s now: its batches go on.", state)
            return
        hook = KimiHook(self.kimi_conn_id)
        try:
            cancel = partial(acancel_batch, hook)
            await acancel_batches(cancel, self.batch_ids, self.log, f"the task was marked {state}")
        finally:
            await hook.aclose()
