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
from airflow_provider_kimi.results.columns import as_json, encoded, not_finite
from airflow_provider_kimi.results.passed_columns import PassedColumns


class _InputRow(msgspec.Struct, omit_defaults=True):
    """One row.

    :param custom_id: Its name.
    :param columns: JSON of its columns; null if it is not a row of a table.
    :param gold: Its cell of the gold column, which need not be among these; None if it has none.
    """

    custom_id: str
    columns: msgspec.Raw
    gold: Any = None


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
                columns, gold = asking.columns(value), None
                if columns is not None:
                    gold = passed.gold(columns)
                    columns = passed.of(columns, is_note=columns is not value)
                kept = _InputRow(custom_id, msgspec.Raw(b"null" if columns is None else self._encoded(columns)))
                if gold is not None:
                    kept.gold = msgspec.Raw(as_json(gold))
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

    def at(self, place: int) -> tuple[str, bytes, Any]:
        """The name of a row, JSON of its columns, which is empty if it is not a row of a table, and its gold cell."""
        begin, end = self._begins[place], self._begins[place + 1]
        row = _read(os.pread(self._file.fileno(), end - begin, begin))
        return row.custom_id, b"" if (columns := bytes(row.columns)) == b"null" else columns, row.gold

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
