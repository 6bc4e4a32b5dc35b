"""A walk through the batch list sees every batch that matters, or says that it did not."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.batch_list import CLOCK_MARGIN_SECONDS, Walk, find_batches, is_newest_first
from airflow_provider_kimi.calls.patience import PAUSES_SECONDS, Calls
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import no_pause
from tests.support.samples import make_batch
from tests.support.triggers import created

DAY = 86_400

#: The time in question, if a walk has one. The clock margin makes it day 9.
SINCE = 10.0 * DAY


def made_on(day: int | None, batch_id: str) -> Batch:
    """A batch that was created on this day; None: the platform does not say when."""
    return make_batch("completed", batch_id, created_at=None if day is None else day * DAY)


A, B, C = made_on(20, "a"), made_on(19, "b"), made_on(18, "c")


def page(*batches: Batch, has_more: bool | None = None) -> BatchPage:
    return BatchPage(list(batches), has_more)


def ids(batches: Sequence[Batch]) -> list[str]:
    return [batch.id for batch in batches]


def test_a_walk_asks_for_each_page_after_the_last_batch_of_the_page_before() -> None:
    walk = Walk()
    assert (walk.after, walk.is_over) == (None, False)
    assert ids(walk.take(page(A, B))) == ["a", "b"]
    assert (walk.after, walk.is_over) == ("b", False)
    assert ids(walk.take(page(C))) == ["c"]
    assert (walk.after, list(walk.seen)) == ("c", ["a", "b", "c"])


@pytest.mark.parametrize(
    ("has_more", "is_whole"),
    [
        pytest.param(True, False, id="more batches follow"),
        pytest.param(None, False, id="the platform does not say whether more follow"),
        pytest.param(False, True, id="no batch follows"),
    ],
)
def test_a_page_of_new_batches_ends_a_walk_only_where_the_platform_says_so(
    has_more: bool | None, is_whole: bool
) -> None:
    walk = Walk()
    walk.take(page(A, B, has_more=has_more))
    assert (walk.is_whole, walk.is_over) == (is_whole, is_whole)


@pytest.mark.parametrize("has_more", [None, False, True], ids="has_more {}".format)
def test_an_empty_page_is_the_end_of_the_list_whatever_has_more_says(has_more: bool | None) -> None:
    walk = Walk()
    walk.take(page(A, has_more=True))
    assert walk.take(page(has_more=has_more)) == []
    assert (walk.is_whole, walk.after) == (True, "a")


def test_a_walk_through_an_account_without_batches_is_whole() -> None:
    walk = Walk(since=SINCE)
    assert walk.take(page()) == []
    assert (walk.is_whole, walk.after, walk.seen) == (True, None, {})


@pytest.mark.parametrize(
    ("size", "has_more", "is_whole"),
    [
        pytest.param(PAGE_SIZE, None, True, id="the platform does not say whether more follow"),
        pytest.param(PAGE_SIZE, False, True, id="no batch follows"),
        pytest.param(PAGE_SIZE, True, False, id="more batches follow"),
        pytest.param(2, True, True, id="a page that is not full cannot be followed"),
    ],
)
def test_a_walk_ends_where_after_brings_nothing_new_and_is_whole_unless_a_full_page_repeats(
    size: int, has_more: bool | None, is_whole: bool
) -> None:
    """A platform that ignores `after` answers the first page again."""
    batches = [make_batch(batch_id=f"batch_{number}") for number in range(size)]
    walk = Walk()
    walk.take(page(*batches, has_more=has_more if has_more else None))
    assert walk.take(page(*batches, has_more=has_more)) == []
    assert (walk.is_over, walk.is_whole) == (True, is_whole)


def test_pages_that_overlap_keep_the_order_of_the_list() -> None:
    newest_first = [made_on(20 - age, f"batch_{age}") for age in range(13)]
    walk = Walk(since=SINCE)
    walk.take(page(*newest_first[:4], has_more=True))
    assert not walk.is_over
    walk.take(page(*newest_first[1:], has_more=True))
    assert walk.is_whole, "it has come to what is too old"


def test_a_batch_that_is_shown_twice_is_new_once_and_stands_as_it_was_shown_last() -> None:
    walk = Walk()
    walk.take(page(A, B))
    later = make_batch("cancelled", "b", created_at=B.created_at)
    assert ids(walk.take(page(later, C))) == ["c"]
    assert ids(list(walk.seen.values())) == ["a", "b", "c"]
    assert walk.seen["b"].status == "cancelled"


@pytest.mark.parametrize(
    ("last_second", "is_whole"),
    [
        pytest.param(SINCE, False, id="at the time in question"),
        pytest.param(SINCE - CLOCK_MARGIN_SECONDS, False, id="older by the clock margin"),
        pytest.param(SINCE - CLOCK_MARGIN_SECONDS - 1, True, id="older by more than the clock margin"),
    ],
)
def test_a_list_that_comes_newest_first_is_whole_once_a_batch_is_too_old(last_second: float, is_whole: bool) -> None:
    walk = Walk(since=SINCE)
    walk.take(page(A, make_batch(batch_id="old", created_at=int(last_second)), has_more=True))
    assert (walk.is_whole, walk.is_over) == (is_whole, is_whole)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param([[1, 2]], id="oldest first"),
        pytest.param([[20, 1, 3, 2]], id="no order within a page"),
        pytest.param([[20, 12], [15, 1]], id="no order from page to page"),
        pytest.param([[12, 20], [15, 1]], id="no order within an earlier page"),
        pytest.param([[1]], id="a single batch"),
        pytest.param([[1, 1], [1]], id="batches of one second"),
        pytest.param([[None, None]], id="batches without a time of creation"),
        pytest.param([[20, None]], id="a last batch without a time of creation"),
    ],
)
def test_an_old_batch_does_not_end_a_walk_where_the_list_is_not_seen_to_come_newest_first(
    shown: list[list[int | None]],
) -> None:
    walk = Walk(since=SINCE)
    for number, days in enumerate(shown):
        walk.take(page(*(made_on(day, f"{number}-{place}") for place, day in enumerate(days)), has_more=True))
    assert not walk.is_whole


def test_an_old_batch_does_not_end_a_walk_that_has_no_time_in_question() -> None:
    walk = Walk()
    walk.take(page(A, made_on(0, "old"), has_more=True))
    assert not walk.is_over


@pytest.mark.parametrize(
    ("has_more", "is_whole"),
    [
        pytest.param(True, False, id="more batches follow"),
        pytest.param(None, False, id="the platform does not say whether more follow"),
        pytest.param(False, True, id="no batch follows"),
    ],
)
def test_a_walk_gives_up_after_so_many_batches_and_is_whole_only_at_the_end_of_the_list(
    has_more: bool | None, is_whole: bool
) -> None:
    walk = Walk(most=3)
    walk.take(page(A, B, has_more=True))
    assert not walk.is_over
    walk.take(page(C, has_more=has_more))
    assert (walk.is_over, walk.is_whole) == (True, is_whole)


def test_batches_of_one_second_and_none_at_all_are_newest_first() -> None:
    assert is_newest_first([])
    assert is_newest_first([A, B, B, C])
    assert not is_newest_first([A, C, B])


class Cut(NamedTuple):
    """How the platform cuts one page.

    :param size: New batches of the page.
    :param again: Batches of the page before that it shows again.
    :param says_more: Whether it says if more batches follow.
    """

    size: int
    again: int
    says_more: bool


def page_after(listed: Sequence[Batch], after: str | None, cut: Cut) -> BatchPage:
    """Answer as a platform that promises nothing but to go on behind `after`."""
    start = 0 if after is None else ids(listed).index(after) + 1
    end = start + cut.size
    return page(*listed[max(start - cut.again, 0) : end], has_more=end < len(listed) if cut.says_more else None)


ORDERS: dict[str, Callable[[list[Batch]], list[Batch]]] = {
    "newest first": lambda batches: sorted(batches, key=lambda batch: -(batch.created_at or 0)),
    "oldest first": lambda batches: sorted(batches, key=lambda batch: batch.created_at or 0),
    "no order": list,
}


@given(
    days=st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=9),
    order=st.sampled_from(list(ORDERS)),
    cuts=st.lists(st.builds(Cut, st.integers(1, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=6),
    since=st.sampled_from([None, SINCE]),
    most=st.integers(1, 12),
)
def test_a_walk_is_whole_only_if_every_batch_was_shown_or_can_be_too_old(
    days: list[int | None], order: str, cuts: list[Cut], since: float | None, most: int
) -> None:
    listed = ORDERS[order]([made_on(day, f"b{number}") for number, day in enumerate(days)])
    walk, shown, pages = Walk(since=since, most=most), [], cycle(cuts)
    for _ in range(len(listed) + 1):  # an end, and at least one new batch a page before it
        if not walk.is_over:
            shown += walk.take(page_after(listed, walk.after, next(pages)))
    assert walk.is_over
    assert shown == list(walk.seen.values()) == listed[: len(shown)], "each batch is new once"
    unseen = listed[len(shown) :]
    if not walk.is_whole:
        assert len(shown) >= most, "a walk gives up for nothing else"
    elif unseen:
        assert since is not None
        assert is_newest_first(shown), "only such a list can be left early"
        too_old = [(batch.created_at or 0) < since - CLOCK_MARGIN_SECONDS for batch in (shown[-1], *unseen)]
        assert too_old[0]
        assert all(too_old) or order == "no order"


def account_of(hook: KimiHook, sim: KimiSimulator, count: int) -> list[str]:
    """Create batches a second apart, and return their ids."""
    made: list[str] = []
    for number in range(count):
        made += created(hook, 1, {"number": str(number)})
        sim.advance(1)
    return made


def is_even(batch: Batch) -> bool:
    return int((batch.metadata or {})["number"]) % 2 == 0


def pages_read(sim: KimiSimulator) -> list[str]:
    """Paths of the calls that asked for a page."""
    return [call.path.partition("/batches")[2] for call in sim.journal if call.name == "list_batches"]


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_a_search_finds_every_match_in_the_order_of_the_list(connect: Connect, order: Any) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(list_order=order, max_list_limit=2)) as sim:
        hook = connect(sim)
        made = account_of(hook, sim, 5)
        log = LogRecord()
        search = find_batches(Calls(hook, log), is_even)
        assert len(pages_read(sim)) == 3
    evens = [made[0], made[2], made[4]]
    assert (ids(search.batches), search.gap) == (evens[::-1] if order == "newest_first" else evens, "")
    assert log.warnings == []


def test_a_search_asks_for_the_largest_page_and_goes_on_behind_the_last_batch(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(max_list_limit=2)) as sim:
        hook = connect(sim)
        made = account_of(hook, sim, 3)
        find_batches(Calls(hook, LogRecord()), is_even)
        assert pages_read(sim) == [f"?limit={PAGE_SIZE}", f"?limit={PAGE_SIZE}&after={made[1]}"]


def test_a_search_that_gives_up_logs_it_and_returns_what_it_found(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(max_list_limit=2)) as sim:
        hook = connect(sim)
        made = account_of(hook, sim, 6)
        log = LogRecord()
        search = find_batches(Calls(hook, log), is_even, most=3)
        assert len(pages_read(sim)) == 2
    assert (ids(search.batches), bool(search.gap)) == ([made[4], made[2]], True)
    assert len(log.warnings) == 1
    assert "more than 4 batches" in log.warnings[0]
    assert "max_batches_searched" in log.warnings[0]


@pytest.mark.parametrize(("order", "pages"), [("newest_first", 2), ("oldest_first", 4)])
def test_a_search_leaves_older_pages_out_only_where_the_list_comes_newest_first(
    connect: Connect, order: Any, pages: int
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(list_order=order, max_list_limit=2)) as sim:
        hook = connect(sim)
        account_of(hook, sim, 4)
        sim.advance(3 * DAY)
        began = sim.now()
        made = account_of(hook, sim, 3)
        search = find_batches(Calls(hook, LogRecord()), is_even, since=began)
        assert len(pages_read(sim)) == pages
    assert search.gap == ""
    assert {made[0], made[2]} <= set(ids(search.batches))


def test_a_page_that_meets_a_passing_fault_is_read_again(sim: KimiSimulator, hook: KimiHook) -> None:
    made = account_of(hook, sim, 1)
    sim.inject("list_batches", status=503)
    slept: list[float] = []
    assert ids(find_batches(Calls(hook, LogRecord(), slept.append), is_even).batches) == made
    assert slept == [PAUSES_SECONDS[0]]


def test_a_search_raises_where_a_page_cannot_be_read(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(max_list_limit=1)) as sim:
        hook = connect(sim)
        account_of(hook, sim, 2)
        sim.inject("list_batches", skip=1, status=500, times=None)
        with pytest.raises(KimiApiError, match="listing batches"):
            find_batches(Calls(hook, LogRecord(), no_pause), is_even)
