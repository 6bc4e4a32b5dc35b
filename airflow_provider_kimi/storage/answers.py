"""The answers of one batch, found by `custom_id` in files on this machine's disk."""

from pathlib import Path
from typing import BinaryIO, Self

from airflow_provider_kimi.batch.results import Row, batch_error, id_of, read_row
from airflow_provider_kimi.storage.lines import lines_at


class AnswerFiles:
    """An index over an output and an error file: ids and offsets in memory, lines on disk.

    Where an id stands twice, its first line counts, an output line before an error line.

    :param output: Local output file; None where there is none.
    :param error: Local error file; None where there is none.
    """

    def __init__(self, output: Path | None, error: Path | None) -> None:
        self.duplicates = 0
        self.unreadable = 0
        self.taken = 0
        self.batch_error: Row | None = None
        self._files: list[BinaryIO] = []
        self._places: dict[str, tuple[int, int]] = {}
        for path in (output, error):
            if path is not None:
                self._index(path)

    def _index(self, path: Path) -> None:
        number = len(self._files)
        self._files.append(path.open("rb"))
        for offset, line in lines_at(path):
            if not line.strip():
                continue
            custom_id = id_of(line)
            if custom_id is None:
                error = batch_error(line)
                self.batch_error = self.batch_error or error
                self.unreadable += error is None
            elif custom_id in self._places:
                self.duplicates += 1
            else:
                self._places[custom_id] = (number, offset)

    def take(self, custom_id: str) -> Row | None:
        """Return an id's row, once; None where there is no line for it."""
        place = self._places.pop(custom_id, None)
        if place is None:
            return None
        self.taken += 1
        number, offset = place
        self._files[number].seek(offset)
        return read_row(self._files[number].readline())

    @property
    def left(self) -> list[str]:
        """The ids that nobody took, in file order."""
        return list(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
