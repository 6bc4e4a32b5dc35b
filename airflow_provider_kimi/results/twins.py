"""The outcomes of rows that later rows of the same input repeat; they lie on disk."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from tempfile import TemporaryFile
from typing import Self

import msgspec

from airflow_provider_kimi.records.rows import Row

#: Values of the fields that all rows of a batch share.
OfBatch = tuple[str | None, int | None, str | None]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a row, before its answer is checked.

    :param before: Where the outcome is that was kept before it under the same number, plus one; 0 for none.
    """

    before: int
    of_batch: OfBatch
    row: Row


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Outcome).decode


class Twins:
    """Keeps outcomes while it is entered, and finds them by the name of the row.

    :param wanted: Numbers of the names whose outcomes are asked for, in order, each once.
    """

    def __init__(self, wanted: array[int]) -> None:
        self._wanted = wanted
        self._last = array("Q", bytes(8 * len(wanted)))
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - gone with this object
        self._size = 0

    def keep(self, row: Row, of_batch: OfBatch) -> None:
        """Keep the outcome of a row, if it is asked for.

        :param of_batch: Of the batch that its answer is from.
        """
        if (at := self._at(row.custom_id)) is None:
            return
        content = _encode(Outcome(self._last[at], of_batch, row))
        self._last[at] = self._size + 1
        self._size += self._file.write(len(content).to_bytes(8, "big") + content)

    def find(self, custom_id: str) -> Outcome | None:
        """Return the outcome of a row; None if it was not kept."""
        at = self._at(custom_id)
        place = 0 if at is None else self._last[at]
        while place:
            outcome = self._read(place - 1)
            if outcome.row.custom_id == custom_id:
                return outcome
            place = outcome.before
        return None

    def _at(self, custom_id: str) -> int | None:
        number = hash(custom_id)
        at = bisect_left(self._wanted, number)
        return at if at < len(self._wanted) and self._wanted[at] == number else None

    def _read(self, offset: int) -> Outcome:
        file = self._file.fileno()
        size = int.from_bytes(os.pread(file, 8, offset), "big")
        return _decode(os.pread(file, size, offset + 8))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
