"""Lines are found by their id, whatever the hashes of ids have in common."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.results.line_index import LineIndex


def watched(lines: list[str], looked_at: list[int]) -> Callable[[int, str], bool]:
    """Compare with the line at a place, and note which place that was."""

    def is_at(place: int, custom_id: str) -> bool:
        looked_at.append(place)
        return lines[place] == str(custom_id)

    return is_at


@given(lines=st.lists(st.text(max_size=3)), wanted=st.lists(st.text(max_size=3)))
def test_each_id_has_the_place_of_its_first_line_and_is_taken_once(lines: list[str], wanted: list[str]) -> None:
    looked_at: list[int] = []
    index = LineIndex(len(lines), watched(lines, looked_at))
    first: dict[str, int] = {}
    for place, custom_id in enumerate(lines):
        assert index.add(custom_id, place) is (custom_id not in first)
        first.setdefault(custom_id, place)
    for custom_id in wanted:
        assert index.take(custom_id) is (custom_id in first)
        if custom_id in first:
            assert looked_at[-1] == first.pop(custom_id)
    assert list(index.left()) == sorted(first.values())


def test_the_place_of_an_id_can_be_moved() -> None:
    looked_at: list[int] = []
    index = LineIndex(3, watched(["a", "b", "a"], looked_at))
    for place, custom_id in enumerate("ab"):
        index.add(custom_id, place)
    index.move("a", 2)
    assert (index.take("a"), looked_at[-1], index.take("a")) == (True, 2, False)
    assert list(index.left()) == [1]


class _AllAlike(str):
    """A text that shares its hash with every other."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, str(other))


def test_ids_with_the_same_hash_are_told_apart() -> None:
    lines = [_AllAlike(number) for number in range(50)]
    looked_at: list[int] = []
    index = LineIndex(len(lines), watched([str(line) for line in lines], looked_at))
    for place, custom_id in enumerate(lines):
        assert index.add(custom_id, place)
    assert [(index.take(custom_id), looked_at[-1]) for custom_id in lines] == [(True, place) for place in range(50)]


def test_a_place_may_be_up_to_a_terabyte() -> None:
    far = (1 << 40) - 2
    looked_at: list[int] = []
    index = LineIndex(1, lambda place, custom_id: not looked_at.append(place))  # type: ignore[func-returns-value]
    assert index.add("far", far)
    assert (index.take("far"), looked_at) == (True, [far])
