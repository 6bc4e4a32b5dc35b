"""What `input` may be, read as a stream: files, a Python list, or a function that makes rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

import msgspec

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.requests.tables import InputRow, read_ready, read_table

#: A list travels through Airflow's database and its UI; what is larger belongs in a file.
MAX_INLINE_BYTES = 1_000_000


class Input:
    """The rows of an input, in order. Iterating again restarts, if the source allows it.

    :param source: A URI, a list, or a function that returns or yields rows.
    :param ready: Whether a URI means files of request lines, which are sent byte for byte, rather than tables.
    :param reading: How the text of files is read.
    """

    def __init__(self, source: object, *, ready: bool = False, reading: Reading = PLAIN) -> None:
        self.ready = ready
        self._reading = reading
        self._source = source
        self._files: list[tuple[int, str, str]] = []

    def __str__(self) -> str:
        """Name it in a message, without its content."""
        if isinstance(self._source, str):
            return f"Input {self._source[:200]!r}"
        return f"The {type(self._source).__name__} given as input"

    def __iter__(self) -> Iterator[InputRow]:
        """Read the rows, or refuse the input."""
        source: Any = self._source
        if isinstance(source, str):
            return self._read_files(source)
        if callable(source):
            source = _called(source)
        if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray | str):
            return map(InputRow, _small(source) if source is self._source else source)
        if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes | bytearray | str):
            return map(InputRow, source)
        given = "a function that returned a" if callable(self._source) else "a"
        raise KimiInputError(
            f"input is {given} {type(source).__name__}. Nothing was sent. Give a URI of .jsonl, .csv or .parquet "
            "files, a list of prompts, chats, row dicts or requests, or a function that returns or yields them."
        )

    def place(self, number: int) -> str:
        """Name the row of a number, from 1, for a message: by its place in its file, or in the list."""
        for first, unit, uri in reversed(self._files):
            if number >= first:
                return f"{unit} {number - first + 1}" + (f" of {uri}" if len(self._files) > 1 else "")
        return f"element {number}"

    def _read_files(self, uri: str) -> Iterator[InputRow]:
        self._files.clear()
        number = 0
        for file in find_files(uri, self._reading):
            if self.ready and file.kind != "jsonl":
                raise KimiInputError(
                    f"Input {file.uri[:200]!r} is a table. Nothing was sent. Pass prompt='... {{column}} ...', "
                    "messages or body, to say what to ask about its rows."
                )
            self._files.append((number + 1, "line" if file.kind == "jsonl" else "row", file.uri))
            for row in read_ready(file) if self.ready else read_table(file):
                number += 1
                yield row


def _called(function: Callable[..., Any]) -> Any:
    """Call a function without arguments, and refuse one that needs some. What it raises itself is left alone."""
    try:
        signature(function).bind()
    except TypeError:
        raise KimiInputError(
            "input is a function that needs arguments; it is called without any. Nothing was sent. Give what it needs "
            "beforehand: functools.partial(rows, ...)."
        ) from None
    except ValueError:  # a builtin may not say
        pass
    return function()


def _small(rows: Sequence[Any]) -> Iterator[Any]:
    """Refuse a list that is too large to travel as an argument of a task."""
    size = 0
    for row in rows:
        with suppress(
            TypeError, ValueError, RecursionError, msgspec.MsgspecError
        ):  # refused later, as this row's problem
            size += len(row) if isinstance(row, str) else len(msgspec.json.encode(row))
        if size > MAX_INLINE_BYTES:
            raise KimiInputError(
                f"input is a list of {len(rows):,} elements and over {MAX_INLINE_BYTES:,} bytes. Nothing was sent. "
                "A list is stored with every run in Airflow's database: write the rows to a file (.jsonl or .parquet) "
                "and give its URI, or give a function that yields them."
            )
        yield row
