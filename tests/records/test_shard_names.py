"""The name of a shard, or of a part of one, says which rows a batch was made for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.account.remote_files import _JOB_NAME
from airflow_provider_kimi.records.shard_names import Part, ShardName, count_whole

NUMBERS = st.integers(1, 10**6)
PARTS = st.lists(NUMBERS, min_size=3, max_size=3).map(sorted).map(lambda cut: Part(cut[0] - 1, cut[1], cut[2]))
NAMES = st.builds(ShardName, NUMBERS, NUMBERS, st.one_of(st.none(), PARTS))


def halved(part: Part, at: list[bool]) -> list[Part]:
    """The parts of a part, cut again and again where `at` says so."""
    if part.stop - part.start < 2 or not at or not at.pop():
        return [part]
    first, second = part.halves
    return halved(first, at) + halved(second, at)


CUTS = st.lists(st.booleans(), max_size=60)


@given(NAMES)
def test_a_name_is_read_as_it_was_written(name: ShardName) -> None:
    assert ShardName.of(str(name)) == name


def test_a_name_says_which_rows_of_which_shard() -> None:
    assert str(ShardName(3, 20)) == "3/20"
    assert str(ShardName(3, 20, Part(0, 500, 1000))) == "3/20 rows 1-500 of 1000"
    assert ShardName(3, 20, Part(500, 1000, 1000)).short == "3.501-1000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3.1/20",
        "3/20 rows",
        "3/20 rows 0-5 of 9",
        "3/20 rows 6-5 of 9",
        "3/20 rows 1-10 of 9",
        "3/20 rows 1-2",
    ],
)
def test_what_is_not_a_name_is_none(text: str) -> None:
    assert ShardName.of(text) is None


@given(rows=st.integers(1, 200), cuts=CUTS)
def test_halves_of_halves_hold_every_row_once_and_in_order(rows: int, cuts: list[bool]) -> None:
    parts = halved(Part(0, rows, rows), cuts)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
    names = [ShardName(1, 1, part) for part in parts]
    assert sorted(names, key=lambda name: name.place) == names
    assert all(ShardName(1, 1).holds(name) for name in names)
    assert not any(one.holds(other) for one in names for other in names if one is not other)


def test_the_first_half_has_one_row_more_where_their_number_is_odd() -> None:
    assert Part(0, 7, 7).halves == (Part(0, 4, 7), Part(4, 7, 7))


@given(rows=st.integers(2, 200), cuts=CUTS, data=st.data())
def test_a_shard_is_there_with_all_its_rows_only_if_all_of_its_parts_are(
    rows: int, cuts: list[bool], data: st.DataObject
) -> None:
    names = [ShardName(2, 2, part) for part in halved(Part(0, rows, rows), [*cuts, True])]
    mixed = data.draw(st.permutations([ShardName(1, 2), *names]))
    assert count_whole(mixed) == 2
    mixed.remove(data.draw(st.sampled_from(names)))
    assert count_whole(mixed) == 1
    assert count_whole([*mixed, ShardName(2, 2)]) == 2


def test_a_shard_of_another_job_or_number_holds_nothing_of_it() -> None:
    part = ShardName(1, 2, Part(0, 1, 2))
    assert not ShardName(1, 3).holds(part)
    assert not ShardName(2, 2).holds(part)
    assert not part.holds(ShardName(1, 2))


@given(rows=st.integers(2, 50), data=st.data())
def test_a_file_is_of_the_rows_that_its_name_says(rows: int, data: st.DataObject) -> None:
    parts = halved(Part(0, rows, rows), [True] * 9)
    one, other = data.draw(st.sampled_from(parts)), data.draw(st.sampled_from(parts))
    name, file = ShardName(3, 9, one), f"{ShardName(3, 9, other).short}-0123456789ab.jsonl"
    assert name.is_met_by(file) is (one == other)
    assert ShardName(3, 9).is_met_by(file)
    assert name.is_met_by("3-0123456789ab.jsonl")
    assert not ShardName(4, 9).is_met_by(file)
    assert not name.is_met_by("note.jsonl")


@pytest.mark.parametrize("short", ["3", "3.501-1000"])
@pytest.mark.parametrize("of_round", ["", "round2-"])
def test_the_name_of_an_input_file_is_known_as_ours(short: str, of_round: str) -> None:
    found = re.fullmatch(_JOB_NAME, f"{'a' * 32}-{short}-{of_round}0123456789ab.jsonl")
    assert found
    assert found["job"] == "a" * 32
