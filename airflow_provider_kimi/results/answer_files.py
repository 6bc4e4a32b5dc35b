"""The answers of one shard, found by `custom_id` in files on disk."""

import os
from array import array
from bisect import bisect_right
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from airflow_provider_kimi.files.line_ids import id_of, name_of_unreadable
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES, lines_at
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_lines import batch_error, read_row
from airflow_provider_kimi.results.cost import Usage
from airflow_provider_kimi.results.line_index import LineIndex
from airflow_provider_kimi.results.tally import is_billed, is_counted


@dataclass
class PassedOver:
    """Tokens of answers that do not count.

    :param uncounted: Those of them that came without token counts.
    """

    usage: Usage = field(default_factory=Usage)
    uncounted: int = 0

    def add(self, row: Row) -> None:
        """Add an answer."""
        self.usage.add(row)
        self.uncounted += is_billed(row) and not is_counted(row)


class AnswerFiles:
    """Finds the line of each answer in output and error files; the lines stay on disk.

    If an id has several lines, its first line with a usable answer counts; if it has none, one with text, then any
    answer, then an output line before an error line, and a line that can be read before one that cannot.

    `not_asked` are ids that were left when all known requests had taken theirs.
    `passed_over` has the tokens of answers that do not count, because another batch, or another chat call, has answered
    the row too, by the place of their batch among the files.

    :param outputs: Local output files, None for one that does not exist; those that count first come first.
    :param errors: The error files of the same batches.
    :param lines: How many lines all of them may have.
    :param absent: The place of the batch that a row without a line is of; the files before it are of chat calls.
    """

    def __init__(
        self, outputs: Sequence[Path | None], errors: Sequence[Path | None], lines: int, absent: int = 0
    ) -> None:
        self.lines = {"output": 0, "error": 0}
        self.duplicates = 0
        self.unreadable = 0
        self.found = 0
        self.passed_over: dict[int, PassedOver] = {}
        self.taken = 0
        self.not_asked = 0
        self.batch_error: Row | None = None
        self.absent = self.taken_from = absent
        self._batches: list[int] = []
        self._looked_at: Row | None = None
        self.line_taken = b""
        self._files: list[BinaryIO] = []
        self._first_lines: list[int] = []
        self._begins = array("Q")
        self._index = LineIndex(lines, self._is_at)
        broken = array("Q")
        for kind, paths in (("output", outputs), ("error", errors)):
            for batch, path in enumerate(paths):
                if path is not None:
                    self._batches.append(batch)
                    self.lines[kind] += self._add(path, broken)
        for number in broken:
            self._add_broken(number)

    def _add(self, path: Path, broken: "array[int]") -> int:
        """Index a file, whose lines are numbered on from those of the file before it; return how many are not blank."""
        begins, index = self._begins, self._index
        self._files.append(path.open("rb", buffering=0))
        self._first_lines.append(len(begins))
        lines = 0
        for offset, line in lines_at(path, MAX_LINE_BYTES):
            number = len(begins)
            begins.append(offset)
            if not line or line.isspace():
                continue
            lines += 1
            custom_id = id_of(line if offset else line.removeprefix(BOM_UTF8))
            if custom_id is None:
                broken.append(number)
            elif index.add(custom_id, number):
                self.found += 1
            else:
                self._add_duplicate(custom_id, number, line)
        begins.append(path.stat().st_size)
        return lines

    def _add_duplicate(self, custom_id: str, number: int, line: bytes) -> None:
        """Keep the line that counts of two of one id; the other one is paid too, but for one that a batch repeats."""
        self.duplicates += 1
        kept, other = self._looked_at, read_row(line)
        if kept is None:
            return
        of_kept, of_other = self.taken_from, self._batches[self._file_of(number)]
        is_paid = of_kept != of_other or of_other < self.absent
        if _worth(other) > _worth(kept):
            self._index.move(custom_id, number)
            other, of_other = kept, of_kept
        if is_paid:
            self.passed_over.setdefault(of_other, PassedOver()).add(other)

    def pass_over(self, row: Row) -> None:
        """Count the tokens of the row that was taken last, whose answer does not count."""
        self.passed_over.setdefault(self.taken_from, PassedOver()).add(row)

    def _add_broken(self, number: int) -> None:
        """Index a line that cannot be read, if it names a request that no other line answers."""
        line = self._line(number, self._file_of(number))
        custom_id = name_of_unreadable(line)
        if custom_id is not None and self._index.add(custom_id, number):
            self.found += 1
            return
        error = batch_error(line)
        self.batch_error = self.batch_error or error
        self.unreadable += error is None

    def take(self, custom_id: str) -> Row | None:
        """Return the row of an id, once; None if there is no line for it.

        `taken_from` is then the place of its batch among the files, and `line_taken` its line.
        """
        if not self._index.take(custom_id):
            self.taken_from = self.absent
            return None
        self.taken += 1
        return self._looked_at

    @property
    def left(self) -> int:
        """How many ids were not taken."""
        return self.found - self.taken

    def left_rows(self) -> Iterator[Row]:
        """The rows whose ids were not taken, in file order."""
        for number in self._index.left() if self.left else ():
            yield read_row(self._line(number, self._file_of(number)))

    def _is_at(self, number: int, custom_id: str) -> bool:
        """Whether a line is that of an id; its row, and its batch, are kept for the caller."""
        file = self._file_of(number)
        self.line_taken = self._line(number, file)
        self._looked_at = row = read_row(self.line_taken)
        self.taken_from = self._batches[file]
        return row.custom_id == custom_id

    def _file_of(self, number: int) -> int:
        return bisect_right(self._first_lines, number) - 1

    def _line(self, number: int, file: int) -> bytes:
        begin, descriptor = self._begins[number], self._files[file].fileno()
        size = min(self._begins[number + 1] - begin, MAX_LINE_BYTES)
        line = os.pread(descriptor, size, begin)
        while len(line) < size and (more := os.pread(descriptor, size - len(line), begin + len(line))):
            line += more
        return line if begin else line.removeprefix(BOM_UTF8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()


def _worth(row: Row) -> int:
    """Which of two lines of one row says more: a whole answer, one with text, any, or none."""
    if row.status == "succeeded":
        return 3
    return 2 if row.content and not row.content.isspace() else row.status in ("invalid", "truncated", "filtered")
