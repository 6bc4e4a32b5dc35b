"""Look batches up on the platform, which is the record of what was submitted."""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.log import Log
from airflow_provider_kimi.calls.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook

#: Batches a page; the largest page that any source shows.
PAGE_SIZE = 100

#: Batches looked at by default before a search gives up.
MAX_BATCHES_SEARCHED = 5000

#: How far the platform's clock may be off when pages are left out because they are too old.
CLOCK_MARGIN_SECONDS = 86_400.0


class Search(NamedTuple):
    """What a search brought.

    :param batches: Those that match, in the order of the list.
    :param whole: Whether every batch that could match was looked at.
    """

    batches: list[Batch]
    whole: bool


def find_batches(
    hook: KimiHook,
    matches: Callable[[Batch], bool],
    log: Log,
    sleep: Callable[[float], None] = time.sleep,
    *,
    since: float | None = None,
    most: int = MAX_BATCHES_SEARCHED,
) -> Search:
    """Page through the account's batches and return those that match.

    Trusts neither the order of the list nor its end mark: it stops where a page says that it is the last, or
    brings nothing new, or where the batches have come newest first all along and are older than any match can be.

    :param since: Unix seconds before which no match was created; None if that is not known.
    :param most: How many batches are looked at.
    :raises KimiError: The list could not be read, so nothing is known.
    """
    seen: dict[str, Batch] = {}
    after: str | None = None
    while len(seen) < most:
        page = read_patiently(partial(hook.list_batches, after=after, limit=PAGE_SIZE), log, sleep)
        new = {batch.id: batch for batch in page.data if batch.id not in seen}
        seen.update(new)
        if not new or page.has_more is False or _are_older(list(seen.values()), since):
            return Search(list(filter(matches, seen.values())), whole=True)
        after = page.data[-1].id
    log.warning(
        "The account has more than %s batches, and the search ends there: work beyond is not seen. "
        "max_batches_searched sets how far it goes.",
        len(seen),
    )
    return Search(list(filter(matches, seen.values())), whole=False)


def _are_older(listed: list[Batch], since: float | None) -> bool:
    """Whether the list has come newest first so far and has passed the time in question."""
    times = [batch.created_at or 0 for batch in listed]
    return since is not None and times[-1] < since - CLOCK_MARGIN_SECONDS and all(a >= b for a, b in pairwise(times))
