"""Subscription: what one wait wants of the watcher that it shares with others, and what it was told."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.pace import first_pause
from airflow_provider_kimi.batch.polling import Seen, Watch
from airflow_provider_kimi.batch.schedule import NEVER
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.flows.log import Log

if TYPE_CHECKING:
    from airflow_provider_kimi.flows.watcher import Watcher

#: First looks happen at multiples of this, so that waits which begin together are looked at together.
GRID_SECONDS = 0.5

#: How long a wait that has something to decide is kept waiting for a fresh look.
LATE_SECONDS = 60.0


class Subscription:
    """One wait's share of a watcher; its `look` is the `Sight` of the wait."""

    __slots__ = ("_future", "_has_news", "_join", "_log", "_watcher", "first_at", "seen", "until", "watch")

    def __init__(self, watch: Watch, log: Log, join: Callable[[Subscription], Watcher]) -> None:
        self._log = log
        self._join = join
        self._future: asyncio.Future[None] | None = None
        self._has_news = False
        self.watch = watch
        self.seen: dict[str, Seen] = {}
        self.until = NEVER
        self._begin()

    def _begin(self) -> None:
        pause = first_pause(self.watch.poll_interval_seconds)
        self.first_at = math.ceil((time.time() + pause) / GRID_SECONDS) * GRID_SECONDS
        self._watcher = self._join(self)

    async def look(self, until: float | None, speak_at: float | None) -> Mapping[str, Seen]:
        """Return what is known of each batch once that has changed, or at one of these times."""
        if self._watcher.has_failed:
            self._log.warning("The watcher of this connection ended unexpectedly. A new one takes over.")
            self._begin()
        if not self._has_news:
            await self._news(NEVER if until is None else until, NEVER if speak_at is None else speak_at)
        self._has_news = False
        return self.seen

    async def _news(self, until: float, speak_at: float) -> None:
        loop = asyncio.get_running_loop()
        self.until = until
        self._watcher.look_until(self)
        self._future = loop.create_future()
        wake_at = min(until + LATE_SECONDS, speak_at)
        timer = None if wake_at == NEVER else loop.call_later(max(0.0, wake_at - time.time()), self.wake)
        try:
            await self._future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()

    def tell(self, batch_id: str, what: Seen, now: float) -> bool:
        """Learn what a look has shown; whether that wakes the wait."""
        if now < self.first_at and now < self.until:
            return False
        before = self.seen.get(batch_id)
        if isinstance(before, Batch) and before.is_terminal:
            return False
        self.seen[batch_id] = what
        if _is_same(before, what) and now < self.until:
            return False
        self.wake()
        return True

    def wake(self) -> None:
        """Let the wait go on."""
        self._has_news = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def leave(self) -> None:
        """End the subscription; with the last one the watcher ends."""
        await self._watcher.remove(self)


def _is_same(before: Seen | None, what: Seen) -> bool:
    """Whether nothing has changed that anybody decides by: one fault is like another, unless it is permanent."""
    if isinstance(before, KimiError) and isinstance(what, KimiError):
        return before.retryable == what.retryable
    return before == what
