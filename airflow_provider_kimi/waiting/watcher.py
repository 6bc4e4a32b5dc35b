"""Watcher: polls the batches of all triggers that share a connection and an event loop, and wakes those concerned.

A trigger that only waits costs next to nothing then: no client, no thread, no request of its own, and no step of the
loop until its batch has changed, or there is something to decide or to log.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Collection, Mapping
from contextlib import aclosing
from contextvars import Context
from typing import Protocol
from weakref import WeakKeyDictionary

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.exceptions import KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.metrics import metrics_of_sweep
from airflow_provider_kimi.records.mark import CLOCK_MARGIN_SECONDS
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.stats import send_aside
from airflow_provider_kimi.waiting.clock import ahead_of_steady, steady_now
from airflow_provider_kimi.waiting.known import Seen, has_ended, is_passing
from airflow_provider_kimi.waiting.pace import first_pause
from airflow_provider_kimi.waiting.poll import Platform, Sweep
from airflow_provider_kimi.waiting.schedule import NEVER, Schedule, Waiter
from airflow_provider_kimi.waiting.sweep import Memory

#: How many waits are woken before the loop gets its turn.
WOKEN_AT_ONCE = 20

#: Share of a pause of our choice by which a triggerer may poll earlier, so that many of them do not move in step.
JITTER = 0.1

#: Time between two readings of a connection, which may have been changed; and while polls fail.
RENEW_SECONDS = 600.0
RENEW_AFTER_FAULTS_SECONDS = 60.0

#: First polls happen at multiples of this, so that waits which start together are polled together.
GRID_SECONDS = 0.5

#: How long a wait that has something to decide by the time waits for a poll of all its batches.
LATE_SECONDS = 60.0

#: How old a poll may be that spares a cancel its own read: it is short beside the time in which results are assembled.
FRESH_SECONDS = 300.0

_log = logging.getLogger(__name__)


class SharedPlatform(Platform, Protocol):
    """What a watcher needs of a hook."""

    async def aclose(self) -> None:
        """Close the client."""


class Watcher:
    """Polls for all who wait over one connection in one event loop, once it is started."""

    def __init__(self, platform: SharedPlatform, jitter: float = 1.0) -> None:
        self.platform = platform
        self.has_failed = False
        self.schedule = Schedule(jitter)
        self._memory = Memory()
        self._gone: set[str] = set()
        self._next_at = NEVER
        self._renewed_at = 0.0
        self._ahead = 0.0
        self._sooner = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Future[None] | None = None

    def start(self, name: str) -> None:
        """Sweep from now on, whenever something is due."""
        context = Context()  # an empty one, or it would log as the task that happened to come first
        self._task = asyncio.create_task(self._sweep_for_ever(), name=name, context=context)
        self._task.add_done_callback(self._fail, context=context)

    def add(self, waiter: Waiter) -> None:
        """Poll the batches of a wait too."""
        self.schedule.add(waiter)
        self._wake_by(waiter.first_at)

    def poll_by(self, waiter: Waiter) -> None:
        """See to it that the batches of a wait are polled when the time alone changes its decision."""
        self.schedule.poll_by(waiter)
        self._wake_by(waiter.until)

    def _wake_by(self, at: float) -> None:
        if at < self._next_at:
            self._sooner.set()

    async def remove(self, waiter: Waiter) -> None:
        """Let a wait go; the last one closes the client."""
        self._gone |= self.schedule.remove(waiter)
        self._memory = self._memory.without(self._gone)
        if not self.schedule.watched:
            _forget(self)
            if self._task is not None:
                self._task.cancel()
            await self.platform.aclose()

    def _fail(self, task: asyncio.Task[None]) -> None:
        """Let all who still wait join another watcher."""
        self.has_failed = True
        _forget(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A watcher of batches ended", exc_info=error)
        if self.schedule.watched:
            self._closing = asyncio.ensure_future(self.platform.aclose())
        self._wake_all()

    async def _sweep_for_ever(self) -> None:
        while True:
            self._sooner.clear()
            self._next_at = self.schedule.next_at()
            pause = self._next_at - steady_now()
            if pause <= 0:
                await self.sweep(steady_now())
                continue
            try:
                async with asyncio.timeout(None if pause == NEVER else pause):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    async def sweep(self, start: float) -> None:
        """Poll once what is due, and notify the waits."""
        self._renew(start)
        self._gone.clear()
        sweep = Sweep(self.platform, self.schedule.due(start), self.schedule.watched.keys(), self._memory)
        async with aclosing(sweep.answers()) as answers:
            async for seen in answers:
                await self._notify(seen, start)
        self.schedule.requests_per_minute = self.platform.requests_per_minute
        self._memory = sweep.result.memory.without(self._gone)
        self.schedule.settle(start, sweep.result)
        send_aside(metrics_of_sweep(sweep.result.requests, sweep.result.faults))
        self._notice_clock()

    def _notice_clock(self) -> None:
        """Let all who wait go on once the platform's clock differs from what they have timed themselves by."""
        ahead = ahead_of_steady(self.platform)
        if abs(ahead - self._ahead) > CLOCK_MARGIN_SECONDS:
            self._ahead = ahead
            self._wake_all()

    def _wake_all(self) -> None:
        for watched in self.schedule.watched.values():
            for waiter in watched.waiters:
                waiter.wake()

    def _renew(self, start: float) -> None:
        pause = RENEW_AFTER_FAULTS_SECONDS if self.schedule.faults else RENEW_SECONDS
        if self._memory.doubted or start >= self._renewed_at + pause:
            self._renewed_at = start
            self.platform.renew()

    async def _notify(self, seen: Mapping[str, Seen], start: float) -> None:
        """Notify those concerned, a few at a time."""
        woken = 0
        for batch_id, what in seen.items():
            if (watched := self.schedule.watched.get(batch_id)) is None:
                continue
            news = self.schedule.note(watched, what, start)
            woken += sum(waiter.notify(batch_id, news, start) for waiter in watched.waiters)
            if woken >= WOKEN_AT_ONCE:
                woken = 0
                await asyncio.sleep(0)


class Subscription:
    """One wait's share of the watcher of its connection and event loop; call `leave` in the end."""

    def __init__(self, watch: Watch, log: Log, late_seconds: float = LATE_SECONDS) -> None:
        self._log = log
        self._late_seconds = late_seconds
        self._future: asyncio.Future[None] | None = None
        self._has_news = False
        self.watch = watch
        self.seen: dict[str, Seen] = {}
        self._read_at: dict[str, float] = {}
        self.unread: set[str] = set()
        self.until = NEVER
        self._join()

    def _join(self) -> None:
        pause = first_pause(self.watch.pause_seconds)
        self.first_at = math.ceil((steady_now() + pause) / GRID_SECONDS) * GRID_SECONDS
        self._watcher = _watcher_of(self.watch.kimi_conn_id)
        self._watcher.add(self)
        self._watcher.poll_by(self)

    @property
    def platform(self) -> Platform:
        """The connection that its watcher polls over."""
        return self._watcher.platform

    @property
    def polled_at(self) -> float | None:
        """When the batch that was not polled for longest was polled; of those that have ended, only the last counts."""
        if not self._read_at:
            return None
        of_running = [at for batch_id, at in self._read_at.items() if not has_ended(self.seen[batch_id])]
        at = min(of_running) if of_running else max(self._read_at.values())
        return at + ahead_of_steady(self.platform)

    async def poll(self, until: float | None, log_at: float | None) -> Mapping[str, Seen]:
        """Return what is known of each batch once that has changed, or at one of these times.

        At `until` it returns only once each batch was read again; after a minute, the rest count as unread.
        """
        ahead = ahead_of_steady(self.platform)
        self.until = NEVER if until is None else until - ahead
        log_at = None if log_at is None else log_at - ahead
        self.unread = {batch_id for batch_id in self.watch.batch_ids if not has_ended(self.seen.get(batch_id))}
        self._watcher.poll_by(self)
        late_at = max(self.until, steady_now()) + self._late_seconds
        while True:
            if self._watcher.has_failed:
                self._log.warning("The watcher of this connection ended unexpectedly. A new one takes over.")
                self._join()
            now = steady_now()
            at = wake_at(now, self.until, late_at, NEVER if log_at is None else log_at, self.unread, self._has_news)
            self._has_news = False
            if at <= now:
                break
            await self._sleep_until(at)
        if now >= late_at:
            unknown = {batch_id for batch_id in self.unread if not is_passing(self.seen.get(batch_id))}
            self.seen |= dict.fromkeys(unknown, _not_polled())
        return self.seen

    async def _sleep_until(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = None if at == NEVER else loop.call_later(max(0.0, at - steady_now()), self.wake)
        try:
            await self._future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()

    def notify(self, batch_id: str, what: Seen, now: float) -> bool:
        """Learn what a poll has shown; whether that wakes the wait."""
        before = self.seen.get(batch_id)
        if (now < self.first_at and now < self.until) or has_ended(before):
            return False
        self.seen[batch_id] = what
        self._read_at[batch_id] = now
        if has_ended(what) or (now >= self.until and not is_passing(what)):
            self.unread.discard(batch_id)
        has_news = not self.unread if now >= self.until else not _is_same(before, what)
        if has_news:
            self.wake()
        return has_news

    def wake(self) -> None:
        """Let the wait go on."""
        self._has_news = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def fresh(self) -> dict[str, Batch]:
        """The batches as polls of the last minutes have shown them, and those that have ended."""
        since = steady_now() - FRESH_SECONDS
        return {
            batch_id: what
            for batch_id, what in self.seen.items()
            if isinstance(what, Batch) and (what.is_terminal or self._read_at.get(batch_id, 0.0) >= since)
        }

    async def leave(self) -> None:
        """End the subscription; with the last one the watcher ends."""
        await self._watcher.remove(self)


def wake_at(now: float, until: float, late_at: float, log_at: float, unread: Collection[str], has_news: bool) -> float:
    """Decide when a wait goes on unless news comes before; `now` or earlier: at once. Times are in unix seconds.

    :param until: When it decides by the time, once every batch was read again.
    :param late_at: When it decides though some were not.
    :param log_at: When there is something to log.
    :param unread: Batches that were not read since `until`.
    """
    if until <= now < late_at and unread:
        return late_at
    return now if has_news else min(late_at if unread else until, log_at)


def _is_same(before: Seen | None, what: Seen) -> bool:
    """Whether nothing has changed that is decided by: one fault is like another, unless it is permanent."""
    if isinstance(before, KimiError) and isinstance(what, KimiError):
        return before.retryable == what.retryable
    return before == what


def _not_polled() -> KimiNoAnswerError:
    return KimiNoAnswerError(
        "No status check finished in time: the platform does not answer, asked for a pause, or there are too many "
        "batches to check. The batch goes on as it was."
    )


#: By the loop that they run in. A watcher holds its loop by its task, so it has to be left for both to go.
_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Watcher]] = WeakKeyDictionary()


def _watcher_of(kimi_conn_id: str) -> Watcher:
    of_loop = _watchers.setdefault(asyncio.get_running_loop(), {})
    if kimi_conn_id not in of_loop:
        watcher = of_loop[kimi_conn_id] = Watcher(KimiHook(kimi_conn_id), 1.0 - JITTER * random.random())
        watcher.start(f"kimi-watcher-{kimi_conn_id}")
    return of_loop[kimi_conn_id]


def _forget(watcher: Watcher) -> None:
    of_loop = _watchers.get(asyncio.get_running_loop(), {})
    for kimi_conn_id, known in list(of_loop.items()):
        if known is watcher:
            del of_loop[kimi_conn_id]
