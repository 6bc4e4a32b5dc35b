"""The rows of a results file of any format, as cells by name, so that they can be copied as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import msgspec

from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.files.lines import lines_at, new_file
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.results import csv_file
from airflow_provider_kimi.results.columns import as_json
from airflow_provider_kimi.results.formats import Form, Formed, parquet_of_lines
from airflow_provider_kimi.results.report_facts import ReportRow
from airflow_provider_kimi.results.result_columns import ResultColumns, own_types

#: A row: its cells by name, as its format holds them.
Cells = Mapping[str, Any]

#: The first of our own columns behind those of the input.
_FIRST_OWN = "status"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ResultRows(Protocol):
    """The rows of one file.

    :param of_input: Its columns of the input.
    :param own: Its columns behind these.
    """

    of_input: Sequence[str]
    own: Sequence[str]

    def __iter__(self) -> Iterator[Cells]:
        """Every row."""

    def value(self, cell: Any) -> Any:
        """What a cell says."""

    def cell(self, value: Any) -> Any:
        """A cell that says a value."""

    def made(self, line: bytes, columns: ResultColumns) -> Cells:
        """The cells of a row that comes as a line of results."""

    def other_type(self, form: Form, fields: Sequence[str], columns: ResultColumns) -> str:
        """Name a column of ours whose type is another one than the form has; empty if there is none."""

    def write(self, rows: Iterable[Cells], target: Path) -> Formed:
        """Write rows, most of which are those of this file, into one of the same format.

        `guarded` is then how many guarded cells it has more.
        """


def rows_of(path: Path, form: Form) -> ResultRows:
    """Open a results file, which is of this format."""
    if form.output_format == "csv":
        return _CsvRows(path, form.csv)
    return _ParquetRows(path) if form.output_format == "parquet" else _JsonRows(path)


def report_rows(path: Path, form: Form) -> Iterator[ReportRow]:
    """Read a results file row by row, in values."""
    rows = rows_of(path, form)
    for cells in rows:
        own, of_input = (
            {name: rows.value(cells[name]) for name in names if name in cells} for names in (rows.own, rows.of_input)
        )
        yield ReportRow(str(rows.value(cells["custom_id"])), of_input, own)


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns of the input among all, and our own behind them."""
    at = names.index(_FIRST_OWN) if _FIRST_OWN in names else len(names)
    return [*names[1:at]], [*names[at:]]


class _JsonRows:
    def __init__(self, path: Path) -> None:
        self._path = path
        of_input, own = self._names()
        self.of_input: Sequence[str] = of_input
        self.own: Sequence[str] = own

    def _names(self) -> tuple[list[str], list[str]]:
        """The columns of all rows, which may have different ones of the input."""
        of_input: dict[str, None] = {}
        own: dict[str, None] = {}
        last: Sequence[str] = ()
        for cells in self:
            if last != (names := [*cells]):
                before, behind = _split(names)
                of_input |= dict.fromkeys(before)
                own |= dict.fromkeys(behind)
                last = names
        return [*of_input], [*own]

    def __iter__(self) -> Iterator[Cells]:
        for _, line in lines_at(self._path):
            yield _parts(line)

    def value(self, cell: msgspec.Raw) -> Any:
        return _decode(cell)

    def cell(self, value: Any) -> msgspec.Raw:
        return msgspec.Raw(_encode(value))

    def made(self, line: bytes, columns: ResultColumns) -> Cells:
        return _parts(columns.spread_line(line) if columns.spread_to else line)

    def other_type(self, form: Form, fields: Sequence[str], columns: ResultColumns) -> str:
        return ""

    def write(self, rows: Iterable[Cells], target: Path) -> Formed:
        with new_file(target) as file:
            for row in rows:
                file.write(_encode(row) + b"\n")
        return Formed(target)


class _ParquetRows(_JsonRows):
    def _names(self) -> tuple[list[str], list[str]]:
        from pyarrow import parquet

        schema = parquet.read_schema(self._path)
        self._types = {name: schema.field(name).type for name in schema.names}
        return _split(schema.names)

    def __iter__(self) -> Iterator[Cells]:
        for item in Input(str(self._path)):
            yield _parts(as_json(item.value))

    def other_type(self, form: Form, fields: Sequence[str], columns: ResultColumns) -> str:
        wanted = own_types(fields, form.parsed, columns.spread_to)
        return next((name for name in self.own if wanted[name] != self._types[name]), "")

    def write(self, rows: Iterable[Cells], target: Path) -> Formed:
        lines = target.with_suffix(".part")
        super().write(rows, lines)
        return Formed(target, unfit=parquet_of_lines(lines, target, self._types))


class _CsvRows:
    def __init__(self, path: Path, options: CsvOptions) -> None:
        self._path = path
        self._options = options
        self._cells = csv_file.Cells(options)
        self._guarded = 0
        delimiter = re.escape(options.delimiter)
        self._find = re.compile(f'(?:^|{delimiter})("[^"]*(?:""[^"]*)*"|[^{delimiter}"]*)').findall
        self._names = [str(self.value(cell)) for cell in next(self._records(), [])]
        of_input, own = _split(self._names)
        self.of_input: Sequence[str] = of_input
        self.own: Sequence[str] = own

    def __iter__(self) -> Iterator[Cells]:
        records = self._records()
        next(records, None)
        for cells in records:
            row = dict(zip(self._names, cells, strict=True))
            self._guarded -= self._guarded_in(row)
            yield row

    def _records(self) -> Iterator[list[str]]:
        """The cells of each record, as they are written."""
        begun: list[str] = []
        is_open = False
        with self._path.open(encoding="utf-8-sig", newline="") as lines:
            for line in lines:
                begun.append(line)
                is_open ^= line.count('"') % 2 == 1
                if not is_open:
                    record = "".join(begun).removesuffix("\r\n")
                    begun = []
                    yield self._find(record) if '"' in record else record.split(self._options.delimiter)

    def value(self, cell: str) -> str | None:
        return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell or None

    def cell(self, value: Any) -> str:
        return self._cells.cell(value)

    def made(self, line: bytes, columns: ResultColumns) -> Cells:
        row = columns.spread(_decode(line))
        return {name: self._cells.guarded_cell(value) for name, value in row.items()}

    def other_type(self, form: Form, fields: Sequence[str], columns: ResultColumns) -> str:
        return ""

    def write(self, rows: Iterable[Cells], target: Path) -> Formed:
        names = self._names
        header = dict(zip(names, map(self._cells.cell, names), strict=True))
        self._guarded = 0
        with target.open("w", encoding=csv_file.ENCODING[self._options.bom], newline="") as file:
            for row in chain([header], rows):
                file.write(self._options.delimiter.join(row.get(name, "") for name in names) + "\r\n")
                self._guarded += self._guarded_in(row)
        return Formed(target, self._guarded if self._options.formula_guard else None)

    def _guarded_in(self, row: Cells) -> int:
        """How many of our own cells are guarded; those of the input stay as they are."""
        return sum(csv_file.is_guarded(row.get(name, "")) for name in self.own)
