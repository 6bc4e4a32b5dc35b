"""Days of waiting on simulated time: a platform whose batches run on, and waits that note what they are told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.waiting.decision import Seen, Watch
from airflow_provider_kimi.waiting.poll import Round
from airflow_provider_kimi.waiting.schedule import NEVER, Schedule, Watched
from airflow_provider_kimi.waiting.sweep import PAGE_SIZE
from airflow_provider_kimi.waiting.turns import Turns
from tests.support.samples import make_batch

NOW, MINUTE, HOUR = 1_000_000.0, 60.0, 3600.0

_LOOP = asyncio.Runner()


@dataclass(eq=False)
class Wait:
    """A wait that notes when it learned how its batches stand, and what it was told last."""

    watch: Watch
    first_at: float = NOW
    until: float = NEVER
    told: dict[str, list[float]] = field(default_factory=dict)
    known: dict[str, Seen] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def tell(self, batch_id: str, what: Seen, now: float) -> bool:
        if isinstance(what, Batch):
            self.told.setdefault(batch_id, []).append(now)
        self.known[batch_id] = what
        return True


@dataclass
class Days:
    """A platform whose batches run on, and the time that passes there."""

    schedule: Schedule = field(default_factory=Schedule)
    now: float = NOW
    newest_first: list[str] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    limit: int | None = None
    is_out: bool = False
    is_key_refused: bool = False
    has_no_list: bool = False
    odd: set[str] = field(default_factory=set)
    asked_seconds: float | None = None
    doubted: set[str] = field(default_factory=set)
    turns: Turns = field(default_factory=Turns)
    requests_per_minute: float | None = None

    def wait(self, *batch_ids: str, every: float | None = None, first_at: float = NOW, until: float = NEVER) -> Wait:
        self.newest_first[:0] = batch_ids
        wait = Wait(Watch(batch_ids, every), first_at, until, unread=set(batch_ids))
        self.schedule.add(wait)
        self.schedule.look_until(wait)
        return wait

    def pass_by(self, seconds: float) -> None:
        """Make every round that is due meanwhile."""
        end = self.now + seconds
        while (at := self.schedule.next_at()) <= end:
            self.now = max(self.now, at)
            self.make_round()
        self.now = end

    def make_round(self) -> None:
        due = self.schedule.due(self.now)
        assert due, "a round that looks at nothing would never end"
        _LOOP.run(self._look_at(due))

    async def _look_at(self, due: list[Watched]) -> None:
        told: set[str] = set()
        ids = [watched.batch_id for watched in due]
        found = Round(self, ids, self.schedule.watched.keys(), self.doubted, self.turns)
        async for seen in found.answers():
            for batch_id, what in seen.items():
                if batch_id in self.schedule.watched:
                    self.tell(batch_id, what)
                    told.add(batch_id)
        self.schedule.settle(self.now, due, told, found.tally)

    async def aget_batch(self, batch_id: str) -> Batch:
        self._answer(is_broken=batch_id in self.broken)
        if batch_id in self.odd:
            raise RuntimeError("a fault of a library that nobody has seen fail")
        return self.look_at(batch_id)

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        self._answer(is_broken=self.has_no_list)
        start = 0
        if after is not None:
            if after not in self.newest_first:
                return BatchPage([])
            start = self.newest_first.index(after) + 1
        return BatchPage([self.look_at(batch_id) for batch_id in self.newest_first[start : start + limit]])

    def renew(self) -> None:
        """There is nothing to read anew."""

    def _answer(self, *, is_broken: bool) -> None:
        self.calls.append(self.now)
        if self.is_key_refused:
            raise KimiApiError("The key is refused.", status_code=401)
        is_over_limit = self.limit is not None and sum(call > self.now - MINUTE for call in self.answered) >= self.limit
        if self.is_out or is_broken or is_over_limit:
            asked = self.asked_seconds
            raise KimiApiError("Not now.", status_code=503, retryable=True, retry_after_seconds=asked)
        self.answered.append(self.now)

    def look_at(self, batch_id: str) -> Batch:
        status = "completed" if batch_id in self.ended else "in_progress"
        return make_batch(status, batch_id, created_at=int(NOW), expires_at=int(NOW + 24 * HOUR))

    def tell(self, batch_id: str, what: Seen) -> None:
        watched = self.schedule.watched[batch_id]
        news = self.schedule.note(watched, what, self.now, 1.0)
        for waiter in watched.waiters:
            waiter.tell(batch_id, news, self.now)

    def most_calls_in(self, seconds: float) -> int:
        return max(sum(begin <= call < begin + seconds for call in self.calls) for begin in self.calls)
