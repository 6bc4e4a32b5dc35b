"""The answers of one shard, found by `custom_id` in files on disk."""

import os
from array import array
from bisect import bisect_right
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from airflow_provider_kimi.files.line_ids import id_of, name_of_unreadable
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES, lines_at
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_lines import batch_error, read_row
from airflow_provider_kimi.results.line_index import LineIndex

#: Bytes that are read first to look up a line; most lines are shorter.
LOOK_UP_BYTES = 1 << 12


class AnswerFiles:
    """Finds the line of each answer in output and error files; the lines stay on disk.

    If an id has several lines, its first line with a usable answer counts; if it has none, an output line counts before
    an error line, and a line that can be read before one that cannot.

    :param outputs: Local output files, None for one that does not exist; those that count first come first.
    :param errors: The error files of the same batches.
    :param lines: How many lines all of them may have.
    """

    def __init__(self, outputs: Sequence[Path | None], errors: Sequence[Path | None], lines: int) -> None:
        self.lines = {"output": 0, "error": 0}
        self.duplicates = 0
        self.unreadable = 0
        self.found = 0
        self.taken = 0
        self.batch_error: Row | None = None
        self.taken_from = 0
        self._batches: list[int] = []
        self._looked_at: Row | None = None
        self._files: list[BinaryIO] = []
        self._begins = array("Q", [0])
        self._index = LineIndex(lines, self._is_at)
        broken = array("Q")
        for kind, paths in (("output", outputs), ("error", errors)):
            for batch, path in enumerate(paths):
                if path is not None:
                    self._batches.append(batch)
                    self.lines[kind] += self._add(path, broken)
        for place in broken:
            self._add_broken(place)

    def _add(self, path: Path, broken: "array[int]") -> int:
        """Index a file, whose places follow those of the file before it, and return its number of lines."""
        begin = self._begins[-1]
        self._files.append(path.open("rb", buffering=0))
        self._begins.append(begin + path.stat().st_size)
        lines = 0
        for offset, line in lines_at(path, MAX_LINE_BYTES):
            if not line or line.isspace():
                continue
            lines += 1
            custom_id = id_of(line if offset else line.removeprefix(BOM_UTF8))
            if custom_id is None:
                broken.append(begin + offset)
            elif self._index.add(custom_id, begin + offset):
                self.found += 1
            else:
                self._add_duplicate(custom_id, begin + offset, line)
        return lines

    def _add_duplicate(self, custom_id: str, place: int, line: bytes) -> None:
        self.duplicates += 1
        kept = self._looked_at
        if kept and kept.status != "succeeded" and read_row(line).status == "succeeded":
            self._index.move(custom_id, place)

    def _add_broken(self, place: int) -> None:
        """Index a line that cannot be read, if it names a request that no other line answers."""
        line = self._line_at(place)
        custom_id = name_of_unreadable(line)
        if custom_id is not None and self._index.add(custom_id, place):
            self.found += 1
            return
        error = batch_error(line)
        self.batch_error = self.batch_error or error
        self.unreadable += error is None

    def take(self, custom_id: str) -> Row | None:
        """Return the row of an id, once; None if there is no line for it.

        `taken_from` is then the place of its batch among the files.
        """
        if not self._index.take(custom_id):
            self.taken_from = 0
            return None
        self.taken += 1
        return self._looked_at

    @property
    def left(self) -> int:
        """How many ids were not taken."""
        return self.found - self.taken

    def left_ids(self) -> Iterator[str]:
        """The ids that were not taken, in file order."""
        for place in self._index.left():
            yield read_row(self._line_at(place)).custom_id

    def _is_at(self, place: int, custom_id: str) -> bool:
        """Whether a line is that of an id; its row, and its batch, are kept for the caller."""
        self._looked_at = row = read_row(self._line_at(place))
        self.taken_from = self._batches[self._file_of(place)]
        return row.custom_id == custom_id

    def _file_of(self, place: int) -> int:
        return bisect_right(self._begins, place, hi=len(self._files)) - 1

    def _line_at(self, place: int) -> bytes:
        number = self._file_of(place)
        file, at = self._files[number].fileno(), place - self._begins[number]
        line = os.pread(file, LOOK_UP_BYTES, at)
        while (end := line.find(b"\n")) < 0 and len(line) < MAX_LINE_BYTES:
            if not (more := os.pread(file, min(len(line), MAX_LINE_BYTES - len(line)), at + len(line))):
                break
            line += more
        line = line if end < 0 else line[:end]
        return line if at else line.removeprefix(BOM_UTF8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
