"""A shard that the platform finds too large is halved, and always at the same row."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.shards import Shard, in_parts
from airflow_provider_kimi.requests.spool import Spool

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=3, max_size=40)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def shard_of(folder: Path, lines: list[bytes], first: int = 0) -> Shard:
    """A shard of the lines from `first` on."""
    with Spool(folder / "requests.jsonl") as spool:
        spool.extend(lines)
    content = spool.slice_of(range(first, len(lines)))
    return Shard(3, content, content.fingerprint())


@given(lines=LINES, first=st.integers(0, 2), cuts=st.lists(st.booleans(), max_size=40))
def test_the_parts_of_a_shard_have_every_line_once_and_in_order(
    lines: list[bytes], first: int, cuts: list[bool], folder: Path
) -> None:
    shard = shard_of(folder, lines, first)
    parts = in_parts(shard, lambda _: bool(cuts) and cuts.pop())
    assert [line for part in parts for line in part.content.lines()] == lines[first:]
    for part in parts:
        with part.content.open() as content:
            assert content.read() == b"".join(line + b"\n" for line in part.content.lines())
        assert part.fingerprint == part.content.fingerprint()
        assert part.input_fingerprint == shard.fingerprint
        assert part.number == 3
        if part.part is not None:
            assert part.part.stop - part.part.start == part.content.rows
            assert part.part.total == shard.content.rows


def test_a_shard_is_halved_at_the_same_row_by_every_attempt(tmp_path: Path) -> None:
    lines = [b"%d" % number for number in range(9)]
    first, second = (shard_of(tmp_path, lines) for _ in range(2))
    names = [[(half.part, half.fingerprint) for half in shard.halves] for shard in (first, second)]
    assert names[0] == names[1]
    assert [half.content.rows for half in first.halves] == [5, 4]


def test_a_single_row_is_never_cut(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, [b"a", b"b", b"c"])
    assert [part.content.rows for part in in_parts(shard, lambda _: True)] == [1, 1, 1]


def test_a_shard_of_any_size_is_halved_in_little_memory(tmp_path: Path) -> None:
    line = b"x" * 1000
    shard = shard_of(tmp_path, [line] * 30_000)
    tracemalloc.start()
    try:
        parts = in_parts(shard, lambda part: part.content.rows > 4000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(parts) == 8
    assert peak < 3_000_000
