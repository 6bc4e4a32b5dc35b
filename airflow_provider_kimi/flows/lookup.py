"""Look batches up on the platform, which is the record of what was submitted."""

import time
from collections.abc import Callable
from functools import partial

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook

#: Batches a page; the largest page that any source shows.
PAGE_SIZE = 100

#: Pages read at most. Retries look for work of the last days, and the newest come first as far as is known.
MAX_PAGES = 50


def find_batches(
    hook: KimiHook, matches: Callable[[Batch], bool], log: Log, sleep: Callable[[float], None] = time.sleep
) -> list[Batch]:
    """Page through the account's batches and return those that match.

    Trusts neither the order of the list nor its end mark: it stops where a page says that it is the last, or
    brings nothing new.

    :raises KimiError: The list could not be read, so nothing is known.
    """
    found: list[Batch] = []
    seen: set[str] = set()
    after: str | None = None
    for _ in range(MAX_PAGES):
        page = read_patiently(partial(hook.list_batches, after=after, limit=PAGE_SIZE), log, sleep)
        new = [batch for batch in page.data if batch.id not in seen]
        if not new:
            return found
        seen.update(batch.id for batch in new)
        found += filter(matches, new)
        if page.has_more is False:
            return found
        after = page.data[-1].id
    log.warning(
        "The account has more than %s batches; older ones were not looked at, so work of theirs is not seen.",
        len(seen),
    )
    return found
