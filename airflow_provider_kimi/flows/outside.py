"""Outside: look through the account's list for batches that have ended, whoever created them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.outside import Mark, carries, news_of
from airflow_provider_kimi.batch.pace import pause_after_faults
from airflow_provider_kimi.batch.rounds import PAGE_SIZE
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.look import Platform, Round

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
    while True:
        begun, asked = clock(), 0.0
        try:
            seen = await _look(platform, mark, known)
        except KimiError as error:
            faults += 1
            asked = getattr(error, "retry_after_seconds", None) or 0.0
            if faults & (faults - 1) == 0:  # the first, second, fourth, eighth, ... in a row
                log.warning("%s Looking again; batches that end meanwhile are told then.", error)
            platform.renew()
        else:
            faults = 0
            known.update(seen)
            wanted = [batch for batch in seen.values() if carries(batch, metadata)]
            news, mark = news_of(wanted, mark, begun)
            yield news, mark
        await sleep(pause_after_faults(poll_interval_seconds, faults, asked))


async def _look(platform: Platform, mark: Mark, known: set[str]) -> dict[str, Batch]:
    """Read the list as far as it shows anything new, then whatever ran and was not in it."""
    seen: dict[str, Batch] = {}
    after: str | None = None
    for _ in range(MAX_PAGES):
        page = await platform.alist_batches(after=after, limit=PAGE_SIZE)
        new = [batch.id for batch in page.data if batch.id not in known and batch.id not in seen]
        seen.update((batch.id, batch) for batch in page.data)
        if not new or page.has_more is False:
            break
        after = page.data[-1].id
    rest = [batch_id for batch_id in mark.running if batch_id not in seen]
    if rest:
        async for answer in Round(platform, rest, rest, set(), from_top=False).answers():
            seen.update((batch_id, what) for batch_id, what in answer.items() if isinstance(what, Batch))
    return seen
