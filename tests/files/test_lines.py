"""Lines end at the newline byte and nowhere else."""

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.files.lines import (
    CHUNK_BYTES,
    count_lines,
    ends_in_newline,
    lines_at,
    lines_of,
    read_blocks,
    read_lines,
    without_last_blanks,
)

#: What `str.splitlines`, `bytes.splitlines` or the SDK's `iter_lines` take for line ends.
OTHER_ENDS = ("\u2028", "\u2029", "\u0085", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e")
PIECES = st.one_of(st.binary(), st.sampled_from([*(end.encode() for end in OTHER_ENDS), b"\n", b"\n\n", b"\xff"]))
CONTENT = st.lists(PIECES).map(b"".join)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "file"


def lines_by_definition(content: bytes) -> list[bytes]:
    """What stands before each newline, and a last one that has none."""
    lines = content.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@pytest.mark.parametrize("end", OTHER_ENDS, ids=[f"U+{ord(end):04X}" for end in OTHER_ENDS])
def test_a_unicode_line_end_stays_inside_its_line(end: str, path: Path) -> None:
    """An answer with one of them would be cut into halves that do not parse."""
    row = f'{{"content":"a{end}b"}}'.encode()
    path.write_bytes(row + b"\n" + row)
    with path.open("rb") as source:
        assert list(read_lines(source)) == [row, row]
    assert list(lines_at(path)) == [(0, row), (len(row) + 1, row)]
    assert count_lines(path) == (2, row)


@given(content=CONTENT)
def test_no_byte_is_lost_when_lines_are_cut(content: bytes) -> None:
    lines = list(read_lines(io.BytesIO(content)))
    assert lines == lines_by_definition(content)
    assert b"\n".join(lines) == content.removesuffix(b"\n") or content == b"\n"
    assert not any(b"\n" in line for line in lines)


@given(content=CONTENT)
def test_every_offset_is_where_its_line_begins(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    found = list(lines_at(path))
    assert [line for _, line in found] == lines_by_definition(content)
    assert all(content[offset:].startswith(line) for offset, line in found)
    assert all(offset == 0 or content[offset - 1 : offset] == b"\n" for offset, _ in found)


@given(content=CONTENT)
def test_it_is_known_whether_the_last_line_has_its_newline(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert ends_in_newline(path) is (not content or content.endswith(b"\n"))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\n", [b""], id="one newline"),
        pytest.param(b"a", [b"a"], id="no newline"),
        pytest.param(b"a\n", [b"a"], id="newline at the end"),
        pytest.param(b"a\n\nb", [b"a", b"", b"b"], id="blank line"),
        pytest.param(b"a\r\nb\r\n", [b"a\r", b"b\r"], id="Windows"),
    ],
)
def test_a_last_line_needs_no_newline(content: bytes, lines: list[bytes]) -> None:
    assert list(read_lines(io.BytesIO(content))) == lines


class Dribble(io.BytesIO):
    """A file of which a few bytes come at once, as a network may give them."""

    def __init__(self, content: bytes, at_once: int) -> None:
        super().__init__(content)
        self._at_once = at_once

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._at_once)


@given(content=CONTENT, at_once=st.integers(1, 9))
def test_blocks_hold_whole_lines_and_every_byte(content: bytes, at_once: int) -> None:
    blocks = list(read_blocks(Dribble(content, at_once)))
    assert b"".join(blocks) == content
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(blocks)


@given(content=CONTENT, at_once=st.integers(1, 9))
def test_blocks_have_the_lines_of_the_file(content: bytes, at_once: int) -> None:
    expected = lines_by_definition(content)
    assert [line for block in read_blocks(Dribble(content, at_once)) for line in lines_of(block)] == expected
    assert list(read_lines(Dribble(content, at_once))) == expected


@given(content=CONTENT, longest=st.integers(0, 6), at_once=st.integers(1, 9))
def test_a_line_that_is_too_long_is_cut_above_the_limit_and_no_other_is_changed(
    content: bytes, longest: int, at_once: int
) -> None:
    lines = [line for block in read_blocks(Dribble(content, at_once), longest) for line in lines_of(block)]
    whole = lines_by_definition(content)
    assert len(lines) == len(whole)
    for line, uncut in zip(lines, whole, strict=True):
        assert line == uncut or (uncut.startswith(line) and longest < len(line) <= longest + at_once)


@given(content=CONTENT, longest=st.integers(1, 6))
def test_a_line_of_a_local_file_that_is_too_long_is_cut_and_the_others_keep_their_offsets(
    content: bytes, longest: int, path: Path
) -> None:
    path.write_bytes(content)
    found = list(lines_at(path, longest))
    whole = lines_by_definition(content)
    assert [line for _, line in found] == [line[:longest] for line in whole]
    assert [content[offset : offset + len(line)] for offset, line in found] == [line for _, line in found]
    assert [offset for offset, _ in found] == [offset for offset, _ in lines_at(path)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\nbehind", b"\nbehind\n"])
def test_a_line_that_is_too_long_is_not_held_in_memory(end: bytes) -> None:
    """What comes after the cut is read and forgotten."""
    source = io.BytesIO(b"short\n" + b"x" * (32 * CHUNK_BYTES) + end)
    tracemalloc.start()
    try:
        lines = [line for block in read_blocks(source, 1000) for line in lines_of(block)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lines[0] == b"short"
    assert lines[2:] == ([b"behind"] if b"behind" in end else [])
    assert 1000 < len(lines[1]) <= 1000 + CHUNK_BYTES
    assert peak < 8 * CHUNK_BYTES


@pytest.mark.parametrize(
    ("content", "counted"),
    [
        pytest.param(b"", (0, b""), id="empty"),
        pytest.param(b"\n \r\n", (0, b""), id="blank"),
        pytest.param(b"a\nb\n", (2, b"b"), id="two"),
        pytest.param(b"a\nb", (2, b"b"), id="the last without newline"),
        pytest.param(b"a\n\n\n", (1, b"a"), id="blank lines after it"),
    ],
)
def test_blank_lines_are_not_counted(content: bytes, counted: tuple[int, bytes], path: Path) -> None:
    path.write_bytes(content)
    assert count_lines(path) == counted


@given(content=CONTENT, blanks=st.lists(st.sampled_from([b"", b" ", b"\t", b"\r", b"  \r"])))
def test_blank_lines_at_the_end_are_left_out_and_nothing_else(content: bytes, blanks: list[bytes]) -> None:
    whole = content.removesuffix(b"\n") + b"\n" + b"".join(blank + b"\n" for blank in blanks)
    kept = [line for block in without_last_blanks(read_blocks(io.BytesIO(whole))) for line in lines_of(block)]
    expected = lines_by_definition(whole)
    while expected and not expected[-1].strip(b" \t\r"):
        expected.pop()
    assert kept == expected


def test_a_file_of_blank_lines_has_no_lines() -> None:
    assert list(without_last_blanks(read_blocks(io.BytesIO(b" \n\n")))) == []
