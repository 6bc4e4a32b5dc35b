"""What answers say, so that those of two results can be compared; and which of it may be shown: labels, never text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airflow_provider_kimi.files.line_ids import UNREADABLE, decoded
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.parsed_shape import choices_of
from airflow_provider_kimi.results.schema import AnswerSchema

#: What an answer says, by field; the whole answer where it has no fields.
Said = Mapping[str, Any]

#: Stands for the whole answer.
WHOLE = ""

Label = str | int | float | bool | None

#: Equal for equal values only: not for True and 1, and whatever the order of keys.
_encode = json.JSONEncoder(sort_keys=True).encode


class Change(NamedTuple):
    """One thing that two answers to a row say differently.

    :param field: Which field of the answers; `WHOLE` for the answers themselves.
    :param before: The label then; None for what is none.
    :param now: The label now; likewise.
    """

    field: str
    before: Label
    now: Label


@dataclass(frozen=True)
class Comparable:
    """Reads and compares answers.

    :param schema: What the answers of now have to be; None for any text.
    :param former: Labels of the earlier result, which the schema may not know any more.
    """

    schema: AnswerSchema | None
    former: Collection[str] = field(default=())

    def said(self, content: str | None, parsed: Any = None) -> Said:
        """Read a usable answer.

        :param parsed: How it was read when it was landed, perhaps by another schema; None if that is not known.
        """
        if self.schema is None:
            return {WHOLE: (content or "").strip()}
        try:
            value = self.schema.read(content or "")
        except SchemaMismatch:
            value = (content or "").strip() if parsed is None else _of_cell(parsed)
        return value if isinstance(value, dict) else {WHOLE: value}

    def changes(self, before: Said, now: Said) -> Iterator[Change]:
        """What two answers to a row say differently, in the fields that both have; all of it if they have none."""
        if not (both := [name for name in now if name in before]):
            yield Change(WHOLE, None, None)
        for name in both:
            if _encode(before[name]) != _encode(now[name]):
                yield Change(name, self._shown(name, before[name]), self._shown(name, now[name]))

    def _shown(self, name: str, value: Any) -> Label:
        schema = self.schema.json_schema if self.schema else None
        listed = choices_of(schema, name) if schema else None
        is_listed = _encode(value) in map(_encode, listed or ())
        return value if is_listed or (name == WHOLE and self._is_label(value)) else None

    def _is_label(self, value: Any) -> bool:
        if self.schema is None or isinstance(value, dict | list):
            return False
        if self.schema.json_schema is None:
            try:
                return bool(self.schema.read(str(value).lower() if isinstance(value, bool) else str(value)) == value)
            except SchemaMismatch:
                pass
        return str(value) in self.former


def _of_cell(cell: Any) -> Any:
    """The value of a cell, which CSV and Parquet may hold as text of JSON."""
    try:
        return decoded(cell) if isinstance(cell, str) and cell[:1] == "{" else cell
    except UNREADABLE:
        return cell
