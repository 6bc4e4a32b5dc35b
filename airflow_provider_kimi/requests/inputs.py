"""What `input` may be, read as a stream: files, a Python list, or a function that makes rows."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from itertools import chain
from typing import Any

from airflow_provider_kimi.compat import keyword_arguments
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.requests.chunks import Chunk, chunks_of, chunks_of_file, size_of
from airflow_provider_kimi.requests.frames import is_frame, rows_of_frame
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.requests.tables import InputRow
from airflow_provider_kimi.requests.text_forms import kind_of, unused_option
from airflow_provider_kimi.requests.values import is_row, row_of

#: A list travels through Airflow's database and its UI; what is larger belongs in a file.
MAX_INLINE_BYTES = 1_000_000

#: What to do with a value that has no rows, by the name of its type.
_REMEDIES = {
    "NoneType": "Give a list of rows, or a function that returns its rows or yields them. A task that yields has no "
    "output: decorate its function with @task.kimi_batch instead.",
    "str": "Give a URI itself as input, without a function, and one prompt as a list.",
    "dict": "Give one row as a list, [row], and several rows as a list of them.",
    "Series": "Give its .tolist() for a prompt each, or its .to_frame() for rows with a column.",
    "LazyFrame": "Give its .collect().",
    "file handle": "Give the URI of the file.",
}

_REMEDY = (
    "Give a URI of .jsonl, .csv or .parquet files, a list of prompts, chats, row dicts or requests, a DataFrame, or a "
    "function that returns or yields them."
)

#: Types that need no look at what they hold.
_PLAIN = frozenset((dict, str, list))


class Input:
    """The rows of an input, in order. Iterating again restarts, if the source allows it.

    :param source: A URI, a list, or a function that returns or yields rows.
    :param ready: Whether a URI means files of request lines, which are sent byte for byte, rather than tables.
    :param reading: How the text of files is read.
    :param must_apply: Whether a reading without an effect on the source is refused; not one that a create has noted.
    """

    def __init__(
        self, source: object, *, ready: bool = False, reading: Reading = PLAIN, must_apply: bool = True
    ) -> None:
        self.ready = ready
        self._reading = reading
        self._must_apply = must_apply
        self._source = source
        self._files: list[tuple[int, str, str]] = []

    def __str__(self) -> str:
        """Name it in a message, without its content."""
        if isinstance(self._source, str):
            return f"Input {self._source[:200]!r}"
        return f"The {kind_of(self._source)} given as input"

    def __iter__(self) -> Iterator[InputRow]:
        """Read the rows, or refuse the input."""
        source: Any = self._source
        if isinstance(source, str):
            return chain.from_iterable(chunk.rows() for chunk in self._read_files(source))
        if self._must_apply and (name := unused_option(self._reading, are_files=False)):
            raise KimiInputError(
                f"{name} says how files are written, and input is a {kind_of(source)}. Nothing was sent. Leave it out, "
                "or give the URI of files."
            )
        if callable(source):
            return _rows(_elements(_called(source, {}), "a function that returned a"))
        elements = _elements(source, "a")
        return _rows(_small(elements, source) if isinstance(source, Sequence) or is_frame(source) else elements)

    def chunks(self) -> Iterator[Chunk]:
        """Read the rows some at a time, as many as take little memory."""
        return self._read_files(self._source) if isinstance(self._source, str) else chunks_of(iter(self))

    def place(self, number: int) -> str:
        """Name the row of a number, from 1, for a message: by its place in its file, or in the list."""
        for first, unit, uri in reversed(self._files):
            if number >= first:
                return f"{unit} {number - first + 1}" + (f" of {uri}" if len(self._files) > 1 else "")
        return f"element {number}"

    def _read_files(self, uri: str) -> Iterator[Chunk]:
        self._files.clear()
        number = 0
        files = find_files(uri, self._reading)
        self._check_forms(uri, {file.kind for file in files})
        for file in files:
            if self.ready and file.kind != "jsonl":
                raise KimiInputError(
                    f"Input {file.uri[:200]!r} is a table. Nothing was sent. Pass prompt='... {{column}} ...', "
                    "messages or body, to say what to ask about its rows."
                )
            self._files.append((number + 1, "line" if file.kind == "jsonl" else "row", file.uri))
            for chunk in chunks_of_file(file, ready=self.ready):
                number += len(chunk)
                yield chunk

    def _check_forms(self, uri: str, kinds: Collection[str]) -> None:
        """Refuse the form of files that the input does not hold."""
        if self._must_apply and (name := unused_option(self._reading, are_files=True, kinds=kinds)):
            held = "no .csv or .tsv file" if name == "csv_options" else ".parquet files only"
            raise KimiInputError(
                f"{name} is given, and input {uri[:200]!r} holds {held}. Nothing was sent. Leave it out."
            )


def bound(source: Any, context: Mapping[str, Any]) -> Any:
    """Give a function what it asks of Airflow's context, as a PythonOperator does, when it is called for its rows.

    An input of another kind is returned as it is.
    """
    return partial(_called, source, context) if callable(source) else source


def _called(function: Callable[..., Any], context: Mapping[str, Any]) -> Any:
    """Call a function with what it asks of a context, and refuse one that asks for more.

    What it raises itself is left alone.
    """
    try:
        parameters = signature(function).parameters.values()
    except ValueError:  # a builtin may not say
        return function()
    own = getattr(function, "keywords", {}) if isinstance(function, partial) else {}
    given = {name: value for name, value in keyword_arguments(function, context).items() if name not in own}
    unknown = [
        one.name for one in parameters if _is_needed(one) and (one.kind is one.POSITIONAL_ONLY or one.name not in given)
    ]
    if unknown:
        raise KimiInputError(
            f"input is a function that asks for {', '.join(map(repr, unknown))}, which Airflow's context lacks. "
            "Nothing was sent. It may ask for what a PythonOperator's function may, such as ds, params or **context. "
            f"Give anything else beforehand: functools.partial(rows, {unknown[0]}=...)."
        )
    return function(**given)


def _is_needed(parameter: Parameter) -> bool:
    is_open = parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_open


def _elements(source: Any, given: str) -> Iterable[Any]:
    """What an input holds, one element for each row; refuse what holds none.

    :param given: What to call it in a message, before its type.
    """
    if is_frame(source):
        return rows_of_frame(source)
    kind = "file handle" if hasattr(source, "read") else type(source).__name__
    is_one = is_row(source) or isinstance(source, bytes | bytearray | str)
    if isinstance(source, Iterable) and not is_one and kind not in _REMEDIES:
        return source
    remedy = _REMEDIES.get(kind) or (_REMEDIES["dict"] if is_row(source) else _REMEDY)
    raise KimiInputError(f"input is {given} {kind}. Nothing was sent. {remedy}")


def _rows(elements: Iterable[Any]) -> Iterator[InputRow]:
    for element in elements:
        if type(element) in _PLAIN:
            yield InputRow(element)
        elif is_frame(element):  # a part of a large table
            yield from map(InputRow, rows_of_frame(element))
        else:
            yield InputRow(row_of(element))


def _small(elements: Iterable[Any], source: Any) -> Iterator[Any]:
    """Refuse a list that is too large to travel as an argument of a task."""
    size = 0
    for element in elements:
        size += size_of(element) or 0  # one whose size is not known is refused later, as the problem of its row
        if size > MAX_INLINE_BYTES:
            raise KimiInputError(
                f"input is a {type(source).__name__} of {len(source):,} elements and over {MAX_INLINE_BYTES:,} bytes. "
                "Nothing was sent. It is stored with every run in Airflow's database: write the rows to a file (.jsonl "
                "or .parquet) and give its URI, or give a function that yields them."
            )
        yield element
