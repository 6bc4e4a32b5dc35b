"""The answers of one batch, found by `custom_id` in files on this machine's disk."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from airflow_provider_kimi.batch.results import batch_error, id_of, read_row
from airflow_provider_kimi.batch.rows import Row
from airflow_provider_kimi.storage.index import LineIndex
from airflow_provider_kimi.storage.lines import count_newlines, lines_at


class AnswerFiles:
    """Finds the line of each answer in an output and an error file; the lines stay on disk.

    Where an id stands twice, its first line counts, an output line before an error line.

    :param output: Local output file; None where there is none.
    :param error: Local error file; None where there is none.
    """

    def __init__(self, output: Path | None, error: Path | None) -> None:
        self.duplicates = 0
        self.unreadable = 0
        self.found = 0
        self.taken = 0
        self.batch_error: Row | None = None
        paths = [path for path in (output, error) if path is not None]
        self._files: list[BinaryIO] = []
        self._begins = array("Q", [0])
        self._index = LineIndex(sum(count_newlines(path) + 1 for path in paths), self._is_at)
        for path in paths:
            self._add(path)

    def _add(self, path: Path) -> None:
        """Index a file; its places follow those of the file before it."""
        begin = self._begins[-1]
        self._files.append(path.open("rb"))
        self._begins.append(begin + path.stat().st_size)
        for offset, line in lines_at(path):
            if not line.strip():
                continue
            custom_id = id_of(line)
            if custom_id is None:
                error = batch_error(line)
                self.batch_error = self.batch_error or error
                self.unreadable += error is None
            elif self._index.add(custom_id, begin + offset):
                self.found += 1
            else:
                self.duplicates += 1

    def take(self, custom_id: str) -> Row | None:
        """Return an id's row, once; None where there is no line for it."""
        place = self._index.take(custom_id)
        if place is None:
            return None
        self.taken += 1
        return read_row(self._line_at(place))

    @property
    def left(self) -> int:
        """How many ids nobody took."""
        return self.found - self.taken

    def left_ids(self) -> Iterator[str]:
        """The ids that nobody took, in file order."""
        for place in self._index.left():
            if custom_id := id_of(self._line_at(place)):
                yield custom_id

    def _is_at(self, place: int, custom_id: str) -> bool:
        return id_of(self._line_at(place)) == custom_id

    def _line_at(self, place: int) -> bytes:
        number = 1 if len(self._files) > 1 and place >= self._begins[1] else 0
        file = self._files[number]
        file.seek(place - self._begins[number])
        return file.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
