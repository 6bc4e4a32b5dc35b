"""Subscription: what one wait wants of the watcher that it shares with others, and what it was told."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.exceptions import KimiError, KimiNoAnswerError
from airflow_provider_kimi.waiting.decision import Seen, Watch
from airflow_provider_kimi.waiting.pace import first_pause
from airflow_provider_kimi.waiting.schedule import NEVER

if TYPE_CHECKING:
    from airflow_provider_kimi.waiting.watcher import Watcher

#: First looks happen at multiples of this, so that waits which begin together are looked at together.
GRID_SECONDS = 0.5

#: How long a wait that has something to decide by the time is kept waiting for a look at all its batches.
LATE_SECONDS = 60.0


class Subscription:
    """One wait's share of a watcher; its `look` is the `Sight` of the wait."""

    __slots__ = (
        "_future",
        "_has_news",
        "_join",
        "_late_seconds",
        "_log",
        "_watcher",
        "first_at",
        "seen",
        "unread",
        "until",
        "watch",
    )

    def __init__(
        self, watch: Watch, log: Log, join: Callable[[Subscription], Watcher], late_seconds: float = LATE_SECONDS
    ) -> None:
        self._log = log
        self._late_seconds = late_seconds
        self._join = join
        self._future: asyncio.Future[None] | None = None
        self._has_news = False
        self.unread: set[str] = set()
        self.watch = watch
        self.seen: dict[str, Seen] = {}
        self.until = NEVER
        self._begin()

    def _begin(self) -> None:
        pause = first_pause(self.watch.poll_interval_seconds)
        self.first_at = math.ceil((time.time() + pause) / GRID_SECONDS) * GRID_SECONDS
        self._watcher = self._join(self)
        self._watcher.look_until(self)

    async def look(self, until: float | None, speak_at: float | None) -> Mapping[str, Seen]:
        """Return what is known of each batch once that has changed, or at one of these times.

        At `until` it returns only once each batch was read again; after a minute, the rest count as unread.
        """
        self.until = NEVER if until is None else until
        self.unread = {batch_id for batch_id in self.watch.batch_ids if not self._has_ended(batch_id)}
        self._watcher.look_until(self)
        late_at = max(self.until, time.time()) + self._late_seconds
        wake_at = min(late_at, NEVER if speak_at is None else speak_at)
        while True:
            if self._watcher.has_failed:
                self._log.warning("The watcher of this connection ended unexpectedly. A new one takes over.")
                self._begin()
            if not self._has_news:
                await self._news(wake_at)
            self._has_news = False
            now = time.time()
            if now >= late_at:
                unknown = {batch_id for batch_id in self.unread if not isinstance(self.seen.get(batch_id), KimiError)}
                self.seen |= dict.fromkeys(unknown, _no_look())
            if now >= late_at or now < self.until or not self.unread:
                return self.seen
            wake_at = late_at

    async def _news(self, wake_at: float) -> None:
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
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
        if self._has_ended(batch_id):
            return False
        self.seen[batch_id] = what
        if self._has_ended(batch_id) or (now >= self.until and not _passes(what)):
            self.unread.discard(batch_id)
        has_news = not self.unread if now >= self.until else not _is_same(before, what)
        if has_news:
            self.wake()
        return has_news

    def _has_ended(self, batch_id: str) -> bool:
        seen = self.seen.get(batch_id)
        return isinstance(seen, Batch) and seen.is_terminal

    def wake(self) -> None:
        """Let the wait go on."""
        self._has_news = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def leave(self) -> None:
        """End the subscription; with the last one the watcher ends."""
        await self._watcher.remove(self)


def _no_look() -> KimiNoAnswerError:
    return KimiNoAnswerError(
        "No look was to be had in time: the platform does not answer, asked for a pause, or there were too many looks "
        "to make. The batch goes on as it was."
    )


def _passes(what: Seen) -> bool:
    return isinstance(what, KimiError) and what.retryable


def _is_same(before: Seen | None, what: Seen) -> bool:
    """Whether nothing has changed that anybody decides by: one fault is like another, unless it is permanent."""
    if isinstance(before, KimiError) and isinstance(what, KimiError):
        return before.retryable == what.retryable
    return before == what
