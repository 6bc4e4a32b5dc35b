"""The account's batches, page by page: the platform is the record of what was submitted.

Nothing is promised about the list: neither its order, nor its end mark, nor that a fresh batch is in it. So a walk
says what it has seen, and whether that was everything.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.choices import MAX_BATCHES_SEARCHED

#: Lengths of a page that may be cut there: as many as were asked for, and what platforms have as a default or a most.
FULL_PAGES = frozenset({PAGE_SIZE, 10, 20, 25, 30, 40, 50})

#: How far the platform's clock may be off when pages are left out because they are too old.
CLOCK_MARGIN_SECONDS = 86_400.0


class Walk:
    """One walk through the list: where the next page begins, and whether everything was seen. It makes no call.

    :param since: Unix seconds; a list that came newest first so far may end before what is older. None for no such
        time.
    :param most: How many batches are read before the walk gives up.
    :param is_proof: Whether what was not seen is to be taken for absent. The walk then believes no end behind a full
        page before it has seen that the list does go on behind a batch in the middle of it. It leaves older pages out
        only where batches that run and batches that ended were seen in one order, since a list may show them apart.
    """

    def __init__(self, *, since: float | None = None, most: int = MAX_BATCHES_SEARCHED, is_proof: bool = False) -> None:
        self._since = since
        self._most = most
        self._is_proof = is_proof
        self._is_newest_first = True
        self._last: Batch | None = None
        self._is_stuck = False
        self._is_cut = False
        self._is_full = False
        self._middle: str | None = None
        self.seen: dict[str, Batch] = {}
        self.after: str | None = None
        self.is_whole = False

    @property
    def gap(self) -> str:
        """Why not everything was seen; empty where it was."""
        if self.is_whole:
            return ""
        if self._is_cut:
            return f"the list of the account's batches may go on behind the {len(self.seen):,} that it shows"
        if self._is_stuck:
            return "the list of the account's batches repeats itself instead of going on (is a gateway in between?)"
        return f"the account has more than {len(self.seen):,} batches (raise max_batches_searched to see more)"

    @property
    def is_stuck(self) -> bool:
        """Whether the list repeats itself although there is more."""
        return self._is_stuck and not self.is_whole

    @property
    def is_over(self) -> bool:
        """Whether there is no further page to ask for."""
        return self.is_whole or self._is_stuck or self._is_cut or len(self.seen) >= self._most

    def take(self, page: BatchPage) -> list[Batch]:
        """Take in a page, and return what no earlier page of this walk had shown."""
        if self._middle is not None:
            self._check_middle(page, self._middle)
            return []
        new = [batch for batch in page.data if batch.id not in self.seen]
        self.seen.update((batch.id, batch) for batch in page.data)
        before = [] if self._last is None else [self._last]
        self._is_newest_first = self._is_newest_first and is_newest_first([*before, *new])
        self._last = new[-1] if new else self._last
        self.after = page.data[-1].id if page.data else self.after
        self._is_stuck = bool(page.data) and not new
        is_end = self._is_believed_end(page) if self._is_proof else self._is_end(page)
        self.is_whole = is_end or self._is_past(self._last)
        self._is_full = page.length in FULL_PAGES
        return new

    def _is_end(self, page: BatchPage) -> bool:
        may_be_full = page.has_more is True and len(page.data) >= PAGE_SIZE
        return not page.data or page.has_more is False or (self._is_stuck and not may_be_full)

    def _is_believed_end(self, page: BatchPage) -> bool:
        if not page.data and page.unread:
            self._is_cut = True
            return False
        if not page.data and self._is_full:
            ids = list(self.seen)
            self.after = self._middle = ids[len(ids) // 2 - 1]
            return False
        is_end = page.has_more is not True and (page.has_more is False or self._is_stuck)
        return not page.data or (is_end and page.length not in FULL_PAGES)

    def _check_middle(self, page: BatchPage, middle: str) -> None:
        """Whether the list shows behind a batch in its middle what it has shown there before."""
        ids = list(self.seen)
        self.is_whole = bool(page.data) and page.data[0].id == ids[ids.index(middle) + 1]
        self._is_cut = not self.is_whole

    def _is_past(self, last: Batch | None) -> bool:
        """Whether the list has come newest first so far and has passed the time in question.

        Batches of one second, or without a time, do not show in which order the list comes.
        """
        if self._since is None or last is None or last.created_at is None or not self._is_newest_first:
            return False
        if self._is_proof and len({batch.is_terminal for batch in self.seen.values()}) < 2:
            return False
        newest = next(iter(self.seen.values())).created_at or 0
        return last.created_at < min(newest, self._since - CLOCK_MARGIN_SECONDS)


def is_newest_first(batches: Sequence[Batch]) -> bool:
    """Whether batches are listed by age, the newest first."""
    return all((one.created_at or 0) >= (other.created_at or 0) for one, other in pairwise(batches))


class Search(NamedTuple):
    """What a search brought.

    :param batches: Those that match, in the order of the list.
    :param gap: Why not every batch that could match was seen; empty where it was.
    :param is_stuck: Whether that is because the list repeats itself, so that no search can see more.
    """

    batches: list[Batch]
    gap: str = ""
    is_stuck: bool = False


def find_batches(
    calls: Calls,
    matches: Callable[[Batch], bool],
    *,
    since: float | None = None,
    most: int = MAX_BATCHES_SEARCHED,
    is_proof: bool = False,
) -> Search:
    """Page through the account's batches and return those that match.

    :param since: Unix seconds before which no match was created; None if that is not known.
    :param most: How many batches are read.
    :param is_proof: Whether what does not match is to be taken for absent; see `Walk`.
    :raises KimiError: The list could not be read, so nothing is known.
    """
    walk = Walk(since=since, most=most, is_proof=is_proof)
    while not walk.is_over:
        walk.take(calls.read(partial(calls.hook.list_batches, after=walk.after, limit=PAGE_SIZE)))
    if walk.gap:
        calls.log.warning("Older work may not be seen: %s.", walk.gap)
    return Search(list(filter(matches, walk.seen.values())), walk.gap, walk.is_stuck)
