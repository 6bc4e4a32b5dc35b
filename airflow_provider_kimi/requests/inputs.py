"""What `input` may be, read as a stream: files, a Python list, or a function that makes rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

import msgspec

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.requests.tables import Item, read_ready, read_table

#: A list travels through Airflow's database and its UI; beyond this it belongs into a file.
MAX_INLINE_BYTES = 1_000_000


class Input:
    """The elements of an input, in order. Iterating again starts again, where the source allows it.

    :param source: A URI, a list, or a function that returns or yields elements.
    :param ready: Whether a URI means files of request lines, which are passed on byte for byte, rather than tables.
    """

    def __init__(self, source: object, *, ready: bool = False) -> None:
        self._source = source
        self.ready = ready
        self._files: list[tuple[int, str, str]] = []

    def __str__(self) -> str:
        """Name it in a message, without its content."""
        if isinstance(self._source, str):
            return f"Input {self._source[:200]!r}"
        return f"The {type(self._source).__name__} given as input"

    def __iter__(self) -> Iterator[Item]:
        """Read the elements.

        :raises KimiInputError: It cannot be read, or is of another kind.
        """
        source: Any = self._source
        if isinstance(source, str):
            return self._read_files(source)
        if callable(source):
            source = _called(source)
        if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray | str):
            return map(Item, _small(source) if source is self._source else source)
        if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes | bytearray | str):
            return map(Item, source)
        given = "a function that returned a" if callable(self._source) else "a"
        raise KimiInputError(
            f"input is {given} {type(source).__name__}. Nothing was sent. Give a URI of .jsonl, .csv or .parquet "
            "files, a list of prompts, chats, row dicts or requests, or a function that returns or yields them."
        )

    def place(self, number: int) -> str:
        """Name an element for a message; only those that were read have a name in their file.

        :param number: Its place among all elements, from 1.
        """
        for first, unit, uri in reversed(self._files):
            if number >= first:
                return f"{unit} {number - first + 1}" + (f" of {uri}" if len(self._files) > 1 else "")
        return f"element {number}"

    def _read_files(self, uri: str) -> Iterator[Item]:
        self._files.clear()
        number = 0
        for file in find_files(uri):
            if self.ready and file.kind != "jsonl":
                raise KimiInputError(
                    f"Input {file.uri[:200]!r} is a table. Nothing was sent. Pass prompt='... {{column}} ...', "
                    "messages or body, to say what to ask about its rows."
                )
            self._files.append((number + 1, "line" if file.kind == "jsonl" else "row", file.uri))
            for item in read_ready(file) if self.ready else read_table(file):
                number += 1
                yield item


def _called(function: Callable[..., Any]) -> Any:
    """Call it without arguments; only that it wants some is told here, what it raises itself is its author's."""
    try:
        signature(function).bind()
    except TypeError:
        raise KimiInputError(
            "input is a function that wants arguments; it is called without any. Nothing was sent. Give what it needs "
            "beforehand: functools.partial(rows, ...)."
        ) from None
    except ValueError:  # a builtin may not tell
        pass
    return function()


def _small(source: Sequence[Any]) -> Iterator[Any]:
    """Refuse a list that is too large to travel as an argument of a task."""
    size = 0
    for element in source:
        with suppress(TypeError, ValueError, RecursionError, msgspec.MsgspecError):  # told as this element's fault
            size += len(element) if isinstance(element, str) else len(msgspec.json.encode(element))
        if size > MAX_INLINE_BYTES:
            raise KimiInputError(
                f"input is a list of {len(source):,} elements and over {MAX_INLINE_BYTES:,} bytes. Nothing was sent. "
                "A list is stored with every run in Airflow's database: write the rows to a file (.jsonl or .parquet) "
                "and give its URI, or give a function that yields them."
            )
        yield element
