"""The rows of one table file, as a stream."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.files.lines import lines_of, read_blocks, without_last_blanks
from airflow_provider_kimi.requests.parquet_values import rows_of
from airflow_provider_kimi.requests.sources import SourceFile
from airflow_provider_kimi.requests.validation import is_sound, unreadable, unreadable_text

#: Decoded bytes of a Parquet file that are held at once, if its row groups allow it.
_PARQUET_BYTES = 4 << 20
_MAX_PARQUET_ROWS = 100  # only encoded sizes are known; repeated text takes more when it is decoded

_decode = msgspec.json.Decoder().decode


class InputRow(NamedTuple):
    """One row of the input.

    :param value: A prompt, a chat, a table row, a request, or the raw line of a Kimi-ready file.
    :param problem: Why it cannot be used; None if it can.
    """

    value: Any
    problem: str | None = None


def read_ready(file: SourceFile) -> Iterator[InputRow]:
    """The lines of a Kimi-ready file, byte for byte."""
    with file.opened() as source:
        for block in without_last_blanks(read_blocks(source, MAX_FILE_BYTES)):
            sound = is_sound(block) and len(block) <= MAX_FILE_BYTES
            for line in lines_of(block):
                yield InputRow(line, None if sound else _too_long(line) or unreadable_text(line))


def read_table(file: SourceFile) -> Iterator[InputRow]:
    """Read the rows of a table."""
    return {"jsonl": _read_jsonl, "csv": _read_csv, "parquet": _read_parquet}[file.kind](file)


def _too_long(line: bytes) -> str | None:
    return f"is over {MAX_FILE_BYTES:,} bytes long, as much as a whole batch" if len(line) > MAX_FILE_BYTES else None


def _read_jsonl(file: SourceFile) -> Iterator[InputRow]:
    with file.opened() as source:
        for block in without_last_blanks(read_blocks(source, MAX_FILE_BYTES)):
            yield from map(_row_of, lines_of(block))


def _row_of(line: bytes) -> InputRow:
    try:
        row = _decode(line)
    except UNREADABLE:
        return InputRow(line, _too_long(line) or unreadable(line))
    return InputRow(row) if isinstance(row, dict) else InputRow(line, "is JSON, but not an object of columns")


def _read_csv(file: SourceFile) -> Iterator[InputRow]:
    csv.field_size_limit(MAX_FILE_BYTES)  # the csv module's own limit is 128 KiB
    with file.opened() as source, io.TextIOWrapper(source, encoding="utf-8-sig", newline="") as text:
        table = csv.reader(text, strict=True)
        try:
            names = next(table, [])
            _check_names(file, names)
            for cells in table:
                if cells:  # an empty line is not a row, as in csv.DictReader
                    yield _csv_row(names, cells, table.line_num)
        except UnicodeDecodeError as error:
            raise file.unreadable(
                f"is not UTF-8{f' after line {table.line_num}' if table.line_num else ''} ({error.reason})",
                "Save the file as UTF-8; text of Excel in China is often GBK.",
            ) from None
        except csv.Error as error:
            raise file.unreadable(f"is not valid CSV at line {table.line_num} ({error})", "Correct the file.") from None


def _check_names(file: SourceFile, names: Sequence[str]) -> None:
    if repeated := next((name for name in names if list(names).count(name) > 1), None):
        raise file.unreadable(f"names the column {repeated!r} twice", "Rename one of them.")


def _csv_row(names: list[str], cells: list[str], line: int) -> InputRow:
    if len(cells) == len(names):
        return InputRow(dict(zip(names, cells, strict=True)))
    kind = "more" if len(cells) > len(names) else "fewer"
    return InputRow(cells, f"has {kind} cells than the header has columns (it ends in line {line} of the file)")


def _read_parquet(file: SourceFile) -> Iterator[InputRow]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise file.unreadable(
            "is a Parquet file, and pyarrow is not installed here",
            "On the workers: pip install 'airflow-provider-kimi[parquet]'.",
        ) from None
    with file.opened() as source:
        try:
            with parquet.ParquetFile(source, pre_buffer=False) as table:
                _check_names(file, table.schema_arrow.names)
                for rows in table.iter_batches(batch_size=_rows_at_once(table.metadata)):
                    yield from map(InputRow, _values(file, rows))
        except (pyarrow.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # pyarrow's own errors have no number
                raise
            problem = f"is not a whole Parquet file ({str(error)[:200]})"
            raise file.unreadable(problem, "Write the file again.") from None


def _values(file: SourceFile, rows: Any) -> list[dict[str, Any]]:
    try:
        return rows_of(rows)
    except (ValueError, OverflowError, NotImplementedError) as error:
        problem = f"has a value that Python cannot hold ({str(error)[:200]})"
        raise file.unreadable(problem, "Cast its column, for example to text.") from None


def _rows_at_once(metadata: Any) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return int(min(max(_PARQUET_BYTES // max(row_bytes, 1), 1), _MAX_PARQUET_ROWS))
