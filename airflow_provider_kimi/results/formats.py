"""Results in the form that is wanted, made from their lines in two passes, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.files.lines import lines_at, new_file
from airflow_provider_kimi.results.arrow_types import type_of
from airflow_provider_kimi.results.column_kinds import kinds_of, shape_of
from airflow_provider_kimi.results.csv_file import write_csv
from airflow_provider_kimi.results.parquet_file import write_parquet
from airflow_provider_kimi.results.parsed_shape import Fields, Shape
from airflow_provider_kimi.results.result_columns import ResultColumns, own_types

if TYPE_CHECKING:
    from pyarrow import DataType

#: Limits of a row group, which is in memory as a whole: rows, and bytes of their lines.
ROWS_AT_ONCE = 5_000
BYTES_AT_ONCE = 4 << 20

_decode = msgspec.json.Decoder().decode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True)
class Form:
    """The form of the results file.

    :param csv: The form of a CSV file.
    :param parsed: What `parsed` is; None if there is none.
    :param spread: The fields of `parsed` that are columns of their own in its place; None if it is a column itself.
    """

    output_format: OutputFormat = "jsonl"
    csv: CsvOptions = CsvOptions()
    parsed: Shape | None = None
    spread: Fields | None = None


@dataclass(frozen=True)
class Formed:
    """A results file.

    :param guarded: How many cells of a CSV file have an apostrophe before them; None for another format, or without the
        guard.
    :param unfit: How many values of each Parquet column are null because they are none of its type.
    """

    path: Path
    guarded: int | None = None
    unfit: Mapping[str, int] = field(default_factory=dict)


def check_format(wanted: OutputFormat) -> None:
    """Refuse Parquet where pyarrow is not installed."""
    if wanted != "parquet":
        return
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise KimiInputError(
            "output_format is 'parquet', and pyarrow is not installed here. Nothing was landed; the results stay on "
            "the platform. On the workers: pip install 'airflow-provider-kimi[parquet]'."
        ) from None


def convert(
    lines: Path,
    form: Form,
    fields: Sequence[str],
    *,
    keys: Collection[str] = (),
    input_types: Mapping[str, DataType | None] | None = None,
) -> Formed:
    """Write results in another form, beside their lines or in their place.

    Every row has every column. In Parquet, the types of our own columns are fixed; a column of the input has the type
    that `input_types` says, else that of its values: text, whole number, number, boolean, or JSON.

    :param fields: The fields that each row has; the table's own columns come after the first one.
    :param keys: Columns that name rows.
    :param input_types: Types of the input's columns, None for one that is left out; None if the input declares none.
    """
    target = lines.with_suffix(f".{form.output_format}")
    if form.output_format == "parquet":
        return _parquet(lines, target, form, fields, input_types or {})
    if form.output_format == "csv":
        columns = ResultColumns.of(column_names(lines), fields, form.spread)
        rows = map(columns.spread, _rows(lines))
        guarded = write_csv(rows, target, columns.names, {fields[0], *keys}, form.csv)
        return Formed(target, guarded if form.csv.formula_guard else None)
    if form.spread:
        _spread_lines(lines, ResultColumns.of(column_names(lines), fields, form.spread))
    return Formed(target)


def parquet_of_lines(lines: Path, target: Path, types: Mapping[str, DataType]) -> Mapping[str, int]:
    """Write rows whose columns are known; return how many values of each are null because they are none of its type."""
    return write_parquet(_groups(lines, ResultColumns(list(types), {})), target, types)


def _parquet(
    lines: Path, target: Path, form: Form, fields: Sequence[str], input_types: Mapping[str, DataType | None]
) -> Formed:
    kinds = kinds_of(_rows(lines), {*fields, *input_types})
    found = [name for name in {**input_types, **kinds} if input_types.get(name, name) is not None]
    columns = ResultColumns.of(found, fields, form.spread)
    declared = {**input_types, **own_types(fields, form.parsed, columns.spread_to)}
    types = {name: declared.get(name) or type_of(shape_of(kinds[name])) for name in columns.names}
    return Formed(target, unfit=write_parquet(_groups(lines, columns), target, types))


def _rows(lines: Path) -> Iterator[dict[str, Any]]:
    for _, line in lines_at(lines):
        yield _decode(line)


def column_names(lines: Path) -> list[str]:
    """The names of the columns that the lines of rows have, in the order in which they come."""
    names: dict[str, None] = {}
    for _, line in lines_at(lines):
        if not names.keys() >= (parts := _parts(line)).keys():
            names |= dict.fromkeys(parts)
    return list(names)


def _groups(lines: Path, columns: ResultColumns) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups that take little memory, however long the rows are."""
    group: list[dict[str, Any]] = []
    size = 0
    for _, line in lines_at(lines):
        group.append(columns.spread(_decode(line)))
        size += len(line)
        if len(group) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _spread_lines(lines: Path, columns: ResultColumns) -> None:
    spread = lines.with_suffix(".part")
    with new_file(spread) as target:
        for _, line in lines_at(lines):
            target.write(columns.spread_line(line))
    spread.replace(lines)
