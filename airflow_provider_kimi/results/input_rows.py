"""The rows of the input as they are now, read once and kept on this machine's disk. Memory holds numbers of each."""

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.requests.asked import Asking
from airflow_provider_kimi.results.columns import encoded, not_finite
from airflow_provider_kimi.results.passed_columns import PassedColumns


class _InputRow(msgspec.Struct):
    """One row.

    :param custom_id: Its name.
    :param columns: JSON of its columns; null if it is not a row of a table.
    """

    custom_id: str
    columns: msgspec.Raw


_read = msgspec.json.Decoder(_InputRow).decode


class InputRows:
    """Rows by their place from 0.

    :param values: The elements of the input.
    :param path: Where they are kept on this machine.
    :param passed: The columns that are wanted.
    :param names: A number for each name.
    :param asks: What each row asks now.
    :param not_finite: How many numbers of each column JSON cannot hold, so that they are null.
    """

    def __init__(self, values: Iterable[object], asking: Asking, path: Path, passed: PassedColumns) -> None:
        self.names = array("q")
        self.asks = array("q")
        self.not_finite: Counter[str] = Counter()
        self._begins = array("q", [0])
        with new_file(path) as target:
            end = 0
            for number, value in enumerate(values, 1):
                custom_id = asking.name(value, number)
                columns = asking.columns(value)
                if columns is not None:
                    columns = passed.of(columns, is_note=columns is not value)
                kept = _InputRow(custom_id, msgspec.Raw(b"null" if columns is None else self._encoded(columns)))
                self.names.append(hash(custom_id))
                self.asks.append(asking.of_row(value))
                end += target.write(msgspec.json.encode(kept))
                self._begins.append(end)
        self._file = path.open("rb", buffering=0)

    def _encoded(self, columns: Mapping[str, Any]) -> bytes:
        content = encoded(columns)
        if b"null" in content:
            self.not_finite.update({name: count for name, value in columns.items() if (count := not_finite(value))})
        return content

    def __len__(self) -> int:
        return len(self.names)

    def at(self, place: int) -> tuple[str, bytes]:
        """The name of a row, and JSON of its columns; empty if it is not a row of a table."""
        begin, end = self._begins[place], self._begins[place + 1]
        row = _read(os.pread(self._file.fileno(), end - begin, begin))
        return row.custom_id, b"" if (columns := bytes(row.columns)) == b"null" else columns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
