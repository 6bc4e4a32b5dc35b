"""What a row asks, as one number, so that the rows of a table can be compared with the requests that were made."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

import msgspec

from airflow_provider_kimi.choices import KeyColumns
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.records.dead_letters import is_unsent, table_row_of
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.records.recipe_note import REQUESTS_VERSION, RecipeNote
from airflow_provider_kimi.requests.keys import custom_id_of, name_of_place
from airflow_provider_kimi.requests.line_template import encode
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe, is_ready_request
from airflow_provider_kimi.requests.values import plain

#: What a row asks that cannot be sent.
NOTHING = 0

#: What a row asks of which that is not known. No hash is this number.
UNKNOWN = -1

#: Bytes of a digest that is stored.
DIGEST_BYTES = 8


class _Body(msgspec.Struct):
    messages: msgspec.Raw


class _Line(msgspec.Struct):
    body: _Body


_read = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.encode


def digest_of_row(row: object, columns: Sequence[str] | None) -> bytes:
    """Digest what a row holds in some columns; None for all of it. It is the same in every process."""
    values = {name: row.get(name) for name in columns} if columns is not None and isinstance(row, Mapping) else row
    try:
        content = _encode(values, enc_hook=plain, order="deterministic")
    except UNREADABLE:
        content = json.dumps(values, default=str, skipkeys=True, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def digested_columns(recipe: Recipe, media_columns: Sequence[str]) -> Sequence[str] | None:
    """The columns that decide what a request of rows with media asks; None for all, where a function reads them."""
    if not recipe.way.texts:
        return None
    return sorted({*media_columns, *(column for text in recipe.way.texts for column in text.columns)})


def note_of(recipe: Recipe, media_columns: Sequence[str], reading: Reading, *, is_ready: bool) -> RecipeNote:
    """Note how rows become requests.

    :param reading: How the text of input files is read.
    :param is_ready: Whether the rows are lines of requests.
    """
    key = recipe.key_column
    body = recipe.body if isinstance(recipe.body, Mapping) else {}
    return RecipeNote(
        key_column=key if key is None or isinstance(key, str) else list(key),
        prompt=recipe.prompt,
        system_prompt=recipe.system_prompt,
        messages=None if callable(recipe.messages) else recipe.messages,
        body=body.get("messages"),
        media_columns=list(media_columns),
        is_function=callable(recipe.messages) or callable(recipe.body),
        is_ready=is_ready,
        requests_version=REQUESTS_VERSION,
        reading=None if reading == PLAIN else reading,
    )


class Asking:
    """Names rows, and says what they ask, as the job did that a note is of.

    :param note: The note; None if there is none, so that rows cannot be compared.
    :param key_column: What names the rows if the note does not: there is none, or the job was given requests, whose
        keys a table may have.
    """

    def __init__(self, note: RecipeNote | None, key_column: KeyColumns | None = None) -> None:
        self.key_column = key_column if note is None or note.is_ready else note.key_column
        self.has_digests = note is not None and note.has_digests
        self.can_compare = note is not None and note.requests_version == REQUESTS_VERSION
        self.is_named = self.key_column is not None or (note is not None and note.is_ready)
        self._recipe = _recipe(note or RecipeNote())
        self._columns = digested_columns(self._recipe, note.media_columns) if note and self.has_digests else None
        self._is_as_given = not self._recipe.way.texts
        self._is_rewritten = self._is_as_given  # a line that somebody else wrote may be written in another way
        self._may_be_table = note is not None and note.is_ready and key_column is not None

    def name(self, row: object, number: int) -> str:
        """The `custom_id` of a row, by its place from 1 if it has no key."""
        if self._is_letter(row):
            return str(row["custom_id"])
        try:
            return custom_id_of(row, number, self.key_column)
        except RowProblem:
            return name_of_place(number)

    def of_row(self, row: object) -> int:
        """What a row asks; `NOTHING` if it cannot be sent, `UNKNOWN` if nothing says how it was asked."""
        if not self.can_compare:
            return NOTHING
        if self._may_be_table and not self._is_letter(row):
            return UNKNOWN
        if self.has_digests:
            return of_digest(digest_of_row(row, self._columns))
        return self.of_line(self._line(row))

    def learn(self, lines: Iterable[bytes]) -> None:
        """Learn from some requests whether the platform gives them back as other bytes, before any is compared."""
        self._is_rewritten = self._is_rewritten or any(map(_is_rewritten, lines))

    def of_line(self, line: bytes) -> int:
        """What a request asks; `NOTHING` if its line cannot be read."""
        try:
            messages: Any = _read(line).body.messages
            if self._is_rewritten:
                messages = _encode(msgspec.json.decode(messages), order="deterministic")
        except UNREADABLE:
            return NOTHING
        return hash(bytes(messages)) or 1

    def columns(self, row: object) -> Mapping[str, Any] | None:
        """The columns of a row; None for an element that is not a row of a table."""
        if not isinstance(row, Mapping):
            return None
        if self._is_letter(row):
            return table_row_of(row) or None
        return row

    def _line(self, row: object) -> bytes:
        """Make the request of a row; empty if it cannot be sent."""
        try:
            return encode(row) if self._is_letter(row) else self._recipe.way.line(row, "a")
        except RowProblem:
            return b""

    def _is_letter(self, row: object) -> TypeGuard[Mapping[str, Any]]:
        """Whether an element is a request, or a row that an earlier job did not send."""
        is_unsent_row = isinstance(row, Mapping) and is_unsent(row)
        return self._is_as_given and (is_ready_request(row) or is_unsent_row)


def _is_rewritten(line: bytes) -> bool:
    """Whether a request is not written as this package writes it."""
    with suppress(*UNREADABLE):
        messages = _read(line).body.messages
        return _encode(msgspec.json.decode(messages)) != bytes(messages)
    return False


def of_digest(digest: bytes) -> int:
    """What a row asks, by its stored digest."""
    return int.from_bytes(digest, "big", signed=True) or 1


def _recipe(note: RecipeNote) -> Recipe:
    function: Callable[[Any], Any] | None = _unknown if note.is_function else None
    return Recipe(
        "",
        prompt=note.prompt,
        system_prompt=note.system_prompt,
        messages=function or note.messages,
        body=None if note.body is None else {"messages": note.body},
        key_column=note.key_column,
    )


def _unknown(row: Any) -> Any:
    raise RowProblem("is asked about by a function that is not known here")
