"""Lines of bytes, cut on the newline byte and nowhere else.

Answers hold U+2028, U+2029 and U+0085, which `str.splitlines` and the SDK's `iter_lines` take for line ends.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: Bytes read at once; a buffer of a megabyte is given back to the system and fetched again each time, which is slower.
CHUNK_BYTES = 1 << 18


def read_lines(source: BinaryIO) -> Iterator[bytes]:
    """Yield each line without its newline; an empty source has none, a last line needs no newline."""
    for block in read_blocks(source):
        yield from lines_of(block)


def lines_of(block: bytes) -> list[bytes]:
    """Cut a block into its lines."""
    return block.removesuffix(b"\n").split(b"\n")


def read_blocks(source: BinaryIO, longest: int | None = None) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines, so that what all lines share is looked at once for many of them.

    Asks for nothing but `read`: what an object storage path opens on Airflow 2.11 cannot be iterated.

    :param longest: Bytes of a line that are held. A longer one may come cut, but not below `longest + 1` bytes. None
        holds any line.
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
    """Leave out blank lines at the end of a file, which editors put there; between others they would be a fault."""
    held: bytes | None = None
    for block in blocks:
        if held is not None:
            yield held
        held = block
    if held is not None and (content := held.rstrip(b" \t\r\n")):
        end = held.find(b"\n", len(content))
        yield held if end < 0 else held[: end + 1]


def lines_at(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a local file with the offset at which it begins."""
    offset = 0
    with path.open("rb") as source:
        for line in source:
            yield offset, line.removesuffix(b"\n")
            offset += len(line)


def count_newlines(path: Path) -> int:
    """Count the newline bytes of a local file."""
    with path.open("rb") as source:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: source.read(CHUNK_BYTES), b""))


def count_lines(path: Path) -> tuple[int, bytes]:
    """Count the lines that are not blank, and return the last one."""
    count, last = 0, b""
    with path.open("rb") as source:
        for line in source:
            if line.strip():
                count, last = count + 1, line
    return count, last


def append_lines(path: Path, target: BinaryIO) -> None:
    """Copy a local file, adding the newline that its last line may lack."""
    with path.open("rb") as source:
        for line in source:
            target.write(line if line.endswith(b"\n") else line + b"\n")
