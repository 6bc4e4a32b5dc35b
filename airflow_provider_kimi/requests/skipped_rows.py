"""Rows that are left out of an input: why, and their records on this machine's disk."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from weakref import finalize

import msgspec

from airflow_provider_kimi.records.shard_names import Part
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.requests.keys import name_of_place
from airflow_provider_kimi.requests.problems import NeverSent, Problems, RowProblem
from airflow_provider_kimi.requests.splitting import place_of


class SkippedRows:
    """Collects rows that are left out, in any order.

    :param place: Names a row by its number.
    """

    def __init__(self, folder: Path, place: Callable[[int], str]) -> None:
        self.problems = Problems()
        self.never_sent = Problems()
        self.numbers = array("q")
        self._place = place
        self._offsets = array("q")
        self._size = 0
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - gone with this object
        finalize(self, self._file.close)

    def add(self, number: int, problem: RowProblem) -> None:
        """Keep one, by its place among all rows of the input, from 1."""
        place = self._place(number)
        (self.never_sent if isinstance(problem, NeverSent) else self.problems).note(place, problem)
        name = problem.custom_id or name_of_place(number)
        row = SkippedRow(custom_id=name, place=place, number=number, reason=problem.detail)
        self.numbers.append(number)
        self._offsets.append(self._size)
        self._size += self._file.write(msgspec.json.encode(row) + b"\n")

    def describe(self) -> list[str]:
        """Describe the problems of the input, and the rows that an earlier job left out, if there are any."""
        return [problems.describe() for problems in (self.problems, self.never_sent) if problems.count]

    def write(self, path: Path, shards: Sequence[range], saved: Sequence[int] = ()) -> None:
        """Write them in the order of the input; see `placed`."""
        with path.open("wb") as target:
            for row in self.placed(shards, saved):
                target.write(msgspec.json.encode(row) + b"\n")

    def placed(self, shards: Sequence[range], saved: Sequence[int] = ()) -> Iterator[SkippedRow]:
        """Yield them in the order of the input, each with its place among the requests that are sent.

        :param shards: The rows of each shard, among those that are sent.
        :param saved: The numbers of the rows that are not sent because their answers are there, in order.
        """
        order = sorted(range(len(self.numbers)), key=self.numbers.__getitem__)
        for before, index in enumerate(order):
            self._file.seek(self._offsets[index])
            row = msgspec.json.decode(self._file.readline(), type=SkippedRow)
            shard, position = place_of(shards, row.number - 1 - before - bisect_left(saved, row.number))
            yield msgspec.structs.replace(row, shard=shard, position=position)


def read_skipped(path: Path | None, shard: int, part: Part | None = None) -> Iterator[SkippedRow]:
    """Yield the rows that one shard left out, in order.

    :param path: What `SkippedRows.write` wrote; None if nothing was left out.
    :param part: Which rows of the shard are wanted; None for all. What was left out between two parts is of the latter.
    """
    if path is None:
        return
    with path.open("rb") as source:
        for line in source:
            row = msgspec.json.decode(line, type=SkippedRow)
            if row.shard != shard:
                continue
            if part is None:
                yield row
            elif part.start <= row.position and (row.position < part.stop or part.stop == part.total):
                yield msgspec.structs.replace(row, position=row.position - part.start)
