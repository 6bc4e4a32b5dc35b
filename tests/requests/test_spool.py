"""Request lines on disk: what is cut from them is what was written, byte for byte."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.splitting import cut
from airflow_provider_kimi.requests.spool import Slice, Spool

#: Lines as bytes: no newline within one, and anything else.
LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def spooled(path: Path, lines: list[bytes]) -> Spool:
    with Spool(path) as spool:
        for line in lines:
            spool.write(line)
    return spool


def content_of(content: Slice) -> bytes:
    with content.open() as source:
        return source.read()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@given(lines=LINES, room=st.integers(0, 100), max_rows=st.one_of(st.none(), st.integers(1, 10)))
def test_the_shards_of_a_file_together_are_the_file(
    lines: list[bytes], room: int, max_rows: int | None, folder: Path
) -> None:
    """Nothing is lost, doubled or changed by cutting, and no shard is over the limit."""
    spool = spooled(folder / "requests.jsonl", lines)
    max_bytes = max(map(len, lines)) + 1 + room
    shards = [spool.slice_of(rows) for rows in cut(spool.ends, max_bytes=max_bytes, max_rows=max_rows)]
    contents = [content_of(shard) for shard in shards]
    assert b"".join(contents) == spool.path.read_bytes() == b"".join(line + b"\n" for line in lines)
    assert [len(content) for content in contents] == [shard.size for shard in shards]
    assert [content.count(b"\n") for content in contents] == [shard.rows for shard in shards]
    assert max(map(len, contents)) <= max_bytes
    for shard, content in zip(shards, contents, strict=True):
        assert shard.fingerprint() == digest_of(content)


@given(lines=LINES)
def test_lines_are_read_as_they_were_written(lines: list[bytes], folder: Path) -> None:
    """Carriage returns and Unicode line ends are content of a line."""
    assert list(spooled(folder / "requests.jsonl", lines).lines()) == lines


@given(lines=LINES, data=st.data())
def test_lines_can_be_left_out(lines: list[bytes], data: st.DataObject, folder: Path) -> None:
    rows = data.draw(st.sets(st.integers(0, len(lines) - 1)))
    spool = spooled(folder / "requests.jsonl", lines)
    kept = spool.without(rows, folder / "unique.jsonl")
    left = [line for number, line in enumerate(lines) if number not in rows]
    assert list(kept.lines()) == left
    assert len(kept.ends) == len(left)
    assert kept.ends[-1:].tolist() == [kept.path.stat().st_size][: len(left)]
    assert list(spool.lines()) == lines, "the first file stays as it was"


@given(lines=LINES, data=st.data())
def test_a_spool_of_some_lines_has_these_in_order(lines: list[bytes], data: st.DataObject, folder: Path) -> None:
    rows = sorted(data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1)))
    kept = spooled(folder / "all", lines).only(rows, folder / "some")
    assert list(kept.lines()) == [lines[row] for row in rows]
    assert kept.slice_of(range(len(rows))).fingerprint() == digest_of((folder / "some").read_bytes())


@given(lines=LINES, data=st.data())
def test_a_slice_is_rewritten_line_by_line(lines: list[bytes], data: st.DataObject, folder: Path) -> None:
    begin = data.draw(st.integers(0, len(lines) - 1))
    end = data.draw(st.integers(begin + 1, len(lines)))
    spool = spooled(folder / "requests.jsonl", lines)
    changed = spool.slice_of(range(begin, end)).rewritten(folder / "shard.jsonl", lambda line: b"<" + line + b">")
    assert content_of(changed) == b"".join(b"<" + line + b">\n" for line in lines[begin:end])
    assert (changed.rows, changed.begin, changed.size) == (end - begin, 0, changed.path.stat().st_size)
    assert list(spool.lines()) == lines


def test_a_line_that_is_larger_than_a_chunk_stays_whole(tmp_path: Path) -> None:
    lines = [b"a", b"x" * 3_000_000, b"b"]
    spool = spooled(tmp_path / "requests.jsonl", lines)
    assert content_of(spool.slice_of(range(1, 2))) == lines[1] + b"\n"
    assert spool.slice_of(range(1, 2)).fingerprint() == digest_of(lines[1] + b"\n")
    assert list(spool.lines()) == lines


def test_an_empty_spool_has_no_lines(tmp_path: Path) -> None:
    spool = spooled(tmp_path / "requests.jsonl", [])
    assert (list(spool.lines()), list(spool.ends)) == ([], [])
    assert list(spool.without([], tmp_path / "unique.jsonl").ends) == []


FOUR_LINES = [b"before", b"one", b"two", b"behind"]
CONTENT = b"one\ntwo\n"


@pytest.fixture
def content(tmp_path: Path) -> Slice:
    return spooled(tmp_path / "requests.jsonl", FOUR_LINES).slice_of(range(1, 3))


def test_a_reader_of_a_slice_gives_its_length_by_seeking_to_the_end(content: Slice) -> None:
    with content.open() as source:
        assert source.seek(0, io.SEEK_END) == source.tell() == len(CONTENT) == content.size
        assert source.read() == b""
        assert source.seek(0) == 0
        assert source.read() == CONTENT


def test_a_reader_of_a_slice_stops_at_its_end(content: Slice) -> None:
    with content.open() as source:
        assert source.read(6) == b"one\ntw"
        assert source.read(100) == b"o\n"
        assert source.read(100) == source.read() == b""


def test_a_reader_of_a_slice_reads_into_a_buffer(content: Slice) -> None:
    with content.open() as source:
        buffer = bytearray(b"." * 6)
        assert source.readinto(buffer) == 6
        assert buffer == b"one\ntw"
        assert source.readinto(buffer) == 2
        assert buffer == b"o\ne\ntw"
        assert source.readinto(buffer) == 0


def test_a_reader_of_a_slice_is_a_readable_and_seekable_file(content: Slice) -> None:
    with content.open() as source:
        assert (source.readable(), source.seekable(), source.writable()) == (True, True, False)
        assert list(source) == [b"one\n", b"two\n"]
    assert source.closed
    with pytest.raises(ValueError, match="closed"):
        source.read(1)


def test_two_readers_of_one_file_do_not_disturb_each_other(content: Slice) -> None:
    with content.open() as first, content.open() as second:
        assert first.read(2) == b"on"
        assert second.read() == CONTENT
        assert first.read() == CONTENT[2:]


@pytest.mark.parametrize(("offset", "whence"), [(-1, io.SEEK_SET), (-1, io.SEEK_CUR), (-9, io.SEEK_END)])
def test_a_reader_of_a_slice_never_reaches_what_stands_before_it(content: Slice, offset: int, whence: int) -> None:
    with content.open() as source:
        with pytest.raises(ValueError, match="negative"):
            source.seek(offset, whence)
        assert source.read() == CONTENT


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(-1, 12)),
            st.tuples(st.just("set"), st.integers(0, 12)),
            st.tuples(st.just("end"), st.integers(-8, 4)),
            st.tuples(st.just("into"), st.integers(0, 12)),
        )
    )
)
def test_a_reader_of_a_slice_does_what_a_file_in_memory_does(steps: list[tuple[str, int]], folder: Path) -> None:
    spool = spooled(folder / "requests.jsonl", FOUR_LINES)
    memory = io.BytesIO(CONTENT)
    with spool.slice_of(range(1, 3)).open() as source:
        for step, number in steps:
            if step == "read":
                assert source.read(number) == memory.read(number)
            elif step == "into":
                ours, theirs = bytearray(number), bytearray(number)
                assert source.readinto(ours) == memory.readinto(theirs)
                assert ours == theirs
            else:
                whence = io.SEEK_SET if step == "set" else io.SEEK_END
                assert source.seek(number, whence) == memory.seek(number, whence)
            assert source.tell() == memory.tell()
