"""Request lines on this machine's disk: written once, and uploaded in slices from where they lie."""

import hashlib
import io
import os
from array import array
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, BinaryIO, Self
from weakref import finalize

#: Bytes that are written, hashed or copied at once.
CHUNK_BYTES = 1 << 19


class Spool:
    """A file of request lines, and the offset at which each of them ends.

    A thread writes and hashes blocks of lines while the next lines are checked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ends = array("q")
        self._size = 0
        self._held: list[bytes] = []
        self._handed_over = 0
        self._digest = hashlib.sha256()
        self._file = path.open("wb", 0)
        self._thread = ThreadPoolExecutor(1)
        self._stored: Future[None] | None = None

    def write(self, line: bytes) -> None:
        """Add a line, given without its newline."""
        self.extend((line,))

    def extend(self, lines: Sequence[bytes]) -> None:
        """Add lines, given without their newlines."""
        self._held += lines
        self.ends.extend(islice(accumulate((len(line) + 1 for line in lines), initial=self._size), 1, None))
        self._size = self.ends[-1]
        if self._size - self._handed_over > CHUNK_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the lines to the thread once it is done with those before: memory holds two blocks at most."""
        if self._stored is not None:
            self._stored.result()
        self._held.append(b"")
        self._stored = self._thread.submit(self._store, b"\n".join(self._held))
        self._held.clear()
        self._handed_over = self._size

    def _store(self, block: bytes) -> None:
        self._digest.update(block)
        left = memoryview(block)
        while left:
            left = left[self._file.write(left) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._hand_over()
            if self._stored is not None:
                self._stored.result()
        finally:
            self._thread.shutdown()
            self._file.close()

    def lines(self) -> Iterator[bytes]:
        """The lines, without their newlines."""
        with self.path.open("rb", CHUNK_BYTES) as source:
            for line in source:
                yield line[:-1]

    def line(self, row: int) -> bytes:
        """The line of one row, from 0, without its newline."""
        begin = self.ends[row - 1] if row else 0
        return os.pread(self._reading.fileno(), self.ends[row] - begin - 1, begin)

    @cached_property
    def _reading(self) -> BinaryIO:
        source = self.path.open("rb", 0)
        finalize(self, source.close)
        return source

    def without(self, rows: Container[int], path: Path) -> "Spool":
        """Copy the lines into a new spool, but for the rows of these numbers, from 0."""
        with Spool(path) as kept:
            for number, line in enumerate(self.lines()):
                if number not in rows:
                    kept.write(line)
        return kept

    def only(self, rows: Sequence[int], path: Path) -> "Spool":
        """Copy the lines of these rows, from 0 and ascending, into a new spool."""
        with Spool(path) as kept, self.path.open("rb", CHUNK_BYTES) as source:
            for number in rows:
                source.seek(self.ends[number - 1] if number else 0)
                kept.write(source.readline()[:-1])
        return kept

    def slice_of(self, rows: range) -> "Slice":
        """The lines of some consecutive rows."""
        begin = self.ends[rows.start - 1] if rows.start else 0
        digest = self._digest.hexdigest() if len(rows) == len(self.ends) else None
        end = self.ends[rows.stop - 1] if rows else begin
        return Slice(self.path, begin, end, len(rows), digest)


class Slice:
    """Consecutive lines of a file.

    :param begin: Offset of the first byte.
    :param end: Offset after the last byte.
    :param rows: How many lines it has.
    :param digest: The SHA-256 of its bytes, in hexadecimal; None if it is not known yet.
    """

    def __init__(self, path: Path, begin: int, end: int, rows: int, digest: str | None = None) -> None:
        self.path = path
        self.begin = begin
        self.size = end - begin
        self.rows = rows
        self._digest = digest

    def open(self) -> "SliceReader":
        """Open it like a file of its own."""
        return SliceReader(self)

    def fingerprint(self) -> str:
        """The digest of its bytes."""
        if self._digest is None:
            with self.open() as content:
                self._digest = hashlib.file_digest(content, "sha256").hexdigest()
        return f"sha256:{self._digest}"

    def lines(self) -> Iterator[bytes]:
        """Its lines, without their newlines."""
        with self.path.open("rb", CHUNK_BYTES) as source:
            source.seek(self.begin)
            for _ in range(self.rows):
                yield source.readline()[:-1]

    @cached_property
    def halves(self) -> "tuple[Slice, Slice]":
        """Its lines in two slices. The first one has one more where their number is odd."""
        rows = (self.rows + 1) // 2
        with self.path.open("rb", CHUNK_BYTES) as source:
            source.seek(self.begin)
            for _ in range(rows):
                source.readline()
            middle = source.tell()
        end = self.begin + self.size
        return Slice(self.path, self.begin, middle, rows), Slice(self.path, middle, end, self.rows - rows)

    def rewritten(self, path: Path, change: Callable[[bytes], bytes | None]) -> "Slice":
        """Write its lines to another file, each as `change` returns it; without those that it returns None for."""
        with Spool(path) as target:
            for line in map(change, self.lines()):
                if line is not None:
                    target.write(line)
        return target.slice_of(range(len(target.ends)))


class SliceReader(io.RawIOBase):
    """Reads a slice; an HTTP client takes its length by seeking to the end."""

    def __init__(self, content: Slice) -> None:
        super().__init__()
        self._content = content
        self._at = 0
        self._file = content.path.open("rb", 0)
        self._file.seek(content.begin)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset within the slice."""
        target = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._content.size}[whence]
        if target < 0:
            raise ValueError(f"negative seek position {target}")
        self._file.seek(self._content.begin + target)
        self._at = target
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what fits, to the slice's end at most."""
        view = memoryview(buffer)[: max(self._content.size - self._at, 0)]
        count = self._file.readinto(view)
        self._at += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
