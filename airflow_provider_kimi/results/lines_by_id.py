"""Lines of a local file by their `custom_id`; the lines stay on disk."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from airflow_provider_kimi.files.line_ids import id_of
from airflow_provider_kimi.files.lines import count_lines, lines_at
from airflow_provider_kimi.results.line_index import LineIndex


class LinesById:
    """Finds the line of each id, once.

    :param repeated: An id that several lines have; None if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.repeated: str | None = None
        self._begins = array("Q")
        self._file = path.open("rb", buffering=0)
        self._seen = b""
        self._index = LineIndex(count_lines(path)[0], self._is_at)
        end = 0
        for offset, line in lines_at(path):
            self._begins.append(offset)
            end = offset + len(line)
            if (custom_id := id_of(line)) and not self._index.add(custom_id, len(self._begins) - 1):
                self.repeated = self.repeated or custom_id
        self._begins.append(end)

    def find(self, custom_id: str) -> bytes | None:
        """Return the line of an id; None if there is none."""
        return self._seen if self._index.has(custom_id) else None

    def take(self, custom_id: str) -> bytes | None:
        """Return the line of an id, once; None if there is none, or it was taken."""
        return self._seen if self._index.take(custom_id) else None

    def left(self) -> Iterator[bytes]:
        """The lines that were not taken, in their order."""
        yield from map(self._line, self._index.left())

    def _is_at(self, place: int, custom_id: str) -> bool:
        self._seen = self._line(place)
        return id_of(self._seen) == custom_id

    def _line(self, place: int) -> bytes:
        begin, end = self._begins[place], self._begins[place + 1]
        line = b""
        while more := os.pread(self._file.fileno(), end - begin - len(line), begin + len(line)):
            line += more
        return line.removesuffix(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
