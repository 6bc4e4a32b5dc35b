"""Results as CSV or Parquet, made from their lines in two passes, so that memory does not grow with their number."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import lines_at

#: Format of the results file.
OutputFormat = Literal["jsonl", "csv", "parquet"]

#: Limits of a row group, which is in memory as a whole: rows, and bytes of their lines.
ROWS_AT_ONCE = 5_000
BYTES_AT_ONCE = 4 << 20

#: What makes a spreadsheet read a cell as a formula, and what it reads as a number all the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")

#: Columns of a results row whose type does not depend on their values.
_COUNTS = frozenset({"prompt_tokens", "cached_tokens", "completion_tokens", "round"})
_TEXTS = frozenset({"custom_id", "status", "content", "reasoning", "finish_reason", "error_code", "error_message"})

_INT64 = range(-(2**63), 2**63)

#: Whole numbers that a floating point column holds exactly.
_EXACT = range(-(2**53), 2**53 + 1)


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


def convert(lines: Path, target: Path, wanted: OutputFormat, fields: Sequence[str]) -> None:
    """Write results in another format.

    Every row has every column. In Parquet, a column of one type (text, whole number, number, boolean) keeps it; the
    values of any other column are written as JSON.

    :param fields: The fields that each row has; the table's own columns come after the first one.
    """
    kinds = _kinds(lines)
    first, *rest = fields
    columns = [first, *(name for name in kinds if name not in fields), *rest]
    if wanted == "csv":
        _write_csv(lines, target, columns)
    else:
        _write_parquet(lines, target, {name: _type_of(name, kinds.get(name, set())) for name in columns})


def _rows(lines: Path) -> Iterator[dict[str, Any]]:
    for _, line in lines_at(lines):
        yield json.loads(line)


def _kinds(lines: Path) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for row in _rows(lines):
        for name, value in row.items():
            kinds.setdefault(name, set()).add(_kind_of(value))
    return kinds


def _kind_of(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value not in _EXACT:
        return "long" if value in _INT64 else "big"
    return type(value).__name__


def _type_of(name: str, kinds: set[str]) -> str:
    held = kinds - {"NoneType"}
    if name in _COUNTS:
        return "int64"
    if name in _TEXTS or not held:
        return "string"
    if held <= {"int", "long"}:
        return "int64"
    if held <= {"int", "float"}:
        return "float64"
    return "bool" if held == {"bool"} else "string"


def _write_csv(lines: Path, target: Path, columns: Sequence[str]) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(map(_cell, columns))
        for row in _rows(lines):
            writer.writerow([_cell(row.get(name)) for name in columns])


def _cell(value: Any) -> str:
    """Write a value so that no spreadsheet reads it as a formula."""
    if value is None:
        return ""
    text = _text(value)
    if isinstance(value, str) and text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _groups(lines: Path) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups that take little memory, however long the rows are."""
    group: list[dict[str, Any]] = []
    size = 0
    for _, line in lines_at(lines):
        group.append(json.loads(line))
        size += len(line)
        if len(group) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write_parquet(lines: Path, target: Path, types: dict[str, str]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(alias)) for name, alias in types.items()])
    texts = {name for name, alias in types.items() if alias == "string"}
    with parquet.ParquetWriter(target, schema) as writer:
        for group in _groups(lines):
            for row in group:
                row.update((name, _text(row[name])) for name in texts & row.keys() if row[name] is not None)
            writer.write_table(pyarrow.Table.from_pylist(group, schema))
