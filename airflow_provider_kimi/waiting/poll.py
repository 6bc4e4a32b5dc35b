"""Look: one round of requests about batches, and the waiter that makes its rounds alone."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator, Mapping, Sequence
from typing import Protocol, TypeVar

from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.patience import in_time
from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiConnectionConfigError,
    KimiError,
)
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.waiting.decision import Seen, Watch
from airflow_provider_kimi.waiting.pace import (
    CONFIRM_SECONDS,
    first_pause,
    pause_after_faults,
    pause_between_looks,
    seconds_per_request,
)
from airflow_provider_kimi.waiting.sweep import PAGE_SIZE, Ask, Page, Shown, Single, Tally, requests_of_round
from airflow_provider_kimi.waiting.turns import Turns

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Failed requests after which a round is given up.
MAX_FAULTS_OF_A_ROUND = 2


#: A shorter sleep may end before the clock has moved.
SHORTEST_SLEEP_SECONDS = 0.01


class Platform(Protocol):
    """What a look needs of a hook."""

    @property
    def requests_per_minute(self) -> float | None:
        """What the connection allows; None if it says nothing, or was not read yet."""

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read a batch."""

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        """Read a page of batches."""

    def renew(self) -> None:
        """Read the connection anew before the next call."""


class InWorker:
    """The platform by calls that block, for waits that hold a worker slot."""

    def __init__(self, hook: KimiHook) -> None:
        self._hook = hook

    @property
    def requests_per_minute(self) -> float | None:
        """What the connection allows."""
        return self._hook.requests_per_minute

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read a batch."""
        return self._hook.get_batch(batch_id)

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        """Read a page of batches."""
        return self._hook.list_batches(after=after, limit=limit)

    def renew(self) -> None:
        """Read the connection anew before the next call."""
        self._hook.renew()


class Round:
    """One look at the batches that are due.

    A fault that looks permanent is believed when the next round meets it again, after the connection was read anew:
    a key may have been changed meanwhile, a fresh batch may be unknown for a moment.

    :param due: What to look at, the oldest first.
    :param ours: All batches that are waited for, due or not.
    :param doubted: Ids whose last answer looked permanently wrong; kept by the caller from round to round.
    :param turns: Whose turn it is; kept likewise.
    """

    def __init__(
        self,
        platform: Platform,
        due: Sequence[str],
        ours: Collection[str],
        doubted: set[str],
        turns: Turns,
    ) -> None:
        self._platform = platform
        self._unseen = dict.fromkeys(turns.ordered(due))
        self._unread = set(due)
        self._ours = ours
        self._doubted = doubted
        self._turns = turns
        self._requests = 0
        self._answered = 0
        self.faults: list[KimiError] = []

    @property
    def tally(self) -> Tally:
        """What it took and met, once it is over."""
        asked = [fault.retry_after_seconds for fault in self.faults if isinstance(fault, KimiApiError)]
        longest = max((seconds for seconds in asked if seconds is not None), default=None)
        return Tally(self._requests, self._answered, len(self.faults), longest)

    async def answers(self) -> AsyncGenerator[Mapping[str, Seen], None]:
        """Yield what each answer shows, also of batches that were not looked for.

        The next request is under way meanwhile, so that whoever is told something holds up nobody whose turn is later.
        """
        asks = requests_of_round(list(self._unseen), from_top=self._turns.from_top)
        asking = self._begin(next(asks, None))
        try:
            while asking is not None:
                seen, shown = await asking
                self._note(seen)
                asking = self._begin(_following(asks, shown)) if len(self.faults) < MAX_FAULTS_OF_A_ROUND else None
                yield seen
        finally:
            if asking is not None:
                asking.cancel()
        self._turns.leave_out(batch_id for batch_id in self._unread if batch_id in self._ours)
        if self.faults and self._unseen:
            yield dict.fromkeys(self._unseen, self.faults[-1])

    def _begin(self, ask: Ask | None) -> asyncio.Task[tuple[Mapping[str, Seen], Shown | None]] | None:
        if ask is None:
            return None
        self._requests += 1
        return asyncio.create_task(self._answer(ask))

    async def _answer(self, ask: Ask) -> tuple[Mapping[str, Seen], Shown | None]:
        if isinstance(ask, Single):
            return await self._read(ask), Shown()
        page = await self._list(ask)
        if page is None:
            return {}, None
        seen = {batch.id: batch for batch in page.data}
        if ask.after is None:
            self._turns.top_shows(ours=any(batch_id in self._ours for batch_id in seen))
        return seen, Shown(list(seen), page.has_more)

    def _note(self, seen: Mapping[str, Seen]) -> None:
        for batch_id, what in seen.items():
            self._unseen.pop(batch_id, None)
            if isinstance(what, Batch) and batch_id in self._ours:
                self._unread.discard(batch_id)
                self._turns.was_read(batch_id)

    async def _read(self, ask: Single) -> Mapping[str, Seen]:
        batch_id = ask.batch_id
        try:
            batch = await in_time(self._platform.aget_batch(batch_id))
        except KimiError as error:
            if batch_id not in self._ours:  # its wait has left meanwhile
                return {}
            if error.retryable:
                self._turns.has_failed(batch_id)
                self.faults.append(error)
                return {batch_id: error}
            if batch_id not in self._doubted:
                self._doubted.add(batch_id)
                return {}
            if _concerns_all(error):
                return dict.fromkeys(self._unseen, error)
            return {batch_id: error}
        self._answered += 1
        self._doubted.discard(batch_id)
        return {batch_id: batch}

    async def _list(self, ask: Page) -> BatchPage | None:
        try:
            page = await in_time(self._platform.alist_batches(after=ask.after, limit=PAGE_SIZE))
        except KimiError as error:
            if error.retryable:
                self.faults.append(error)
            return None  # proves nothing about a batch: they are asked for singly
        self._answered += 1
        self._doubted.difference_update(batch.id for batch in page.data)
        return page


def _following(asks: Generator[Ask, Shown | None, None], shown: Shown | None) -> Ask | None:
    try:
        return asks.send(shown)
    except StopIteration:
        return None


def _concerns_all(error: KimiError) -> bool:
    """Whether a fault is one of the key, the account or the connection, and so the same for every batch."""
    if isinstance(error, KimiApiError):
        return error.status_code == 401 or error.error_type == "exceeded_current_quota_error"
    return isinstance(error, KimiConnectionConfigError)


class Alone:
    """A waiter that shares its looks with nobody: in a worker, or for batches of others.

    `requests` is how many the last look took.
    """

    def __init__(
        self,
        platform: Platform,
        watch: Watch,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._platform = platform
        self._watch = watch
        self._clock = clock
        self._sleep = sleep
        self._seen: dict[str, Seen] = {}
        self._doubted: set[str] = set()
        self._turns = Turns()
        self._faults = 0
        self.requests = 0
        self._last: Round | None = None

    async def look(self, until: float | None, speak_at: float | None = None) -> Mapping[str, Seen]:
        """Pause as long as fits, then look at every batch that has not ended; return all that is known.

        :param until: Unix seconds by which to look at the latest; None for no such time.
        """
        pause = self.pause_seconds()
        if until is not None:
            pause = min(pause, max(until - self._clock(), SHORTEST_SLEEP_SECONDS))
        await self._sleep(pause)
        return await self.look_now()

    async def look_now(self) -> Mapping[str, Seen]:
        """Look without a pause, in as many rounds as it takes."""
        if self._faults or self._doubted:
            self._platform.renew()
        unread = [batch_id for batch_id in self._watch.batch_ids if not _has_ended(self._seen.get(batch_id))]
        answered = self.requests = 0
        doubted_before = frozenset(self._doubted)
        goes_on = True
        while unread and goes_on:
            self._last = found = Round(self._platform, unread, self._watch.batch_ids, self._doubted, self._turns)
            async for seen in found.answers():
                self._seen.update((batch_id, seen[batch_id]) for batch_id in unread if batch_id in seen)
                unread = [batch_id for batch_id in unread if batch_id not in seen]
            unread = [batch_id for batch_id in unread if batch_id not in self._doubted - doubted_before]
            self.requests += found.tally.requests
            answered += found.tally.answered
            goes_on = not found.faults
        self._faults = 0 if answered or not self.requests else self._faults + 1
        return self._seen

    @property
    def is_in_doubt(self) -> bool:
        """Whether an answer looked permanently wrong, and has to be looked at again."""
        return bool(self._doubted)

    def pause_seconds(self) -> float:
        """How long to wait before the next look, after what the last one has shown."""
        interval = self._watch.poll_interval_seconds
        if self._last is None:
            return first_pause(interval)
        now = self._clock()
        running = [self._known(batch_id) for batch_id in self._watch.batch_ids]
        paces = [pause_between_looks(batch, now) for batch in running if batch is None or not batch.is_terminal]
        pause = min(paces, default=CONFIRM_SECONDS) if interval is None else interval
        spacing = self.requests * seconds_per_request(self._platform.requests_per_minute, interval)
        if self._doubted:
            pause = min(pause, CONFIRM_SECONDS)
        return pause_after_faults(max(pause, spacing), self._faults, self._last.tally.asked_seconds)

    def _known(self, batch_id: str) -> Batch | None:
        seen = self._seen.get(batch_id)
        return seen if isinstance(seen, Batch) else None


def _has_ended(seen: Seen | None) -> bool:
    return isinstance(seen, Batch) and seen.is_terminal
