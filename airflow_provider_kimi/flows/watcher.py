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
from weakref import WeakKeyDictionary

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.pace import (
    pause_after_faults,
    seconds_per_request,
)
from airflow_provider_kimi.batch.polling import Seen, Watch
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.look import CONFIRM_SECONDS, Round
from airflow_provider_kimi.flows.subscription import NEVER, Subscription, Watched
from airflow_provider_kimi.hooks.kimi import KimiHook

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
        self._watched: dict[str, Watched] = {}
        self._subscribers: set[Subscription] = set()
        self._doubted: set[str] = set()
        self._faults = 0
        self._not_before = 0.0
        self._free_at = 0.0
        self._next_at = NEVER
        self._renewed_at = time.time()
        self._from_top = True
        self._has_joined = False
        self._places = 0
        self._sooner = asyncio.Event()
        self._closing: asyncio.Future[None] | None = None
        self._task = asyncio.create_task(self._make_rounds(), name=f"kimi-watcher-{kimi_conn_id}")
        self._task.add_done_callback(self._fail)

    def add(self, subscription: Subscription) -> Watcher:
        """Wait for some more batches."""
        self._subscribers.add(subscription)
        self._from_top = self._has_joined = True
        for batch_id in subscription.watch.batch_ids:
            watched = self._watched.setdefault(batch_id, Watched(batch_id))
            watched.subscribers.append(subscription)
            watched.due_at = min(watched.due_at, subscription.first_at)
        if subscription.first_at < self._next_at:
            self._sooner.set()
        return self

    def look_until(self, subscription: Subscription) -> None:
        """See to it that the batches of a wait are looked at when the time alone changes its decision."""
        for batch_id in subscription.watch.batch_ids:
            watched = self._watched[batch_id]
            if watched.batch is None or not watched.batch.is_terminal:
                watched.until = min(watched.until, subscription.until)
        if subscription.until < self._next_at:
            self._sooner.set()

    async def remove(self, subscription: Subscription) -> None:
        """Let a wait go; the last one closes the client."""
        self._subscribers.discard(subscription)
        for batch_id in subscription.watch.batch_ids:
            watched = self._watched[batch_id]
            watched.subscribers.remove(subscription)
            if not watched.subscribers:
                del self._watched[batch_id]
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
            self._next_at = min(map(self._may_be_read_at, self._watched.values()), default=NEVER)
            pause = self._next_at - time.time()
            if pause <= 0:
                await self._make_round(time.time())
                continue
            try:
                async with asyncio.timeout(None if pause == NEVER else pause):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    def _may_be_read_at(self, watched: Watched) -> float:
        free_at = self._free_at if self._is_limited(watched) else 0.0
        return max(min(max(watched.due_at, free_at), watched.until), self._not_before)

    def _is_limited(self, watched: Watched) -> bool:
        return self.hook.requests_per_minute is not None or not watched.has_own_interval

    async def _make_round(self, start: float) -> None:
        due = [watched for watched in self._watched.values() if self._is_taken_along(watched, start)]
        due.sort(key=self._rank)
        jitter = 1.0 - JITTER * random.random()
        told: set[str] = set()
        self._has_joined = False
        self._renew(start)
        found = Round(
            self.hook, [one.batch_id for one in due], self._watched.keys(), self._doubted, from_top=self._from_top
        )
        try:
            async for seen in found.answers():
                await self._tell(seen, start, jitter, told)
        except Exception as error:  # whatever it is, it must not end the wait for work that is paid
            _log.exception("A look at the batches failed in an unforeseen way")
            found.faults.append(_unexpected(error))
            await self._tell(dict.fromkeys((one.batch_id for one in due), found.faults[-1]), start, jitter, told)
        self._settle(found, [one for one in due if one.subscribers], told, start)

    @staticmethod
    def _rank(watched: Watched) -> tuple[float, float]:
        """Order of a round: the longest unread first, then as the list had them; any order where that is not known."""
        return watched.read_at, watched.place

    def _is_taken_along(self, watched: Watched, start: float) -> bool:
        """Whether a round includes a batch: it is due, or will be before half of its pause has passed."""
        if watched.until <= start:
            return True
        soon = watched.pause / 2 if watched.read_at > 0 else 0.0
        return watched.due_at - soon <= start and (self._free_at <= start or not self._is_limited(watched))

    def _renew(self, start: float) -> None:
        pause = RENEW_AFTER_FAULTS_SECONDS if self._faults else RENEW_SECONDS
        if self._doubted or start >= self._renewed_at + pause:
            self._renewed_at = start
            self.hook.renew()

    async def _tell(self, seen: Mapping[str, Seen], start: float, jitter: float, told: set[str]) -> None:
        """Wake whom it concerns, a few at a time; note of which batches something was told."""
        woken = 0
        now = time.time()
        for batch_id, what in seen.items():
            watched = self._watched.get(batch_id)
            if watched is None:
                continue
            if isinstance(what, Batch):
                self._places += 1
                watched.batch, watched.read_at, watched.place = what, start, self._places
            elif watched.batch is not None and watched.batch.is_terminal:
                what = watched.batch  # it ended for good, whatever happens to a later look
            watched.schedule(start, jitter)
            told.add(batch_id)
            woken += sum(subscriber.tell(batch_id, what, now) for subscriber in watched.subscribers)
            if woken >= SLICE:
                woken = 0
                await asyncio.sleep(0)

    def _settle(self, found: Round, due: list[Watched], told: set[str], start: float) -> None:
        """Set when the next round may be, after one that is over."""
        self._from_top = found.from_top or self._has_joined
        self._faults = 0 if found.answered else self._faults + 1
        for one in due:
            if one.batch_id not in told:  # there were not requests enough, or one that is in doubt
                one.due_at, one.until = start + min(one.pause or CONFIRM_SECONDS, CONFIRM_SECONDS), NEVER
        if found.faults:
            pause = min((one.pause for one in due if one.pause), default=CONFIRM_SECONDS)
            self._not_before = start + pause_after_faults(pause, self._faults, found.asked_seconds)
        if any(map(self._is_limited, due)):
            self._free_at = start + found.requests * seconds_per_request(self.hook.requests_per_minute, None)


def _unexpected(error: Exception) -> KimiNoAnswerError:
    return KimiNoAnswerError(
        f"A look at the batches failed in an unforeseen way ({type(error).__name__}). The batches go on as they were. "
        "The triggerer's own log has the details; report them if this lasts."
    )


#: By the loop that they run in. A watcher holds its loop by its task, so it has to be left for both to go.
_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Watcher]] = WeakKeyDictionary()


def subscribe(kimi_conn_id: str, watch: Watch, log: Log) -> Subscription:
    """Wait for batches by looks that all waits of this connection and event loop share; call `leave` in the end."""
    return Subscription(watch, log, lambda subscription: _watcher_of(kimi_conn_id).add(subscription))


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
