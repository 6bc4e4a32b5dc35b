"""Whether every `custom_id` is used once, and what it costs to know."""

import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.seen_ids import SeenIds


def seen(ids: list[str]) -> SeenIds:
    seen_ids = SeenIds()
    seen_ids.extend(ids)
    return seen_ids


@given(ids=st.lists(st.one_of(st.text(max_size=3), st.sampled_from(["a", "b", "row-00000001", "评价"]))))
def test_exactly_the_ids_that_came_more_than_once_are_found(ids: list[str]) -> None:
    times = Counter(map(hash, ids))
    assert seen(ids).repeated() == {digest for digest, count in times.items() if count > 1}


def test_ids_that_differ_are_not_suspected() -> None:
    assert seen([f"row-{number:08d}" for number in range(300_000)]).repeated() == set()


def test_one_repetition_among_many_is_found_however_far_apart() -> None:
    ids = [f"row-{number:08d}" for number in range(50_000)]
    assert seen([*ids, ids[0], ids[-1], ids[0]]).repeated() == {hash(ids[0]), hash(ids[-1])}


def test_no_id_is_reported_if_none_is_repeated() -> None:
    assert seen([]).repeated() == set()


def test_an_id_costs_about_eight_bytes() -> None:
    """A million rows cost a task eight megabytes, not a hundred."""
    count = 100_000
    hashes = seen([f"customer-{number}-with-a-long-name" for number in range(count)])._hashes
    assert (len(hashes), hashes.itemsize) == (count, 8), "plain numbers, not objects"
    assert sys.getsizeof(hashes) < 12 * count
