"""The requests of many rows at once, where prompt and rows are plain: the same bytes as one by one, and sooner."""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, cast

import msgspec

from airflow_provider_kimi.choices import KeyColumns
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.requests.keys import are_plain, name_of_place
from airflow_provider_kimi.requests.templates import Template
from airflow_provider_kimi.requests.ways import Prompt, Way

_encode = msgspec.json.Encoder().encode

_Row = Mapping[str, Any]


class RequestLines(NamedTuple):
    """The ids and the lines of some rows."""

    custom_ids: list[str]
    lines: list[bytes]


class PlainPrompts:
    """Makes requests of rows that hold texts in every column of a prompt.

    :param pieces: The bytes around the id, and around each text that differs from row to row.
    :param texts: These texts.
    :param key_column: The column that names the rows; None if their places do.
    """

    def __init__(self, pieces: Sequence[bytes], texts: Sequence[Template], key_column: str | None) -> None:
        self._pieces = pieces
        self._fills = [_filling(text) for text in texts]
        self._columns = list(dict.fromkeys(column for text in texts for column in text.columns))
        self._key_column = key_column

    @classmethod
    def of(cls, way: Way, key_column: KeyColumns | None) -> "PlainPrompts | None":
        """Return it for a prompt that can be filled plainly; None for any other way of asking."""
        if not isinstance(way, Prompt) or way.shared_line is None or not isinstance(key_column, str | None):
            return None
        if way.doubled or not all(text.is_plain and text.has_words for text in way.texts):
            return None
        before, *pieces = way.shared_line.pieces
        merged, texts = [before, pieces[0]], []
        for text, piece in zip(way.texts, pieces[1:], strict=True):
            if text.columns:
                texts.append(text)
                merged.append(piece)
            else:
                merged[-1] += _encode(text.fill({})) + piece
        return cls(merged, texts, key_column) if texts else None

    def requests(self, rows: Sequence[object], first: int) -> RequestLines | None:
        """Make the requests of rows; None if one of them is not plain, so that each has to be looked at.

        :param first: The place of the first one in the input, from 1.
        """
        table = cast(Sequence[_Row], rows)
        try:
            custom_ids = self._named(table, first)
            if custom_ids is None or self._holds_blank(table):
                return None
            holes = [map(_encode, custom_ids), *(map(_encode, fill(table)) for fill in self._fills)]
            parts = [repeat(self._pieces[0])]
            for hole, piece in zip(holes, self._pieces[1:], strict=True):
                parts += [hole, repeat(piece)]  # type: ignore[list-item]
            return RequestLines(custom_ids, list(map(b"".join, zip(*parts, strict=False))))
        except (LookupError, TypeError, AttributeError, *UNREADABLE):  # some row holds another kind of value
            return None

    def _named(self, rows: Sequence[_Row], first: int) -> list[str] | None:
        if self._key_column is None:
            return [name_of_place(number) for number in range(first, first + len(rows))]
        keys = [row[self._key_column] for row in rows]
        return keys if are_plain(keys) else None

    def _holds_blank(self, rows: Sequence[_Row]) -> bool:
        """Whether a row has no text in any column of the prompt."""
        if len(self._columns) == 1:
            (column,) = self._columns
            return any(not row[column] or row[column].isspace() for row in rows)
        return not all(any(map(str.strip, map(row.__getitem__, self._columns))) for row in rows)


def _filling(text: Template) -> Callable[[Sequence[_Row]], list[str]]:
    """Fill a text for many rows at once."""
    parts = text.plain_parts
    if len(text.columns) == 1 and sum(column is not None for _, column in parts) == 1:
        (column,) = text.columns
        before, after = text.fill({column: "\0"}).split("\0")
        return lambda rows: [before + row[column] + after for row in rows]
    return lambda rows: ["".join([it if column is None else it + row[column] for it, column in parts]) for row in rows]
