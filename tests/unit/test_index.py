"""Lines are found by their id, whatever the hashes of ids have in common."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.storage.index import MAX_PLACES, LineIndex


def reader_of(lines: list[str]) -> Callable[[int, str], bool]:
    return lambda place, custom_id: lines[place] == custom_id


@given(lines=st.lists(st.text(max_size=3)), wanted=st.lists(st.text(max_size=3)))
def test_each_id_has_the_place_of_its_first_line_once(lines: list[str], wanted: list[str]) -> None:
    index = LineIndex(len(lines), reader_of(lines))
    first: dict[str, int] = {}
    for place, custom_id in enumerate(lines):
        assert index.add(custom_id, place) is (custom_id not in first)
        first.setdefault(custom_id, place)
    for custom_id in wanted:
        assert index.take(custom_id) == first.pop(custom_id, None)
    assert list(index.left()) == sorted(first.values())


class _AllAlike(str):
    """A text that shares its hash with every other."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, str(other))


def test_ids_of_one_hash_are_told_apart() -> None:
    lines = [_AllAlike(number) for number in range(50)]
    index = LineIndex(len(lines), lambda place, custom_id: str(lines[place]) == str(custom_id))
    for place, custom_id in enumerate(lines):
        assert index.add(custom_id, place)
    assert [index.take(custom_id) for custom_id in lines] == list(range(50))


def test_a_place_may_be_as_far_as_a_terabyte() -> None:
    index = LineIndex(1, lambda place, custom_id: (place, custom_id) == (MAX_PLACES - 2, "far"))
    assert index.add("far", MAX_PLACES - 2)
    assert index.take("far") == MAX_PLACES - 2
