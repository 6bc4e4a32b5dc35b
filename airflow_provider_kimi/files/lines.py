"""Lines of bytes, cut on the newline byte and nowhere else.

Answers hold U+2028, U+2029 and U+0085, at which `str.splitlines` and the SDK's `iter_lines` cut too.
"""

import hashlib
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

#: Bytes read at once. A buffer of a megabyte is slower: each time, the system takes it back and gives a new one.
CHUNK_BYTES = 1 << 18

#: Longest line of an answer that is held in memory; an answer of the longest context has a few megabytes.
MAX_LINE_BYTES = 1 << 26


def read_lines(source: BinaryIO) -> Iterator[bytes]:
    """Yield each line without its newline, which the last line may lack."""
    for block in read_blocks(source):
        yield from lines_of(block)


def lines_of(block: bytes) -> list[bytes]:
    """Cut a block into its lines."""
    return block.removesuffix(b"\n").split(b"\n")


def read_blocks(source: BinaryIO, longest: int | None = None) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines, so that one check can cover many lines.

    It only calls `read`: on Airflow 2.11 a file of an object storage cannot be iterated.

    :param longest: Bytes of a line that are held. A longer line may be cut, to `longest + 1` bytes at least. None holds
        any line.
    """
    begun: list[bytes] = []
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end and longest is not None and size > longest:  # the rest of a line that is too long
            first = chunk.index(b"\n")
            yield b"".join(begun)[: longest + 1] + chunk[first:end]
        elif end:
            yield b"".join([*begun, memoryview(chunk)[:end]])
        if end:
            begun, size = [], 0
        if longest is None or size <= longest:
            begun.append(chunk[end:])
            size += len(chunk) - end
    if size:
        yield b"".join(begun)[: None if longest is None else longest + 1]


def without_last_blanks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Leave out blank lines at the end of a file, where editors put them."""
    held: bytes | None = None
    for block in blocks:
        if held is not None:
            yield held
        held = block
    if held is not None and (content := held.rstrip(b" \t\r\n")):
        end = held.find(b"\n", len(content))
        yield held if end < 0 else held[: end + 1]


def lines_at(path: Path, longest: int = -1) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a local file with its offset.

    :param longest: Bytes of a line that are held; a longer line is cut there. -1 holds any line.
    """
    offset = 0
    with path.open("rb", buffering=CHUNK_BYTES) as source:
        while line := source.readline(longest):
            yield offset, line.removesuffix(b"\n")
            offset += len(line)
            if len(line) == longest and not line.endswith(b"\n"):
                offset += _skip_line(source)


def _skip_line(source: BinaryIO) -> int:
    skipped = 0
    while piece := source.readline(CHUNK_BYTES):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def count_lines(path: Path, longest: int = -1) -> tuple[int, bytes]:
    """Count the lines that are not blank, and return the last one, cut to `longest` bytes."""
    count, last = 0, b""
    for _, line in lines_at(path, longest):
        if line and not line.isspace():
            count, last = count + 1, line
    return count, last


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a local file."""
    with path.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def new_file(path: Path) -> BinaryIO:
    """Open a local file to be written line by line, with a buffer that joins many lines into one write."""
    return path.open("wb", buffering=CHUNK_BYTES)


def ends_in_newline(path: Path) -> bool:
    """Whether another file can be appended to a local file, which is empty or ends in a newline."""
    with path.open("rb") as source:
        size = source.seek(0, SEEK_END)
        source.seek(max(size - 1, 0))
        return source.read() in (b"", b"\n")
