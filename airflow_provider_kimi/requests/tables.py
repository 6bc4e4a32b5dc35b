"""The rows of one table file, as a stream."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.files.lines import CHUNK_BYTES, lines_of, read_blocks, without_last_blanks
from airflow_provider_kimi.requests.json_objects import objects_of
from airflow_provider_kimi.requests.parquet_values import rows_of
from airflow_provider_kimi.requests.partitions import conflict
from airflow_provider_kimi.requests.sources import SourceFile
from airflow_provider_kimi.requests.text_forms import (
    likely_delimiter,
    likely_encoding,
    line_around,
    named_delimiter,
    wide_encoding,
)
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


def blocks_of(file: SourceFile) -> Iterator[bytes]:
    """The lines of a file, many at once."""
    with file.opened() as source:
        yield from without_last_blanks(_of_utf8(file, read_blocks(source, MAX_FILE_BYTES)))


def ready_rows(block: bytes) -> Iterator[InputRow]:
    """The lines of a block of requests, byte for byte."""
    sound = is_sound(block) and len(block) <= MAX_FILE_BYTES
    for line in lines_of(block):
        yield InputRow(line, None if sound else _too_long(line) or unreadable_text(line))


def read_table(file: SourceFile) -> Iterator[InputRow]:
    """Read the rows of a table, with the columns that its directories hold."""
    readers = {"jsonl": _read_jsonl, "json": _read_json, "csv": _read_csv, "tsv": _read_csv, "parquet": _read_parquet}
    rows = readers[file.kind](file)
    return _with_partitions(rows, file.partitions) if file.partitions else rows


def _with_partitions(rows: Iterator[InputRow], partitions: Mapping[str, str | None]) -> Iterator[InputRow]:
    for row in rows:
        if row.problem is not None:
            yield row
        elif (column := conflict(row.value, partitions)) is not None:
            yield InputRow(row.value, f"has another value in column {column!r} than the name of its directory")
        else:
            yield InputRow({**row.value, **partitions, **row.value})  # partitions last, the row's own value of both


def _of_utf8(file: SourceFile, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Refuse a text of UTF-16 or UTF-32, which has no lines as bytes."""
    for chunk in islice(chunks, 1):
        if wide := wide_encoding(chunk[:4]):
            raise _of_encoding(file, wide)
        yield chunk
    yield from chunks


def _too_long(line: bytes) -> str | None:
    return f"is over {MAX_FILE_BYTES:,} bytes long, as much as a whole batch" if len(line) > MAX_FILE_BYTES else None


def _read_jsonl(file: SourceFile) -> Iterator[InputRow]:
    for block in blocks_of(file):
        yield from rows_of_lines(lines_of(block))


def rows_of_lines(lines: Iterable[bytes]) -> Iterator[InputRow]:
    """Read each line of a JSONL table."""
    return map(_row_of, lines)


def _read_json(file: SourceFile) -> Iterator[InputRow]:
    with file.opened() as source:
        chunks = iter(lambda: source.read(CHUNK_BYTES), b"")
        try:
            yield from map(_row_of, objects_of(_of_utf8(file, chunks), MAX_FILE_BYTES))
        except ValueError as error:
            remedy = "Write an array of objects, or one object after another."
            raise file.unreadable(f"{error}", remedy) from None


def _row_of(line: bytes) -> InputRow:
    try:
        row = _decode(line)
    except UNREADABLE:
        return InputRow(line, _too_long(line) or unreadable(line))
    return InputRow(row) if isinstance(row, dict) else InputRow(line, "is JSON, but not an object of columns")


def _read_csv(file: SourceFile) -> Iterator[InputRow]:
    csv.field_size_limit(MAX_FILE_BYTES)  # the csv module's own limit is 128 KiB
    with file.opened() as source, io.TextIOWrapper(source, encoding="utf-8-sig", newline="") as text:
        table = csv.reader(chain(_first_line(file, text), text), strict=True, delimiter=file.delimiter)
        try:
            names = next(table, [])
            if names == ["sep=", ""]:
                names = next(table, [])
            _check_names(file, names)
            for cells in table:
                if cells:  # an empty line is not a row, as in csv.DictReader
                    yield _csv_row(names, cells, table.line_num)
        except UnicodeDecodeError as error:
            raise _not_utf8(file, error, table.line_num) from None
        except csv.Error as error:
            raise file.unreadable(
                f"is not valid {file.kind.upper()} at line {table.line_num} ({error})", "Correct the file."
            ) from None


def _first_line(file: SourceFile, lines: Iterator[str]) -> Iterator[str]:
    for line in islice(lines, 1):
        _check_form(file, line)
        yield line


def _check_form(file: SourceFile, first: str) -> None:
    """Refuse a file whose first line is of another encoding or delimiter than was meant."""
    if wide := wide_encoding(first[:2].encode()):
        raise _of_encoding(file, wide)
    used, line = file.delimiter, first.rstrip("\r\n")
    if (named := named_delimiter(line)) not in (None, used):
        raise file.misread(
            f"says in its first line that {named!r} separates", f"Pass csv_options={{'delimiter': {named!r}}}."
        )
    if file.reading.delimiter is None and not named and (likely := likely_delimiter(line, used)):
        raise file.misread(
            f"has no {used!r} in its header, which looks as if {likely!r} separates",
            f"Pass csv_options={{'delimiter': {likely!r}}}; if there is a single column, {used!r}.",
        )


def _not_utf8(file: SourceFile, error: UnicodeDecodeError, line: int) -> KimiInputError:
    problem = f"is not UTF-8{f' after line {line}' if line else ''} ({error.reason})"
    wide = None if line else wide_encoding(error.object[:4])
    if likely := wide or likely_encoding(line_around(error.object, error.start)):
        return _of_encoding(file, likely, f"{problem}; it ")
    return file.misread(problem, "Pass the encoding that it has, such as encoding='cp1252', or save it as UTF-8.")


def _of_encoding(file: SourceFile, likely: str, problem: str = "") -> KimiInputError:
    return file.misread(
        f"{problem}looks like {likely.upper()}", f"Pass encoding={likely!r}, or save the file as UTF-8."
    )


def _check_names(file: SourceFile, names: Sequence[str]) -> None:
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated:
        raise file.unreadable(f"names the column {repeated!r} twice", "Rename one of them.")
    if repeated is not None:
        raise file.unreadable("has more than one column without a name", "Name them, or delete those that are empty.")


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
