"""Poll: one sweep of requests over the batches that are due."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence, Set
from typing import Protocol

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.cancel import AsyncPlatform
from airflow_provider_kimi.calls.patience import in_time
from airflow_provider_kimi.exceptions import KimiApiError, KimiError
from airflow_provider_kimi.waiting.doubt import scope_of
from airflow_provider_kimi.waiting.known import Seen
from airflow_provider_kimi.waiting.sweep import (
    SWEEPS_WITHOUT_LIST,
    Memory,
    Page,
    Request,
    Shown,
    Single,
    SweepResult,
    requests_of_sweep,
)

#: Failed requests after which a sweep is given up.
MAX_FAULTS_OF_A_SWEEP = 2


class Platform(AsyncPlatform, Protocol):
    """What waits need of a hook."""

    @property
    def requests_per_minute(self) -> float | None:
        """What the connection allows; None if it says nothing, or was not read yet."""

    @property
    def clock_skew_seconds(self) -> float | None:
        """Seconds by which the platform's clock is ahead of this machine's; None while that is not known."""

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        """Read a page of batches."""

    def renew(self) -> None:
        """Read the connection again before the next call."""


class Sweep:
    """One pass of polls.

    :param due: What to poll, the oldest first.
    :param ours: All batches that are waited for, due or not; some may leave meanwhile.
    :param memory: What the sweep before has left.
    """

    def __init__(self, platform: Platform, due: Sequence[str], ours: Set[str], memory: Memory) -> None:
        self._platform = platform
        self._due = due
        self._ours = ours
        self._memory = memory
        self._unseen = dict.fromkeys(memory.in_turn(due))
        self._doubted = set(memory.doubted)
        self._top_is_ours = memory.top_is_ours
        self._without_list = max(memory.without_list - 1, 0)
        self._turns: dict[str, bool] = {}  # whether each that had its turn was read
        self._requests = 0
        self._answered = 0
        self._faults: list[KimiError] = []
        self._is_refused = False  # whether the connection is, so that no other request can fare better

    @property
    def result(self) -> SweepResult:
        """What it took and met, once it is over."""
        before, ours = self._memory, self._ours
        turns = [batch_id for batch_id in before.turns if batch_id not in self._turns] + list(self._turns)
        was_read = {batch_id for batch_id, is_read in self._turns.items() if is_read}
        memory = Memory(
            doubted=frozenset(ours & self._doubted),
            turns=tuple(batch_id for batch_id in turns if batch_id in ours),
            unread=frozenset(ours & before.unread.union(self._due) - was_read),
            top_is_ours=self._top_is_ours,
            without_list=self._without_list,
        )
        unseen = frozenset(() if self._faults else self._unseen)
        retry_after = max((fault.retry_after_seconds or 0.0 for fault in self._faults), default=None)
        return SweepResult(
            self._due, unseen, self._requests, self._answered, len(self._faults), retry_after or None, memory
        )

    async def answers(self) -> AsyncGenerator[Mapping[str, Seen], None]:
        """Yield what each answer shows, also of batches that were not due.

        The next request is under way meanwhile, so that waits which are notified hold up no other.
        """
        memory = self._memory
        from_top, has_list = memory.begins_at_top(self._due), not memory.without_list
        requests = requests_of_sweep(list(self._unseen), from_top=from_top, has_list=has_list)
        asking = self._ask(next(requests, None))
        try:
            while asking is not None:
                seen, shown = await asking
                for batch_id, what in seen.items():
                    self._unseen.pop(batch_id, None)
                    if isinstance(what, Batch) and batch_id in self._ours:
                        self._has_turn(batch_id, is_read=True)
                is_given_up = self._is_refused or len(self._faults) >= MAX_FAULTS_OF_A_SWEEP
                asking = None if is_given_up else self._ask(_following(requests, shown))
                yield seen
        finally:
            if asking is not None:
                asking.cancel()
        if self._faults and self._unseen:
            yield dict.fromkeys(self._unseen, self._faults[-1])

    def _has_turn(self, batch_id: str, *, is_read: bool) -> None:
        """Put a batch behind all others; one that fails too, or it would take the turns of those that can be read."""
        self._turns.pop(batch_id, None)
        self._turns[batch_id] = is_read

    def _ask(self, request: Request | None) -> asyncio.Task[tuple[Mapping[str, Seen], Shown | None]] | None:
        if request is None:
            return None
        self._requests += 1
        return asyncio.create_task(self._read(request) if isinstance(request, Single) else self._list(request))

    async def _read(self, request: Single) -> tuple[Mapping[str, Seen], Shown]:
        batch_id = request.batch_id
        try:
            batch = await in_time(self._platform.aget_batch(batch_id))
        except KimiError as fault:
            # The wait for it may have left meanwhile.
            return self._failed(batch_id, fault) if batch_id in self._ours else {}, Shown()
        self._answered += 1
        self._doubted.discard(batch_id)
        return {batch_id: batch}, Shown()

    def _failed(self, batch_id: str, fault: KimiError) -> Mapping[str, Seen]:
        scope = scope_of(fault)
        if scope is None:
            self._has_turn(batch_id, is_read=False)
            self._faults.append(fault)
            return {batch_id: fault}
        self._doubted.add(batch_id)
        if scope == "batch":
            self._has_turn(batch_id, is_read=True)  # there is an answer, or it would be asked for before all others
            return {batch_id: fault}
        self._is_refused = True
        return dict.fromkeys(self._unseen, fault)

    async def _list(self, request: Page) -> tuple[Mapping[str, Seen], Shown | None]:
        try:
            page = await in_time(self._platform.alist_batches(after=request.after, limit=PAGE_SIZE))
        except KimiError as fault:
            if fault.retryable:
                self._faults.append(fault)
            elif isinstance(fault, KimiApiError) and fault.kind == "not_found":
                self._without_list = SWEEPS_WITHOUT_LIST
            return {}, None  # proves nothing about a batch: each is read singly
        self._answered += 1
        seen = {batch.id: batch for batch in page.data}
        self._doubted.difference_update(seen)
        if request.after is None:
            self._top_is_ours = any(batch_id in self._ours for batch_id in seen)
        return seen, Shown(list(seen), page.has_more)


def _following(requests: Generator[Request, Shown | None, None], shown: Shown | None) -> Request | None:
    try:
        return requests.send(shown)
    except StopIteration:
        return None
