"""Days of waiting in seconds: the real watcher on simulated time, over a platform in memory whose batches run on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.known import Seen
from airflow_provider_kimi.waiting.schedule import NEVER
from airflow_provider_kimi.waiting.watcher import Watcher
from tests.support.samples import make_batch

NOW, MINUTE, HOUR = 1_000_000.0, 60.0, 3600.0

_LOOP = asyncio.Runner()


@dataclass(eq=False)
class Wait:
    """A wait that notes when it learned how its batches stand, and what it was notified of last."""

    watch: Watch
    first_at: float = NOW
    until: float = NEVER
    notified: dict[str, list[float]] = field(default_factory=dict)
    known: dict[str, Seen] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def notify(self, batch_id: str, what: Seen, now: float) -> bool:
        if isinstance(what, Batch):
            self.notified.setdefault(batch_id, []).append(now)
        self.known[batch_id] = what
        return True

    def wake(self) -> None:
        raise AssertionError("the watcher has failed")


@dataclass
class TimeLapse:
    """A platform in memory, the watcher that polls it, and the time that passes there."""

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
    unknown: set[str] = field(default_factory=set)
    retry_after: float | None = None
    requests_per_minute: float | None = None
    clock_skew_seconds: float | None = None

    def __post_init__(self) -> None:
        self.watcher = Watcher(self)
        self.schedule = self.watcher.schedule
        self.schedule.requests_per_minute = self.requests_per_minute

    def wait(self, *batch_ids: str, every: float | None = None, first_at: float = NOW, until: float = NEVER) -> Wait:
        self.newest_first[:0] = batch_ids
        wait = Wait(Watch(batch_ids, every), first_at, until, unread=set(batch_ids))
        self.watcher.add(wait)
        self.watcher.poll_by(wait)
        return wait

    def leave(self, wait: Wait) -> None:
        _LOOP.run(self.watcher.remove(wait))

    def pass_by(self, seconds: float) -> None:
        """Make every sweep that is due meanwhile."""
        end = self.now + seconds
        while self.schedule.next_at() <= end:
            self.sweep_next()
        self.now = end

    def sweep_next(self) -> None:
        self.now = max(self.now, self.schedule.next_at())
        assert self.schedule.due(self.now), "a sweep that polls nothing would never end"
        _LOOP.run(self.watcher.sweep(self.now))

    def most_calls_in(self, seconds: float) -> int:
        return max(sum(begin <= call < begin + seconds for call in self.calls) for begin in self.calls)

    # The platform

    async def aget_batch(self, batch_id: str) -> Batch:
        self._answer(is_broken=batch_id in self.broken)
        if batch_id in self.unknown:
            raise KimiApiError(f"No such batch {batch_id}.", status_code=404)
        if batch_id in self.odd:
            raise RuntimeError("a fault of a library that nobody has seen fail")
        return self.batch(batch_id)

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        self._answer(is_broken=self.has_no_list)
        start = 0
        if after is not None:
            if after not in self.newest_first:
                return BatchPage([])
            start = self.newest_first.index(after) + 1
        return BatchPage([self.batch(batch_id) for batch_id in self.newest_first[start : start + limit]])

    async def acancel_batch(self, batch_id: str) -> Batch:
        raise AssertionError(f"{batch_id}: sweeps cancel nothing")

    def renew(self) -> None:
        """There is no connection to read again."""

    async def aclose(self) -> None:
        """There is no client to close."""

    def _answer(self, *, is_broken: bool) -> None:
        self.calls.append(self.now)
        if self.is_key_refused:
            raise KimiApiError("The key is refused.", status_code=401)
        is_over_limit = self.limit is not None and sum(call > self.now - MINUTE for call in self.answered) >= self.limit
        if self.is_out or is_broken or is_over_limit:
            raise KimiApiError("Not now.", status_code=503, retryable=True, retry_after_seconds=self.retry_after)
        self.answered.append(self.now)

    def batch(self, batch_id: str) -> Batch:
        status = "completed" if batch_id in self.ended else "in_progress"
        return make_batch(status, batch_id, created_at=int(NOW), expires_at=int(NOW + 24 * HOUR))


def names(count: int, prefix: str = "batch") -> list[str]:
    return [f"{prefix}_{number}" for number in range(count)]


def longest_gap(times: list[float]) -> float:
    return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))
