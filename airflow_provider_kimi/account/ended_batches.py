"""Ended batches: page through the account's list for batches that have ended, whoever created them."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from airflow_provider_kimi.account.news import carries, news_of
from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.batch_list import Walk, is_newest_first
from airflow_provider_kimi.calls.patience import Log, in_time
from airflow_provider_kimi.exceptions import KimiApiError, KimiError
from airflow_provider_kimi.records.mark import Mark
from airflow_provider_kimi.waiting.alone import Sleep, poll_confirmed
from airflow_provider_kimi.waiting.known import Seen
from airflow_provider_kimi.waiting.pace import pause_after_faults, seconds_per_request
from airflow_provider_kimi.waiting.poll import Platform


def unread(seen: Mapping[str, Seen]) -> tuple[list[str], list[KimiError]]:
    """Sort the faults of polls: batches that the platform no longer knows, and why others could not be read."""
    faults = {batch_id: what for batch_id, what in seen.items() if isinstance(what, KimiError)}
    gone = [id_ for id_, fault in faults.items() if isinstance(fault, KimiApiError) and fault.status_code == 404]
    return gone, [fault for batch_id, fault in faults.items() if batch_id not in gone]


@dataclass
class Account:
    """The account's batches, polled for ever over one connection.

    :param pause_seconds: Between two polls.
    """

    platform: Platform
    pause_seconds: float
    log: Log
    clock: Callable[[], float] = time.time
    sleep: Sleep = asyncio.sleep
    _is_warned: bool = False

    @property
    def _seconds_per_request(self) -> float:
        return seconds_per_request(self.platform.requests_per_minute, self.pause_seconds)

    async def ended(self, metadata: Mapping[str, str], mark: Mark) -> AsyncIterator[tuple[Sequence[Batch], Mark]]:
        """Yield the batches that have ended since the mark, all that one poll shows together, for ever.

        :param metadata: Pairs that a batch must carry.
        :param mark: What was reported; each poll yields the one that follows, with or without news.
        """
        known: set[str] = set()
        had_faults = False
        while True:
            start = self.clock()
            listed = await self._listed(known)
            running = sorted(mark.running - listed.keys())
            random.shuffle(running)  # where not all can be read, it is the turn of others the next time
            polled = await poll_confirmed(self.platform, running, self.sleep)
            gone, faults = unread(polled.seen)
            if faults and not had_faults:
                text = "%d batches could not be read. They are reported once they can be and have ended. Last fault: %s"
                self.log.warning(text, len(faults), faults[-1])
            had_faults = bool(faults)
            batches = [*listed.values(), *(what for what in polled.seen.values() if isinstance(what, Batch))]
            known.update(batch.id for batch in batches)
            news, mark = news_of((batch for batch in batches if carries(batch, metadata)), mark, start, gone)
            yield news, mark
            retry_after = max((fault.retry_after_seconds or 0.0 for fault in faults), default=None)
            pause = pause_after_faults(self.pause_seconds, 0, retry_after)
            await self.sleep(max(pause, polled.requests * self._seconds_per_request))

    async def _listed(self, known: Collection[str]) -> dict[str, Batch]:
        listed: dict[str, Batch] = {}
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                listed.update((batch.id, batch) for batch in page)
                if is_newest_first(page) and all(batch.id in known for batch in page):
                    break
        return listed

    async def pages(self) -> AsyncGenerator[Sequence[Batch], None]:
        """Page through the list from its top. A fault only delays the next page."""
        walk = Walk()
        while not walk.is_over:
            page = await self._page(walk.after)
            if page is None:
                return
            walk.take(page)
            yield page.data
            if walk.is_stuck and not self._is_warned:
                self._is_warned = True
                self.log.warning("Batches that the list does not show are not reported: %s.", walk.gap)
            await self.sleep(self._seconds_per_request)

    async def _page(self, after: str | None) -> BatchPage | None:
        """Read a page, whatever it takes; None where the platform refuses a place in the list, which is its end."""
        faults = 0
        while True:
            try:
                return await in_time(self.platform.alist_batches(after=after, limit=PAGE_SIZE))
            except KimiError as error:
                if after is not None and isinstance(error, KimiApiError) and not error.retryable:
                    return None
                faults += 1
                if faults & (faults - 1) == 0:  # the first, second, fourth, eighth, ... in a row
                    self.log.warning("%s Trying again. Batches that end meanwhile are reported then.", error)
                self.platform.renew()
                await self.sleep(pause_after_faults(self.pause_seconds, faults, error.retry_after_seconds))
