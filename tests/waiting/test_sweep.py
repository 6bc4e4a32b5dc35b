"""A sweep over many batches takes few requests, and misses none for long, whatever the list is like."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.waiting.sweep import (
    EXTRA_REQUESTS,
    Page,
    Request,
    Shown,
    Single,
    most_requests,
    requests_of_sweep,
)


@dataclass
class Listing:
    """A platform's list: ids in its order, and what it does with an id that it does not know."""

    ids: Sequence[str]
    unknown_after: str = "first_page"

    def answer(self, ask: Request) -> Shown:
        if isinstance(ask, Single):
            return Shown()
        start = 0
        if ask.after in self.ids:
            start = self.ids.index(ask.after) + 1
        elif ask.after is not None and self.unknown_after == "empty":
            start = len(self.ids)
        page = self.ids[start : start + PAGE_SIZE]
        return Shown(page, start + PAGE_SIZE < len(self.ids))


def ran(listing: Listing, due: Sequence[str], *, from_top: bool = True) -> tuple[list[Request], set[str]]:
    """Run one sweep; the requests, and which of the due batches were seen."""
    asks: list[Request] = []
    seen: set[str] = set()
    plan = requests_of_sweep(due, from_top=from_top)
    ask = next(plan, None)
    while ask is not None:
        asks.append(ask)
        shown = listing.answer(ask)
        seen |= {ask.batch_id} if isinstance(ask, Single) else set(shown.batch_ids) & set(due)
        try:
            ask = plan.send(shown)
        except StopIteration:
            break
    return asks, seen


def names(count: int, prefix: str = "own") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("due", "requests"),
    [
        pytest.param(0, 0, id="nothing"),
        pytest.param(1, 1, id="one"),
        pytest.param(2, 2, id="few, one by one"),
        pytest.param(3, 1, id="a page"),
        pytest.param(100, 1, id="a full page"),
        pytest.param(101, 2, id="a page and one"),
        pytest.param(1000, 10, id="a thousand"),
    ],
)
def test_a_sweep_at_the_top_of_the_list_takes_a_request_a_page(due: int, requests: int) -> None:
    own = names(due)
    asks, seen = ran(Listing([*own, *names(5000, "other")]), own)
    assert (len(asks), seen) == (requests, set(own))


def test_a_sweep_below_batches_of_others_begins_behind_one_of_its_own() -> None:
    own = names(1000)
    asks, seen = ran(Listing([*names(5000, "other"), *own]), own, from_top=False)
    assert asks[:2] == [Single("own0"), Page("own0")]
    assert (len(asks), seen) == (11, set(own))


def test_batches_beyond_a_gap_in_the_list_are_found_by_another_hop() -> None:
    own = names(200)
    asks, seen = ran(Listing([*own[:100], *names(900, "other"), *own[100:]]), own)
    assert len(asks) <= most_requests(200)
    assert len(seen) >= 101


def test_batches_that_no_page_shows_are_read_singly() -> None:
    own = names(250)
    asks, seen = ran(Listing(names(5000, "other")), own)
    assert len(asks) == most_requests(250)
    assert {ask.batch_id for ask in asks if isinstance(ask, Single)} == seen == {"own0", "own1"}


LISTS = st.builds(
    lambda own, others, seed, lost, after: (own, others, seed, lost, after),
    st.integers(1, 350),
    st.integers(0, 500),
    st.randoms(use_true_random=False),
    st.integers(0, 20),
    st.sampled_from(["first_page", "empty"]),
)


@given(given_list=LISTS, from_top=st.booleans())
def test_whatever_the_order_of_the_list_sweeps_are_bounded_and_every_batch_is_seen_in_the_end(
    given_list: tuple[int, int, object, int, str], from_top: bool
) -> None:
    own_count, other_count, seed, lost, after = given_list
    own = names(own_count)
    listed = own[min(lost, own_count) :] + names(other_count, "other")
    seed.shuffle(listed)  # type: ignore[attr-defined]
    listing = Listing(listed, after)
    unseen = list(own)
    for _ in range(own_count):
        asks, seen = ran(listing, unseen, from_top=from_top)
        assert len(asks) <= len(unseen) // 100 + EXTRA_REQUESTS
        assert seen or not unseen
        unseen = [batch_id for batch_id in unseen if batch_id not in seen]
    assert not unseen
