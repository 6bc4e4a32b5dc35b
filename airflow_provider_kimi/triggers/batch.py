"""The trigger: waits for batches in the triggerer, where a wait costs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Self

from msgspec.structs import replace

from airflow_provider_kimi.compat import push_xcom
from airflow_provider_kimi.compat.triggers import BaseTrigger, TriggerEvent
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.airflow import SharedStates, judge_wait
from airflow_provider_kimi.kills.cancels import acancel_given_up, to_the_end
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.alone import Alone
from airflow_provider_kimi.waiting.pushes import pushes_here
from airflow_provider_kimi.waiting.wait import until_finished
from airflow_provider_kimi.waiting.watcher import Subscription

#: XCom key under which a wait shows how far its batches are.
PROGRESS_KEY = "progress"

#: States of a run, for all its triggers that are killed at a time.
STATES = SharedStates()


class KimiBatchTrigger(BaseTrigger):
    """Wait until every batch is terminal, the deadline has passed, or waiting is of no use; then fire once.

    It may be stopped and restarted anywhere: everything that it needs is in its arguments, and a restart changes no
    batch. Failed polls only delay it. All triggers of one connection in a triggerer share their polls, so that a
    thousand of them send a dozen requests. While it waits, the XCom ``progress`` of its task shows how many batches
    have which status, how many rows are completed and failed, and when the last batch is expected to end (Airflow 3.0
    and newer), unless the watch leaves it out. The event is a
    :class:`~airflow_provider_kimi.records.events.BatchEvent` as a dict.

    :param arguments: The fields of a stored :class:`~airflow_provider_kimi.records.watch.Watch`; only ``batch_ids`` is
        required. See :meth:`of`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watch = Watch.from_dict(arguments)
        self._subscription: Subscription | None = None

    @classmethod
    def of(cls, watch: Watch) -> Self:
        """Make the trigger of a wait."""
        return cls(**watch.to_dict())

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return all that a restart needs; no secret is in it."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.watch.to_dict()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        if self.watch.batch_ids:
            event = await self._watched()
        else:
            alone = Alone(KimiHook(self.watch.kimi_conn_id), self.watch)
            event = await until_finished(alone, self.watch, self.log)
        event = replace(event, try_number=self.watch.try_number, to_come=self.watch.to_come)
        yield TriggerEvent(event.to_dict())  # type: ignore[no-untyped-call]

    async def _watched(self) -> BatchEvent:
        subscription = self._subscription = Subscription(self.watch, self.log)
        try:
            return await until_finished(subscription, self.watch, self.log, show=self._show)
        finally:
            pushes_here().drop(self)
            await subscription.leave()

    def _show(self, progress: Progress) -> None:
        """Show how far the batches are, beside the wait."""
        if self.watch.progress and self.task_instance is not None:  # it is in dag.test
            pushes_here().put(self, partial(push_xcom, self.task_instance, PROGRESS_KEY, progress.to_dict()))

    async def on_kill(self) -> None:
        """Cancel what runs, if the task is given up. Airflow 3.3 calls this, older versions do not."""
        if not self.watch.cancel_on_kill:
            self.log.info("cancel_on_kill is False: what runs goes on and is billed.")
        elif self.task_instance is not None:
            await to_the_end(self._cancel_if_given_up(), self.log)

    async def _cancel_if_given_up(self) -> None:
        seen = self._subscription.fresh() if self._subscription else {}
        makers = {tags.task_id for tags in map(Tags.of, seen.values()) if tags.task_id}
        watch = self.watch
        own = (self.task_instance, watch.batch_ids, watch.try_number)
        verdict = await asyncio.to_thread(judge_wait, *own, makers, STATES.read)
        await acancel_given_up(KimiHook(watch.kimi_conn_id), verdict, seen, self.log)
