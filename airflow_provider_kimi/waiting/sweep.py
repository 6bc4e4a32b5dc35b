"""What one sweep asks for, so that polls of a thousand batches take a dozen requests, and what it leaves to the next.

Nothing is known for sure about the list of batches (its order, its end, whether a fresh batch is in it). So what a page
shows is news, and what it does not show is read singly, within a bound.
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace

from airflow_provider_kimi.api.limits import PAGE_SIZE

#: Requests of a sweep beyond one for each full page.
EXTRA_REQUESTS = 2

#: Sweeps that ask for no page after the platform has said that it has no list.
SWEEPS_WITHOUT_LIST = 20


@dataclass(frozen=True)
class Single:
    """Read one batch."""

    batch_id: str


@dataclass(frozen=True)
class Page:
    """Read a page of the list.

    :param after: The batch behind which it begins; None for the top.
    """

    after: str | None


Request = Single | Page


@dataclass(frozen=True)
class Shown:
    """What an answer showed.

    :param batch_ids: In the order of the page.
    :param has_more: Whether the list goes on behind it; None where the platform does not say.
    """

    batch_ids: Sequence[str] = ()
    has_more: bool | None = None


@dataclass(frozen=True)
class Memory:
    """What sweeps leave to the next one, so that every batch has its turn.

    A sweep has few requests, and the pages of a long list may show the same batches again and again. So one that left a
    batch unread is followed by one that begins with the longest unread batch, and goes on behind it in the list.

    :param doubted: Batches whose last answer was a fault that looks permanent.
    :param turns: Batches that had their turn, the longest ago first.
    :param unread: Batches that were due and not read since.
    :param top_is_ours: Whether the top of the list shows a batch that is waited for, as far as is known.
    :param without_list: How many sweeps are to ask for no page.
    """

    doubted: frozenset[str] = frozenset()
    turns: tuple[str, ...] = ()
    unread: frozenset[str] = frozenset()
    top_is_ours: bool = True
    without_list: int = 0

    def without(self, gone: Collection[str]) -> "Memory":
        """Forget batches that no wait waits for, so that a new wait for one begins afresh."""
        turns = tuple(batch_id for batch_id in self.turns if batch_id not in gone)
        return replace(self, doubted=self.doubted.difference(gone), turns=turns, unread=self.unread.difference(gone))

    def in_turn(self, due: Sequence[str]) -> list[str]:
        """Put first what had no turn yet, newest first, then the longest ago; `due` begins with the oldest."""
        places = {batch_id: place for place, batch_id in enumerate(self.turns, 1)}
        newest_first = due[::-1]
        return sorted(newest_first, key=lambda batch_id: places.get(batch_id, 0))

    def begins_at_top(self, due: Collection[str]) -> bool:
        """Whether paging begins at the top of the list: no batch was left unread, and the top may show one of ours."""
        return not self.unread and (self.top_is_ours or not set(due) <= set(self.turns))


@dataclass(frozen=True)
class SweepResult:
    """What a sweep took and met.

    :param due: What it was to poll.
    :param unseen: Those of which it showed nothing, because it had no request left.
    :param requests: How many were sent.
    :param answered: How many the platform answered properly.
    :param faults: How many met a fault that passes.
    :param retry_after: Seconds that the platform asked to wait; None if it did not.
    :param memory: What it leaves to the next sweep.
    """

    due: Sequence[str]
    unseen: Collection[str]
    requests: int
    answered: int
    faults: int
    retry_after: float | None
    memory: Memory


def most_requests(batches: int) -> int:
    """Upper bound of the requests of one sweep."""
    return batches // PAGE_SIZE + EXTRA_REQUESTS


def requests_of_sweep(
    due: Collection[str], *, from_top: bool = True, has_list: bool = True
) -> Generator[Request, Shown | None, None]:
    """Say what to ask for, one request after the other; send back what each answer showed, None where there was none.

    Paging begins at the top of the list, or behind a batch of our own that was just read, and goes on while pages show
    what is due. After two ends of that, or a page that could not be had, the rest is read singly. At most
    `most_requests` are made, so some may be left out: see `Memory`.

    :param due: Batches to poll, in the order in which they are read singly.
    :param from_top: Where paging begins.
    :param has_list: Whether pages are worth asking for.
    """
    unseen = dict.fromkeys(due)
    tries = 2 if has_list and len(unseen) > 2 else 0  # two batches are read one by one
    page = Page(None) if from_top else None
    for _ in range(most_requests(len(unseen))):
        if not unseen:
            return
        if page is None or not tries or len(unseen) == 1:
            batch_id = next(iter(unseen))
            del unseen[batch_id]
            yield Single(batch_id)
            page = Page(batch_id)
            continue
        shown = yield page
        page = _page_behind(shown, unseen)
        if page is None:
            tries = 0 if shown is None else tries - 1


def _page_behind(shown: Shown | None, unseen: dict[str, None]) -> Page | None:
    """Strike out what a page showed; return the page behind it if it showed anything, and there is one."""
    found = unseen.keys() & set(shown.batch_ids) if shown else set()
    for batch_id in found:
        del unseen[batch_id]
    return Page(shown.batch_ids[-1]) if shown and found and shown.has_more is not False else None
