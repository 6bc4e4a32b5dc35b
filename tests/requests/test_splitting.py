"""Where an input is cut: on row boundaries, within both limits, into as few shards as possible."""

from array import array
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.splitting import cut, spread


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of rows, none over the limit, and limits."""
    max_bytes = draw(st.integers(1, 200))
    sizes = draw(st.lists(st.one_of(st.integers(1, max_bytes), st.just(max_bytes)), max_size=60))
    max_rows = draw(st.one_of(st.none(), st.integers(1, 70)))
    return {"sizes": sizes, "max_bytes": max_bytes, "max_rows": max_rows}


def parts_of(sizes: list[int], max_bytes: int, max_rows: int | None = None) -> list[range]:
    return cut(list(accumulate(sizes)), max_bytes=max_bytes, max_rows=max_rows)


def bytes_of(sizes: list[int], shards: list[range]) -> list[int]:
    return [sum(sizes[shard.start : shard.stop]) for shard in shards]


def fewest(sizes: list[int], max_bytes: int, max_rows: int | None) -> int:
    """Count the shards if each is filled before the next one starts: no cut has fewer."""
    shards = part_bytes = part_rows = 0
    for size in sizes:
        if not shards or part_bytes + size > max_bytes or part_rows == max_rows:
            shards, part_bytes, part_rows = shards + 1, 0, 0
        part_bytes, part_rows = part_bytes + size, part_rows + 1
    return shards


@given(table=tables())
@example(table={"sizes": [], "max_bytes": 1, "max_rows": None})
@example(table={"sizes": [1], "max_bytes": 1, "max_rows": 1})
@example(table={"sizes": [5, 5, 5, 1, 1, 1], "max_bytes": 5, "max_rows": 2})
def test_each_row_is_in_one_shard_in_order(table: dict[str, Any]) -> None:
    shards = parts_of(**table)
    assert [row for shard in shards for row in shard] == list(range(len(table["sizes"])))
    assert all(shards), "no shard is empty"


@given(table=tables())
def test_no_shard_is_over_a_limit(table: dict[str, Any]) -> None:
    shards = parts_of(**table)
    assert all(size <= table["max_bytes"] for size in bytes_of(table["sizes"], shards))
    assert all(len(shard) <= (table["max_rows"] or len(shard)) for shard in shards)


@given(table=tables())
@example(table={"sizes": [1, 9, 1, 9, 1, 9], "max_bytes": 10, "max_rows": None})
@example(table={"sizes": [6, 6, 1, 1, 6, 6], "max_bytes": 12, "max_rows": 3})
def test_there_are_as_few_shards_as_possible(table: dict[str, Any]) -> None:
    assert len(parts_of(**table)) == fewest(**table)


@given(table=tables())
def test_a_table_is_cut_at_the_same_places_on_every_run(table: dict[str, Any]) -> None:
    """A retry finds the shards that an earlier attempt submitted, in whatever kind of sequence the ends are."""
    ends = array("q", accumulate(table["sizes"]))
    limits = {"max_bytes": table["max_bytes"], "max_rows": table["max_rows"]}
    assert parts_of(**table) == parts_of(**table) == cut(ends, **limits)


@given(sizes=st.lists(st.integers(1, 50), min_size=1), room=st.integers(1, 9))
def test_a_table_that_fits_is_not_cut(sizes: list[int], room: int) -> None:
    assert parts_of(sizes, sum(sizes) + room) == parts_of(sizes, sum(sizes)) == [range(len(sizes))]


@pytest.mark.parametrize(
    ("rows", "most", "lengths"),
    [
        pytest.param(10, 4, [3, 3, 4], id="10 by 4"),
        pytest.param(5, 4, [2, 3], id="one row too many"),
        pytest.param(8, 4, [4, 4], id="no room to choose"),
        pytest.param(9, 4, [3, 3, 3], id="even"),
        pytest.param(3, 1, [1, 1, 1], id="a row each"),
        pytest.param(4, 4, [4], id="one shard"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_shards_of_equal_rows_are_balanced_whichever_limit_cuts_them(
    rows: int, most: int, lengths: list[int], size: int
) -> None:
    sizes = [size] * rows
    by_rows = parts_of(sizes, max_bytes=size * rows, max_rows=most)
    by_bytes = parts_of(sizes, max_bytes=size * most)
    assert sorted(map(len, by_rows)) == sorted(map(len, by_bytes)) == lengths


@given(rows=st.integers(1, 500), most=st.integers(1, 500), size=st.integers(1, 9))
def test_shards_of_equal_rows_differ_by_one_row_at_most(rows: int, most: int, size: int) -> None:
    lengths = [len(shard) for shard in parts_of([size] * rows, max_bytes=size * most)]
    assert max(lengths) - min(lengths) <= 1


def test_shards_of_rows_that_differ_are_balanced_by_their_bytes() -> None:
    """Ten small rows weigh as much as one large one."""
    shards = parts_of([10, *[1] * 10, 10], max_bytes=20)
    assert shards == [range(6), range(6, 12)]


def test_shards_are_less_balanced_if_a_limit_demands_it() -> None:
    assert bytes_of([9, 9, 2, 2], parts_of([9, 9, 2, 2], max_bytes=18)) == [9, 13]
    assert bytes_of([9, 9, 9, 9, 9], parts_of([9] * 5, max_bytes=27)) == [18, 27]


@given(sizes=st.lists(st.integers(1, 10), min_size=200, max_size=300), shares=st.integers(2, 5))
def test_shards_are_within_a_row_of_an_even_share_if_there_is_room(sizes: list[int], shares: int) -> None:
    """No boundary lies further from its share than half of the largest row."""
    max_bytes = sum(sizes) // shares + 60
    shards = parts_of(sizes, max_bytes)
    even = sum(sizes) / len(shards)
    for number, shard in enumerate(shards[:-1], 1):
        assert abs(sum(sizes[: shard.stop]) - number * even) <= max(sizes)


@given(table=tables(), pilot_rows=st.integers(1, 80))
@example(table={"sizes": [5, 5, 5, 5], "max_bytes": 10, "max_rows": None}, pilot_rows=1)
@example(table={"sizes": [5, 5, 5, 5], "max_bytes": 10, "max_rows": None}, pilot_rows=3)
def test_a_pilot_is_the_first_shard_and_the_rest_is_cut_as_an_input_of_its_own(
    table: dict[str, Any], pilot_rows: int
) -> None:
    sizes, limits = table["sizes"], {"max_bytes": table["max_bytes"], "max_rows": table["max_rows"]}
    cuts = cut(list(accumulate(sizes)), pilot_rows=pilot_rows, **limits)
    plain = parts_of(**table)
    if not plain or pilot_rows >= len(plain[0]):
        assert cuts == plain
        return
    rest = parts_of(sizes[pilot_rows:], **limits)
    assert cuts == [range(pilot_rows), *(range(one.start + pilot_rows, one.stop + pilot_rows) for one in rest)]


@given(st.integers(1, 5000), st.integers(1, 200))
def test_a_sample_stands_evenly_over_the_input_and_has_no_row_twice(rows: int, wanted: int) -> None:
    places = [*spread(rows, wanted)]
    assert len(places) == min(rows, wanted)
    assert places == sorted(set(places))
    assert places[0] >= 0
    assert places[-1] < rows
    if wanted < rows:
        gaps = [after - before for before, after in zip([-1, *places], [*places, rows], strict=True)]
        step = rows / wanted
        assert all(step - 1 <= gap <= step + 1 for gap in gaps[1:-1])
        assert all(gap <= step / 2 + 1 for gap in (gaps[0], gaps[-1]))
