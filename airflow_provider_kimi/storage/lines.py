"""Lines of bytes, cut on the newline byte and nowhere else.

Answers hold U+2028, U+2029 and U+0085, which `str.splitlines` and the SDK's `iter_lines` take for line ends.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: Bytes read at once.
CHUNK_BYTES = 1 << 20


def read_lines(source: BinaryIO, longest: int | None = None) -> Iterator[bytes]:
    """Yield each line without its newline; an empty source has none, a last line needs no newline.

    Asks for nothing but `read`: what an object storage path opens on Airflow 2.11 cannot be iterated.

    :param longest: Bytes of a line that are held; a longer one comes as its first `longest + 1` bytes. None for all.
    """
    begun: list[bytes] = []
    while chunk := source.read(CHUNK_BYTES):
        first, *others = chunk.split(b"\n")
        if longest is None or sum(map(len, begun)) <= longest:
            begun.append(first)
        if others:
            yield _joined(begun, longest)
            yield from others[:-1]
            begun = [others[-1]]
    if any(begun):
        yield _joined(begun, longest)


def _joined(pieces: list[bytes], longest: int | None) -> bytes:
    line = b"".join(pieces)
    return line if longest is None or len(line) <= longest else line[: longest + 1]


def lines_at(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a local file with the offset at which it begins."""
    offset = 0
    with path.open("rb") as source:
        for line in source:
            yield offset, line.removesuffix(b"\n")
            offset += len(line)


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
