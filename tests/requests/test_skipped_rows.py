"""Rows that were left out: none is lost, and each one's place among the answers is known."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kimi.records.shard_names import Part
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.skipped_rows import SkippedRows, read_skipped

PROBLEM = RowProblem("is blank")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def fresh(folder: Path) -> SkippedRows:
    (folder / "unsorted").unlink(missing_ok=True)
    return SkippedRows(folder, "row {}".format)


@st.composite
def inputs(draw: st.DrawFn) -> tuple[list[bool], list[range], list[int]]:
    """Which rows are sent, how these are cut, and in which order the others are found."""
    sent = draw(st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
    total = sum(sent)
    cuts = draw(st.sets(st.integers(1, total - 1))) if total > 1 else set()
    edges = [0, *sorted(cuts), total]
    shards = [range(first, stop) for first, stop in zip(edges, edges[1:], strict=False)]
    left_out = [number for number, is_sent in enumerate(sent, 1) if not is_sent]
    return sent, shards, draw(st.permutations(left_out))


@given(made=inputs())
@example(made=([False, True, False, False, True, False], [range(1), range(1, 2)], [6, 1, 4, 3]))
def test_the_order_of_the_input_is_rebuilt_from_what_was_sent_and_what_was_not(
    made: tuple[list[bool], list[range], list[int]], folder: Path
) -> None:
    sent, shards, found = made
    rows = fresh(folder)
    for number in found:
        rows.add(number, PROBLEM)
    rows.write(folder / "skipped.jsonl", shards)
    numbers = [number for number, is_sent in enumerate(sent, 1) if is_sent]
    rebuilt: list[int] = []
    for shard, part in enumerate(shards, 1):
        answers = numbers[part.start : part.stop]
        at = 0
        for row in read_skipped(folder / "skipped.jsonl", shard):
            rebuilt += [*answers[at : row.position], row.number]
            at = row.position
        rebuilt += answers[at:]
    assert rebuilt == list(range(1, len(sent) + 1))


def test_a_row_between_two_shards_stands_before_the_second(tmp_path: Path) -> None:
    rows = fresh(tmp_path)
    rows.add(3, PROBLEM)
    rows.add(6, PROBLEM)
    rows.write(tmp_path / "skipped.jsonl", [range(2), range(2, 4)])
    assert list(read_skipped(tmp_path / "skipped.jsonl", 1)) == []
    found = [(row.shard, row.position, row.number) for row in read_skipped(tmp_path / "skipped.jsonl", 2)]
    assert found == [(2, 0, 3), (2, 2, 6)]


def test_nothing_is_stored_if_no_row_is_left_out(tmp_path: Path) -> None:
    assert list(read_skipped(None, 1)) == []
    fresh(tmp_path).write(tmp_path / "skipped.jsonl", [range(2)])
    assert (tmp_path / "skipped.jsonl").read_bytes() == b""


def test_a_row_that_is_left_out_is_stored_with_its_place_reason_and_name(tmp_path: Path) -> None:
    rows = fresh(tmp_path)
    rows.add(2, RowProblem("has no messages", "r2"))
    rows.add(1, RowProblem("is blank"))
    assert list(rows.numbers) == [2, 1]
    rows.write(tmp_path / "skipped.jsonl", [range(1)])
    common: dict[str, Any] = {"shard": 1, "position": 0}
    assert list(read_skipped(tmp_path / "skipped.jsonl", 1)) == [
        SkippedRow(**common, custom_id="row-00000001", place="row 1", number=1, reason="is blank"),
        SkippedRow(
            **common,
            custom_id="r2",
            place="row 2",
            number=2,
            reason="has no messages",
        ),
    ]


def test_a_text_cannot_break_the_file_of_skipped_rows(tmp_path: Path) -> None:
    """Line ends of every kind stay within their row."""
    rows = fresh(tmp_path)
    texts = ["a\nb", "a\r\nb", "a\u2028b\u2029\x85c", "\x00\x0b\x0c\x1c"]
    for number, text in enumerate(texts, 1):
        rows.add(number, RowProblem("has\ntext", text))
    rows.write(tmp_path / "skipped.jsonl", [range(1)])
    assert [row.custom_id for row in read_skipped(tmp_path / "skipped.jsonl", 1)] == texts


@given(sent=st.integers(2, 12), left_out=st.lists(st.integers(0, 12), max_size=6), cuts=st.lists(st.booleans()))
def test_each_row_that_was_left_out_of_a_shard_is_of_one_part_of_it(
    sent: int, left_out: list[int], cuts: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It stands before the request that came behind it in the input."""
    path = tmp_path_factory.mktemp("skipped") / "skipped.jsonl"
    rows = [
        SkippedRow(shard=2, position=min(at, sent), custom_id=f"s{number}")
        for number, at in enumerate(sorted(left_out))
    ]
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))

    def parts(part: Part) -> list[Part]:
        if part.stop - part.start < 2 or not cuts or not cuts.pop():
            return [part]
        return [end for half in part.halves for end in parts(half)]

    found = [(part.start, row) for part in parts(Part(0, sent, sent)) for row in read_skipped(path, 2, part)]
    assert [(row.custom_id, start + row.position) for start, row in found] == [
        (row.custom_id, row.position) for row in rows
    ]
