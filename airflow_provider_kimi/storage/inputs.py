"""What `input` may be, read as a stream: a Kimi-ready file, a table, or a Python list."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from airflow_provider_kimi.batch.validation import unreadable
from airflow_provider_kimi.compat import object_storage_path, open_binary
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.storage.lines import read_lines

#: A cell of a CSV table may be as large as a batch file; the default of the csv module is 128 KiB.
MAX_CSV_CELL_CHARS = 100_000_000

#: What a retry cannot heal; any other `OSError` may be a passing fault of the storage, and is left to `retries`.
LASTING_FAULTS = (NotADirectoryError, IsADirectoryError, PermissionError, ValueError, ImportError)


@dataclass(frozen=True)
class Item:
    """One element of the input.

    :param place: Where it stands, for messages: "line 7", "row 7", "element 7".
    :param value: A prompt, a chat, a table row, a request, or the raw line of a Kimi-ready file.
    :param problem: Why there is no value; None where there is one.
    """

    place: str
    value: Any = None
    problem: str | None = None


def describe(source: object) -> str:
    """Name an input in a message, without its content."""
    return f"Input {source[:200]!r}" if isinstance(source, str) else f"The {type(source).__name__} given as input"


def read_items(source: object, *, ready: bool) -> Iterator[Item]:
    """Stream an input's elements.

    :param source: A URI of a `.jsonl` or `.csv` file, or a list.
    :param ready: Whether a `.jsonl` holds requests rather than table rows; they are passed on byte for byte.
    :raises KimiInputError: It cannot be opened, or is of another kind.
    """
    if isinstance(source, str):
        return _read_uri(source, ready)
    if isinstance(source, Sequence) and not isinstance(source, (bytes, bytearray)):
        return (Item(f"element {number}", value) for number, value in enumerate(source, 1))
    raise KimiInputError(
        f"input is a {type(source).__name__}. Nothing was sent. Give a URI of a .jsonl or .csv file, or a list of "
        "prompts, chats, row dicts or requests."
    )


def is_ready_file(source: object, prompt: str | None) -> bool:
    """A `.jsonl` without a prompt holds requests."""
    return isinstance(source, str) and prompt is None and source.endswith(".jsonl")


def _read_uri(uri: str, ready: bool) -> Iterator[Item]:
    if uri.endswith(".jsonl"):
        return _read_ready(uri) if ready else _read_jsonl(uri)
    if uri.endswith(".csv"):
        if ready:
            raise KimiInputError(f"Input {uri[:200]!r} is a table. Nothing was sent. Pass prompt='... {{column}} ...'.")
        return _read_csv(uri)
    raise KimiInputError(
        f"Input {uri[:200]!r} ends in neither .jsonl nor .csv. Nothing was sent. "
        "Convert it to one of them; a single prompt is given as a list."
    )


def _read_ready(uri: str) -> Iterator[Item]:
    with _opened(uri) as source:
        for number, line in enumerate(read_lines(source), 1):
            yield Item(f"line {number}", line)


def _read_jsonl(uri: str) -> Iterator[Item]:
    with _opened(uri) as source:
        for number, line in enumerate(read_lines(source), 1):
            yield _row_of(f"line {number}", line, first=number == 1)


def _row_of(place: str, line: bytes, *, first: bool) -> Item:
    if problem := unreadable(line, first=first):
        return Item(place, problem=problem)
    row = msgspec.json.decode(line)
    if not isinstance(row, dict):
        return Item(place, problem="is JSON, but not an object of columns")
    return Item(place, row)


def _read_csv(uri: str) -> Iterator[Item]:
    csv.field_size_limit(MAX_CSV_CELL_CHARS)
    with _opened(uri) as source, io.TextIOWrapper(source, encoding="utf-8-sig", newline="") as text:
        try:
            table = csv.DictReader(text, strict=True)
            names = table.fieldnames or []
            if repeated := next((name for name in names if list(names).count(name) > 1), None):
                yield Item("the header", problem=f"names the column {repeated!r} twice")
                return
            for number, row in enumerate(table, 1):
                yield _csv_row(f"row {number} (line {table.line_num})", row)
        except UnicodeDecodeError as error:
            yield Item("the table", problem=f"is not UTF-8 ({error.reason}); save the file as UTF-8")
        except csv.Error as error:
            yield Item("the table", problem=f"is not valid CSV ({error})")


def _csv_row(place: str, row: dict[Any, Any]) -> Item:
    if None in row:
        return Item(place, problem="has more cells than the header has columns")
    if None in row.values():
        return Item(place, problem="has fewer cells than the header has columns")
    return Item(place, row)


@contextmanager
def _opened(uri: str) -> Iterator[BinaryIO]:
    try:
        opened = open_binary(object_storage_path(located(uri)), "rb")
    except FileNotFoundError:
        raise _unreadable(uri, "does not exist", "Check the path, and that this worker can reach it.") from None
    except LASTING_FAULTS as error:
        raise _unreadable(
            uri, f"cannot be opened ({type(error).__name__}: {str(error)[:200]})", "Check the path and its access."
        ) from None
    with opened as source:
        yield source


def _unreadable(uri: str, fault: str, remedy: str) -> KimiInputError:
    return KimiInputError(f"Input {uri[:200]!r} {fault}. Nothing was sent. {remedy}")


def located(uri: str) -> str:
    """Write a bare path as a `file://` URI."""
    return uri if "://" in uri else f"file://{Path(uri).absolute()}"
