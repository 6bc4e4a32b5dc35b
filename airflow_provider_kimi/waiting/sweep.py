"""What to ask for, so that a look at a thousand batches takes a dozen requests: pages where they help, else one by one.

Nothing is known for sure about the list of batches (its order, its end, whether a fresh batch is in it), so nothing is
believed of it: what a page shows is news, what it does not show is asked for singly, within a bound.
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass

#: Batches a page; the largest page that any source shows.
PAGE_SIZE = 100

#: So many batches are read one by one.
FEW = 2

#: Requests of a round beyond one for each full page.
EXTRA_REQUESTS = 2


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


Ask = Single | Page


@dataclass(frozen=True)
class Shown:
    """What an answer showed.

    :param batch_ids: In the order of the page.
    :param has_more: Whether the list goes on behind it; None where the platform does not say.
    """

    batch_ids: Sequence[str] = ()
    has_more: bool | None = None


@dataclass(frozen=True)
class Tally:
    """What a round took and met.

    :param requests: How many were sent.
    :param answered: How many the platform answered properly.
    :param faults: How many met a fault that passes.
    :param asked_seconds: How long the platform asked to wait; None if it did not.
    """

    requests: int = 0
    answered: int = 0
    faults: int = 0
    asked_seconds: float | None = None


def most_requests(batches: int) -> int:
    """Upper bound of the requests of one round."""
    return batches // PAGE_SIZE + EXTRA_REQUESTS


def requests_of_round(due: Collection[str], *, from_top: bool = True) -> Generator[Ask, Shown | None, None]:
    """Say what to ask for, one request after the other; send back what each answer showed, None where there was none.

    Paging begins at the top of the list, or behind a batch of our own that was just read, and goes on while pages show
    what is looked for. After two ends of that, or a page that could not be had, the rest is read singly. At most
    `most_requests` are made, so some may be left out: see `Turns`.

    :param due: Batches to look at, in the order in which they are read singly.
    :param from_top: Where paging begins.
    """
    unseen = dict.fromkeys(due)
    tries = 2 if len(unseen) > FEW else 0
    page = Page(None) if from_top else None
    for _ in range(most_requests(len(unseen))):
        if not unseen:
            return
        if page is not None and tries and len(unseen) > 1:
            shown = yield page
            if shown is None:
                tries = 0
                continue
            found = unseen.keys() & set(shown.batch_ids)
            for batch_id in found:
                del unseen[batch_id]
            is_last = not found or shown.has_more is False
            tries -= is_last
            page = None if is_last else Page(shown.batch_ids[-1])
        else:
            batch_id = next(iter(unseen))
            del unseen[batch_id]
            yield Single(batch_id)
            page = Page(batch_id)
