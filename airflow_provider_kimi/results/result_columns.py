"""The columns of a results file: our own, the input's, and, if that is wanted, one for each field of `parsed`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.results.arrow_types import type_of
from airflow_provider_kimi.results.parsed_shape import Fields, Shape
from airflow_provider_kimi.results.passed_columns import free_names

if TYPE_CHECKING:
    from pyarrow import DataType

_COUNTS = frozenset({"prompt_tokens", "cached_tokens", "completion_tokens", "round"})

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True)
class ResultColumns:
    """The columns of every row, in order.

    :param spread_to: The column of each field of `parsed`; empty if `parsed` is a column itself.
    """

    names: Sequence[str]
    spread_to: Mapping[str, str]

    @classmethod
    def of(cls, found: Iterable[str], fields: Sequence[str], spread: Fields | None) -> ResultColumns:
        """Put columns in order: the first of ours, those of the input, our others.

        :param found: Columns that rows have.
        :param fields: Our own columns.
        :param spread: The fields of `parsed` that become columns.
        """
        first, *rest = fields
        of_input = [name for name in found if name not in fields]
        of_parsed = [name for name, _ in spread.fields] if spread else []
        spread_to = free_names(of_parsed, (*fields, *RESULT_FIELDS, *of_input), "parsed_")
        own = [column for name in rest for column in (spread_to.values() if spread and name == "parsed" else [name])]
        return cls([first, *of_input, *own], spread_to)

    def spread(self, row: dict[str, Any]) -> dict[str, Any]:
        """Put the fields of `parsed` into columns of their own."""
        if self.spread_to and isinstance(parsed := row.pop("parsed", None), dict):
            row.update((column, parsed.get(name)) for name, column in self.spread_to.items())
        return row

    def spread_line(self, line: bytes) -> bytes:
        """Do the same to the line of a row."""
        return msgspec.json.encode(dict(self._spread_parts(_parts(line)))) + b"\n"

    def _spread_parts(self, parts: Mapping[str, msgspec.Raw]) -> Iterator[tuple[str, msgspec.Raw]]:
        for name, value in parts.items():
            if name != "parsed":
                yield name, value
                continue
            fields = _parts(value) if bytes(value).startswith(b"{") else {}
            yield from ((column, fields.get(field, _NULL)) for field, column in self.spread_to.items())


def own_types(fields: Iterable[str], parsed: Shape | None, spread_to: Mapping[str, str]) -> dict[str, DataType]:
    """The types of our own columns, whatever their values are."""
    types = {name: type_of("int64" if name in _COUNTS else "string") for name in fields}
    if "parsed" in types and parsed is not None:
        types["parsed"] = type_of(parsed)
    shapes = dict(parsed.fields) if isinstance(parsed, Fields) else {}
    return types | {column: type_of(shapes[name]) for name, column in spread_to.items()}
