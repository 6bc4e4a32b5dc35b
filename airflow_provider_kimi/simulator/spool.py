"""The lines of a result file, on disk until their order is known."""

from array import array
from collections.abc import Iterable, Iterator
from typing import IO


class LineSpool:
    """Lines on disk; memory holds only where each of them begins.

    :param stored: An empty file, open for reading and writing.
    """

    def __init__(self, stored: IO[bytes]) -> None:
        self._stored = stored
        self._starts = array("Q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def add(self, line: bytes) -> None:
        """Append one line."""
        self._stored.write(line)
        self._starts.append(self._starts[-1] + len(line))

    def lines(self, order: Iterable[int]) -> Iterator[bytes]:
        """The lines by their numbers, counted from 0 as they were added."""
        for number in order:
            self._stored.seek(self._starts[number])
            yield self._stored.read(self._starts[number + 1] - self._starts[number])
