"""Alone: polls that no other wait shares, in a worker or for batches of others."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.metrics import metrics_of_sweep
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.stats import send_aside
from airflow_provider_kimi.waiting.clock import clock_of
from airflow_provider_kimi.waiting.known import Seen, has_ended
from airflow_provider_kimi.waiting.pace import (
    CONFIRM_SECONDS,
    CONFIRM_SOON_SECONDS,
    first_pause,
    pause_after_faults,
    pause_between_polls,
    seconds_per_request,
)
from airflow_provider_kimi.waiting.poll import Platform, Sweep
from airflow_provider_kimi.waiting.sweep import Memory, SweepResult

Sleep = Callable[[float], Awaitable[object]]


class InWorker:
    """The platform by calls that block, for waits that hold a worker slot."""

    def __init__(self, hook: KimiHook) -> None:
        self._hook = hook
        self.renew = hook.renew

    @property
    def requests_per_minute(self) -> float | None:
        """What the connection allows."""
        return self._hook.requests_per_minute

    @property
    def clock_skew_seconds(self) -> float | None:
        """By how much the platform's clock is ahead of this machine's."""
        return self._hook.clock_skew_seconds

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read a batch."""
        return self._hook.get_batch(batch_id)

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        """Read a page of batches."""
        return self._hook.list_batches(after=after, limit=limit)

    async def acancel_batch(self, batch_id: str) -> Batch:
        """Ask for a cancel."""
        return self._hook.cancel_batch(batch_id)


@dataclass(frozen=True)
class Polled:
    """What polls of some batches have shown so far.

    :param seen: What is known of each batch, by id.
    :param memory: What the last sweep has left.
    :param requests: How many the last poll took.
    :param faults: Polls in a row that the platform did not answer.
    :param retry_after: Seconds that the platform asked to wait at last; None if it did not.
    """

    seen: Mapping[str, Seen] = field(default_factory=dict)
    memory: Memory = Memory()
    requests: int = 0
    faults: int = 0
    retry_after: float | None = None


async def poll_all(platform: Platform, batch_ids: Sequence[str], before: Polled) -> Polled:
    """Poll every batch that has not ended, in as many sweeps as it takes."""
    if before.faults or before.memory.doubted:
        platform.renew()
    polled, ours = replace(before, requests=0), frozenset(batch_ids)
    unread = [batch_id for batch_id in batch_ids if not has_ended(before.seen.get(batch_id))]
    answered = failed = 0
    while unread and not failed:
        shown, result = await _sweep(platform, unread, ours, polled.memory)
        requests = polled.requests + result.requests
        polled = Polled({**polled.seen, **shown}, result.memory, requests, before.faults, result.retry_after)
        answered, failed = answered + result.answered, result.faults
        unread = [batch_id for batch_id in unread if batch_id not in shown]
    return replace(polled, faults=0 if answered or not polled.requests else before.faults + 1)


async def _sweep(
    platform: Platform, due: Sequence[str], ours: frozenset[str], memory: Memory
) -> tuple[dict[str, Seen], SweepResult]:
    sweep = Sweep(platform, due, ours, memory)
    shown: dict[str, Seen] = {}
    async for seen in sweep.answers():
        shown |= {batch_id: seen[batch_id] for batch_id in due if batch_id in seen and batch_id not in shown}
    send_aside(metrics_of_sweep(sweep.result.requests, sweep.result.faults))
    return shown, sweep.result


async def poll_confirmed(platform: Platform, batch_ids: Sequence[str], sleep: Sleep) -> Polled:
    """Poll every batch, and once more where a fault looks permanent."""
    first = await poll_all(platform, batch_ids, Polled())
    if not first.memory.doubted:
        return first
    await sleep(CONFIRM_SOON_SECONDS)
    second = await poll_all(platform, batch_ids, first)
    return replace(second, requests=first.requests + second.requests)


def pause_after(polled: Polled, watch: Watch, requests_per_minute: float | None, now: float) -> float:
    """Seconds until the next poll, after what the last one has shown."""
    own = watch.pause_seconds
    batches = [what if isinstance(what := polled.seen.get(batch_id), Batch) else None for batch_id in watch.batch_ids]
    paces = [pause_between_polls(batch, now) for batch in batches if batch is None or not batch.is_terminal]
    pause = min(paces, default=CONFIRM_SECONDS) if own is None else own
    spaced = max(pause, polled.requests * seconds_per_request(requests_per_minute, own))
    return pause_after_faults(spaced, polled.faults, polled.retry_after)


class Alone:
    """The polls of one wait that shares them with no other.

    :param polled: What they have shown so far; None for a wait that begins.
    :param clock: The platform's clock, in unix seconds; None for the one that its answers show.
    """

    def __init__(
        self,
        platform: Platform,
        watch: Watch,
        polled: Polled | None = None,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.platform = platform
        self._watch = watch
        self._clock = clock or clock_of(platform)
        self._sleep = sleep
        self.polled = polled
        self.polled_at = None  # it polls, and then the wait decides

    async def poll(self, until: float | None, log_at: float | None) -> Mapping[str, Seen]:
        """Pause as long as fits, then poll every batch that has not ended; return all that is known."""
        now = self._clock()
        if not self._watch.batch_ids:
            pause = math.inf  # the time alone decides
        elif self.polled is None:
            pause = first_pause(self._watch.pause_seconds)
        else:
            pause = pause_after(self.polled, self._watch, self.platform.requests_per_minute, now)
        if until is not None:
            pause = min(pause, max(until - now, 0.01))  # a shorter sleep may end before the clock has moved
        await self._sleep(pause)
        self.polled = await poll_all(self.platform, self._watch.batch_ids, self.polled or Polled())
        return self.polled.seen
