"""Watcher: looks at the batches of all triggers that share a connection and an event loop, and wakes whom it concerns.

A trigger that only waits costs next to nothing then: no client, no thread, no request of its own, and no step of the
loop until its batch has changed, or there is something to decide or to write.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from contextlib import aclosing
from contextvars import Context
from weakref import WeakKeyDictionary

from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.waiting.decision import Seen, Watch
from airflow_provider_kimi.waiting.poll import Round
from airflow_provider_kimi.waiting.schedule import NEVER, Schedule
from airflow_provider_kimi.waiting.subscription import LATE_SECONDS, Subscription
from airflow_provider_kimi.waiting.turns import Turns

#: How many waits are woken before the loop gets its turn.
SLICE = 20

#: Share of a pause of our choice by which a round may come earlier, so that many triggerers do not move in step.
JITTER = 0.1

#: Time between two readings of a connection, which may have been changed; and while looks fail.
RENEW_SECONDS = 600.0
RENEW_AFTER_FAULTS_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Watcher:
    """Makes the rounds for everyone who waits over one connection in one event loop."""

    def __init__(self, kimi_conn_id: str) -> None:
        self.hook = KimiHook(kimi_conn_id)
        self.has_failed = False
        self._schedule = Schedule()
        self._subscribers: set[Subscription] = set()
        self._doubted: set[str] = set()
        self._next_at = NEVER
        self._renewed_at = time.time()
        self._turns = Turns()
        self._sooner = asyncio.Event()
        self._closing: asyncio.Future[None] | None = None
        context = Context()  # of nobody, or it would write into the log of the task that happened to come first
        name = f"kimi-watcher-{kimi_conn_id}"
        self._task = asyncio.create_task(self._make_rounds(), name=name, context=context)
        self._task.add_done_callback(self._fail, context=context)

    def add(self, subscription: Subscription) -> Watcher:
        """Wait for some more batches."""
        self._subscribers.add(subscription)
        self._turns.top_shows(ours=True)
        self._schedule.add(subscription)
        if subscription.first_at < self._next_at:
            self._sooner.set()
        return self

    def look_until(self, subscription: Subscription) -> None:
        """See to it that the batches of a wait are looked at when the time alone changes its decision."""
        self._schedule.look_until(subscription)
        if subscription.until < self._next_at:
            self._sooner.set()

    async def remove(self, subscription: Subscription) -> None:
        """Let a wait go; the last one closes the client."""
        self._subscribers.discard(subscription)
        for batch_id in self._schedule.remove(subscription):
            self._turns.forget(batch_id)
            self._doubted.discard(batch_id)
        if not self._subscribers:
            _forget(self)
            self._task.cancel()
            await self.hook.aclose()

    def _fail(self, task: asyncio.Task[None]) -> None:
        """Let everyone who still waits join another watcher."""
        self.has_failed = True
        _forget(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A watcher of batches ended", exc_info=error)
        if self._subscribers:
            self._closing = asyncio.ensure_future(self.hook.aclose())
        for subscription in self._subscribers:
            subscription.wake()

    async def _make_rounds(self) -> None:
        while True:
            self._sooner.clear()
            self._next_at = self._schedule.next_at()
            pause = self._next_at - time.time()
            if pause <= 0:
                await self._make_round(time.time())
                continue
            try:
                async with asyncio.timeout(None if pause == NEVER else pause):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    async def _make_round(self, start: float) -> None:
        schedule = self._schedule
        due = schedule.due(start)
        ids = [watched.batch_id for watched in due]
        jitter = 1.0 - JITTER * random.random()
        told: set[str] = set()
        self._renew(start)
        found = Round(self.hook, ids, schedule.watched.keys(), self._doubted, self._turns)
        async with aclosing(found.answers()) as answers:
            async for seen in answers:
                await self._tell(seen, start, jitter, told)
        schedule.requests_per_minute = self.hook.requests_per_minute
        schedule.settle(start, due, told, found.tally)

    def _renew(self, start: float) -> None:
        pause = RENEW_AFTER_FAULTS_SECONDS if self._schedule.faults else RENEW_SECONDS
        if self._doubted or start >= self._renewed_at + pause:
            self._renewed_at = start
            self.hook.renew()

    async def _tell(self, seen: Mapping[str, Seen], start: float, jitter: float, told: set[str]) -> None:
        """Wake whom it concerns, a few at a time; note of which batches something was told."""
        woken = 0
        for batch_id, what in seen.items():
            watched = self._schedule.watched.get(batch_id)
            if watched is None:
                continue
            news = self._schedule.note(watched, what, start, jitter)
            told.add(batch_id)
            woken += sum(waiter.tell(batch_id, news, start) for waiter in watched.waiters)
            if woken >= SLICE:
                woken = 0
                await asyncio.sleep(0)


#: By the loop that they run in. A watcher holds its loop by its task, so it has to be left for both to go.
_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Watcher]] = WeakKeyDictionary()


def subscribe(kimi_conn_id: str, watch: Watch, log: Log, late_seconds: float = LATE_SECONDS) -> Subscription:
    """Wait for batches by looks that all waits of this connection and event loop share; call `leave` in the end."""
    return Subscription(watch, log, lambda subscription: _watcher_of(kimi_conn_id).add(subscription), late_seconds)


def _watcher_of(kimi_conn_id: str) -> Watcher:
    of_loop = _watchers.setdefault(asyncio.get_running_loop(), {})
    if kimi_conn_id not in of_loop:
        of_loop[kimi_conn_id] = Watcher(kimi_conn_id)
    return of_loop[kimi_conn_id]


def _forget(watcher: Watcher) -> None:
    of_loop = _watchers.get(asyncio.get_running_loop(), {})
    for kimi_conn_id, known in list(of_loop.items()):
        if known is watcher:
            del of_loop[kimi_conn_id]
