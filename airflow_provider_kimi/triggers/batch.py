"""The trigger: waits for batches in the triggerer, where a wait costs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Self

from msgspec.structs import replace

from airflow_provider_kimi.calls.cancel import acancel_batch, acancel_batches, is_given_up, to_the_end
from airflow_provider_kimi.calls.patience import AtOnce
from airflow_provider_kimi.compat import BaseTrigger, TriggerEvent, own_xcom, push_xcom, task_state
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.wait import until_finished
from airflow_provider_kimi.waiting.watcher import Subscription

#: XCom key under which a waiting task notes its try, so that a trigger of an earlier one knows.
WAITING_TRY_KEY = "kimi_waiting_try"

#: XCom key under which a wait shows how far its batches are.
PROGRESS_KEY = "progress"

#: Waits of a triggerer that show that at once: each push is a request that Airflow answers one after the other.
PUSHES = AtOnce(2)

#: Longest time that one push may take.
PUSH_SECONDS = 30.0


class KimiBatchTrigger(BaseTrigger):
    """Wait until every batch is terminal, the deadline has passed, or waiting is of no use; then fire once.

    It may be stopped and restarted anywhere: everything that it needs is in its arguments, and a restart changes no
    batch. Failed polls only delay it. All triggers of one connection in a triggerer share their polls, so that a
    thousand of them send a dozen requests. While it waits, the XCom ``progress`` of its task shows how many batches
    have which status, how many rows are completed and failed, and when the last batch is expected to end (Airflow 3.0
    and newer). The event is a :class:`~airflow_provider_kimi.records.events.BatchEvent` as a dict.

    :param arguments: The fields of a stored :class:`~airflow_provider_kimi.records.watch.Watch`; only ``batch_ids`` is
        required. See :meth:`of`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watch = Watch.from_dict(arguments)
        self._showing: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, watch: Watch) -> Self:
        """Make the trigger of a wait."""
        return cls(**watch.to_dict())

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return all that a restart needs; no secret is in it."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.watch.to_dict()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        subscription = Subscription(self.watch, self.log)
        try:
            event = await until_finished(subscription, self.watch, self.log, show=self._show)
        finally:
            self._stop_showing()
            await subscription.leave()
        event = replace(event, try_number=self.watch.try_number)
        yield TriggerEvent(event.to_dict())  # type: ignore[no-untyped-call]

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
        except Exception as error:  # no batch depends on it
            self.log.debug("The XCom %s was not pushed: %s", PROGRESS_KEY, error)

    async def on_kill(self) -> None:
        """Cancel what runs, if a user has given the task up. Airflow 3.3 calls this, older versions do not."""
        if not self.watch.cancel_on_kill:
            self.log.info("cancel_on_kill is False: what runs goes on and is billed.")
        elif self.task_instance is not None:
            await to_the_end(self._cancel_if_given_up(), self.log)

    async def _cancel_if_given_up(self) -> None:
        ti = self.task_instance
        state = await asyncio.to_thread(task_state, ti)
        newest_try = await asyncio.to_thread(own_xcom, ti, WAITING_TRY_KEY)
        if not is_given_up(state, self.watch.try_number, newest_try):
            self.log.info("The task is %s now: its batches go on.", state)
            return
        hook = KimiHook(self.watch.kimi_conn_id)
        try:
            cancel = partial(acancel_batch, hook)
            await acancel_batches(cancel, self.watch.batch_ids, self.log, f"the task was marked {state}")
        finally:
            await hook.aclose()
