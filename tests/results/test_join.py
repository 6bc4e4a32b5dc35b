"""No row ever stands beside the answer to another text, whatever was done to the table since the batch was created."""

from array import array
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.results.join import NOWHERE, Join, Requests, join

Found = list[tuple[int, str | None]]


def joined(
    asked: Sequence[int],
    now: Sequence[int],
    *,
    keys: tuple[Sequence[int], Sequence[int]] | None = None,
    can_compare: bool = True,
) -> Join:
    """Join requests that asked something to rows that ask something now; without keys, by their places."""
    sent, names = keys or (range(len(asked)), range(len(now)))
    requests = Requests(array("q", sent), array("q", asked), array("q", range(len(asked))))
    return join(requests, array("q", names), array("q", now), is_named=keys is not None, can_compare=can_compare)


def found(result: Join) -> Found:
    return [result.at(request) for request in range(len(result.places))]


def test_an_unchanged_table_is_joined_row_by_row() -> None:
    result = joined([7, 8, 9], [7, 8, 9])
    assert (found(result), result.added) == ([(0, None), (1, None), (2, None)], [])


def test_rows_without_a_key_follow_their_text_when_one_is_inserted_above() -> None:
    result = joined([7, 8, 9], [5, 7, 8, 9])
    assert (found(result), result.added) == ([(1, None), (2, None), (3, None)], [0])


def test_rows_without_a_key_follow_their_text_when_one_is_deleted_above() -> None:
    result = joined([7, 8, 9], [8, 9])
    assert (found(result), result.added) == ([(NOWHERE, "removed"), (0, None), (1, None)], [])


def test_a_row_without_a_key_whose_text_is_new_has_changed() -> None:
    result = joined([7, 8, 9], [7, 5, 9])
    assert (found(result), result.added) == ([(0, None), (1, "changed"), (2, None)], [])


def test_rows_of_the_same_text_are_joined_once_each_in_their_order() -> None:
    assert found(joined([7, 7, 7], [5, 7, 7])) == [(0, "changed"), (1, None), (2, None)]
    assert found(joined([7, 7, 7], [7, 7])) == [(0, None), (1, None), (NOWHERE, "removed")]


def test_rows_with_a_key_are_joined_by_it_whatever_their_order() -> None:
    result = joined([7, 8, 9], [9, 7, 8], keys=([1, 2, 3], [3, 1, 2]))
    assert (found(result), result.added) == ([(1, None), (2, None), (0, None)], [])


def test_a_row_with_a_key_is_never_joined_by_its_text() -> None:
    result = joined([7, 8], [8, 7], keys=([1, 2], [1, 2]))
    assert found(result) == [(0, "changed"), (1, "changed")]


def test_a_row_is_joined_once_although_two_jobs_asked_about_its_key() -> None:
    result = joined([6, 7, 7], [7], keys=([5, 1, 1], [1]))
    assert found(result) == [(NOWHERE, "removed"), (0, None), (NOWHERE, "removed")]


def test_of_several_rows_of_one_key_the_one_that_asks_the_same_is_joined() -> None:
    result = joined([7, 8], [5, 7, 8], keys=([1, 2], [1, 1, 2]))
    assert (found(result), result.added) == ([(1, None), (2, None)], [0])


def test_two_jobs_that_asked_about_one_key_each_find_their_row_in_any_order() -> None:
    assert found(joined([7, 8], [8, 7], keys=([1, 1], [1, 1]))) == [(1, None), (0, None)]
    assert found(joined([7, 8, 9], [9, 5, 7], keys=([1, 1, 1], [1, 1, 1]))) == [(2, None), (1, "changed"), (0, None)]


def test_rows_that_were_added_and_removed_are_told_by_their_keys() -> None:
    result = joined([7, 8], [8, 6], keys=([1, 2], [2, 3]))
    assert (found(result), result.added) == ([(NOWHERE, "removed"), (0, None)], [1])


@pytest.mark.parametrize("rows", [[7, 8], [5, 6]], ids=str)
def test_rows_with_a_key_that_cannot_be_compared_are_said_to_be_so(rows: list[int]) -> None:
    by_key = joined([7, 8], rows, keys=([1, 2], [2, 1]), can_compare=False)
    assert found(by_key) == [(1, "not_compared"), (0, "not_compared")]


@pytest.mark.parametrize("rows", [[7, 8], [8, 7], [5, 7, 8]], ids=str)
def test_rows_without_a_key_that_cannot_be_compared_are_not_joined(rows: list[int]) -> None:
    result = joined([7, 8], rows, can_compare=False)
    assert (found(result), result.added) == ([(NOWHERE, "not_compared")] * 2, [])


TEXTS = st.lists(st.integers(1, 6), max_size=12)


@given(asked=TEXTS, now=TEXTS)
def test_a_row_without_a_key_holds_an_answer_to_its_own_text_or_says_that_it_changed(
    asked: list[int], now: list[int]
) -> None:
    result = joined(asked, now)
    for request, (place, change) in enumerate(found(result)):
        assert change is not None or now[place] == asked[request]
        assert (place == NOWHERE) == (change == "removed")
    same = sum(change is None for _, change in found(result))
    assert same == (Counter(asked) & Counter(now)).total(), "every text that is still there is found"
    assert_every_row_once(result, len(now))


@st.composite
def keyed(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    keys = draw(st.lists(st.integers(0, 9), unique=True, max_size=8))
    return keys, draw(st.lists(st.integers(1, 3), min_size=len(keys), max_size=len(keys)))


@given(sent=keyed(), now=keyed())
def test_a_row_with_a_key_holds_the_answer_to_its_own_text_or_says_that_it_changed(
    sent: tuple[list[int], list[int]], now: tuple[list[int], list[int]]
) -> None:
    result = joined(sent[1], now[1], keys=(sent[0], now[0]))
    for request, (place, change) in enumerate(found(result)):
        if place == NOWHERE:
            assert (change, sent[0][request] in now[0]) == ("removed", False)
        else:
            assert now[0][place] == sent[0][request]
            assert (change is None) == (now[1][place] == sent[1][request])
    assert_every_row_once(result, len(now[0]))


PAIRS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=10)


@given(sent=PAIRS, now=PAIRS)
def test_of_rows_and_requests_of_one_key_as_many_as_can_be_are_joined_to_what_asks_the_same(
    sent: list[tuple[int, int]], now: list[tuple[int, int]]
) -> None:
    (keys, asked), (keys_now, asked_now) = (
        ([key for key, _ in pairs], [ask for _, ask in pairs]) for pairs in (sent, now)
    )
    result = joined(asked, asked_now, keys=(keys, keys_now))
    assert sum(change is None for _, change in found(result)) == (Counter(sent) & Counter(now)).total()
    joined_rows = sum(place != NOWHERE for place, _ in found(result))
    assert joined_rows == (Counter(keys) & Counter(keys_now)).total()
    assert_every_row_once(result, len(now))


def assert_every_row_once(result: Join, rows: int) -> None:
    places = [place for place, _ in found(result) if place != NOWHERE]
    assert sorted([*places, *result.added]) == list(range(rows))
