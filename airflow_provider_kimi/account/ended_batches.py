"""Outside: look through the account's list for batches that have ended, whoever created them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from itertools import pairwise

from airflow_provider_kimi.account.news import Mark, carries, news_of
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log, in_time
from airflow_provider_kimi.exceptions import KimiApiError, KimiError
from airflow_provider_kimi.waiting.decision import Watch
from airflow_provider_kimi.waiting.pace import pause_after_faults, seconds_per_request
from airflow_provider_kimi.waiting.poll import Alone, Platform
from airflow_provider_kimi.waiting.sweep import PAGE_SIZE

#: Pages of one look; work beyond is found only while it was seen running before.
MAX_PAGES = 50


async def ended_batches(
    platform: Platform,
    metadata: Mapping[str, str],
    mark: Mark,
    poll_interval_seconds: float,
    log: Log,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[tuple[Sequence[Batch], Mark]]:
    """Yield the batches that have ended since the mark, all of one look together, for ever.

    :param mark: How far the news has been told; each look yields the one that follows, with or without news.
    """
    faults = 0
    known: set[str] = set()
    had_unread = False
    look = _Look(platform, mark, known, clock())
    while True:
        asked = None
        try:
            if await look.goes_on():
                faults = 0
                await sleep(seconds_per_request(platform.requests_per_minute, poll_interval_seconds))
                continue
        except KimiError as error:
            faults += 1
            asked = _asked_seconds(error)
            if faults & (faults - 1) == 0:  # the first, second, fourth, eighth, ... in a row
                log.warning("%s Looking again; batches that end meanwhile are told then.", error)
            platform.renew()
        else:
            faults = 0
            if look.unread and not had_unread:
                told = "%d batches could not be read, and are told when they can be and have ended. The last fault: %s"
                log.warning(told, len(look.unread), look.unread[-1])
            had_unread = bool(look.unread)
            asked = max(map(_asked_seconds, look.unread), default=None)
            known.update(look.seen)
            wanted = [batch for batch in look.seen.values() if carries(batch, metadata)]
            news, mark = news_of(wanted, mark, look.begun, gone=look.gone)
            yield news, mark
        spacing = look.requests_of_rest * seconds_per_request(platform.requests_per_minute, poll_interval_seconds)
        await sleep(max(spacing, pause_after_faults(poll_interval_seconds, faults, asked)))
        if not faults:
            look = _Look(platform, mark, known, clock())


def _asked_seconds(error: KimiError) -> float:
    """How long the platform asked to wait."""
    return (error.retry_after_seconds or 0.0) if isinstance(error, KimiApiError) else 0.0


class _Look:
    """One look at the list: as far as it shows anything new, then whatever ran and was not in it.

    A fault in the middle takes nothing away: the next call goes on where it was.
    """

    def __init__(self, platform: Platform, mark: Mark, known: set[str], begun: float) -> None:
        self._platform = platform
        self._mark = mark
        self._known = known
        self._after: str | None = None
        self._pages_left = MAX_PAGES
        self.begun = begun
        self.seen: dict[str, Batch] = {}
        self.gone: frozenset[str] = frozenset()
        self.unread: list[KimiError] = []
        self.requests_of_rest = 0

    async def goes_on(self) -> bool:
        """Take one step; whether there is another."""
        if self._pages_left:
            try:
                page = await in_time(self._platform.alist_batches(after=self._after, limit=PAGE_SIZE))
            except KimiError as error:
                if error.retryable or self._after is None:
                    raise
                self._pages_left = 0  # a place in the list that the platform refuses is its end
                return True
            new = [batch.id for batch in page.data if batch.id not in self._known and batch.id not in self.seen]
            self.seen.update((batch.id, batch) for batch in page.data)
            is_newest_first = all((a.created_at or 0) >= (b.created_at or 0) for a, b in pairwise(page.data))
            is_last = not page.data or page.has_more is False or (is_newest_first and not new)
            self._pages_left = 0 if is_last else self._pages_left - 1
            self._after = page.data[-1].id if page.data else None
            return True
        await self._look_at_the_rest()
        return False

    async def _look_at_the_rest(self) -> None:
        rest = [batch_id for batch_id in self._mark.running if batch_id not in self.seen]
        random.shuffle(rest)  # where not all can be read, it is the turn of others the next time
        alone = Alone(self._platform, Watch(tuple(rest)))
        found = await alone.look_now()
        self.requests_of_rest = alone.requests
        if alone.is_in_doubt:
            found = await alone.look_now()
            self.requests_of_rest += alone.requests
        self.seen.update((batch_id, what) for batch_id, what in found.items() if isinstance(what, Batch))
        faults = {batch_id: what for batch_id, what in found.items() if isinstance(what, KimiError)}
        self.gone = frozenset(
            batch_id
            for batch_id, fault in faults.items()
            if isinstance(fault, KimiApiError) and fault.status_code == 404
        )
        self.unread = [fault for batch_id, fault in faults.items() if batch_id not in self.gone]
