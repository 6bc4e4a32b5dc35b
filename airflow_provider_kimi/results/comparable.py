"""What answers say, so that those of two results can be compared; and which of it may be shown: labels, never text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from airflow_provider_kimi.files.line_ids import UNREADABLE, decoded
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.schema import AnswerSchema

#: What an answer says, by field; the whole answer where it has no fields.
Said = Mapping[str, Any]

#: Stands for the whole answer.
WHOLE = ""

Label = str | int | float | bool | None

#: Equal for equal values only: not for True and 1, and whatever the order of keys.
_encode = json.JSONEncoder(sort_keys=True).encode

_OF_TYPES: Mapping[str, Sequence[Any]] = {"boolean": [True, False], "null": [None]}


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
        is_label = _encode(value) in self._choices.get(name, ()) or (name == WHOLE and self._is_label(value))
        return value if is_label else None

    def _is_label(self, value: Any) -> bool:
        if self.schema is None or isinstance(value, dict | list):
            return False
        if self.schema.json_schema is None:
            try:
                return bool(self.schema.read(str(value).lower() if isinstance(value, bool) else str(value)) == value)
            except SchemaMismatch:
                pass
        return str(value) in self.former

    @cached_property
    def _choices(self) -> Mapping[str, Collection[str]]:
        """The values of each field for which the schema lists them all, as JSON."""
        schema = self.schema.json_schema if self.schema else None
        if schema is None:
            return {}
        parts = {WHOLE: schema, **_resolved(schema, schema).get("properties", {})}
        listed = {name: _listed(part, schema) for name, part in parts.items()}
        return {name: {*map(_encode, values)} for name, values in listed.items() if values is not None}


def _of_cell(cell: Any) -> Any:
    """The value of a cell, which CSV and Parquet may hold as text of JSON."""
    try:
        return decoded(cell) if isinstance(cell, str) and cell[:1] == "{" else cell
    except UNREADABLE:
        return cell


def _listed(part: object, root: Mapping[str, Any], depth: int = 8) -> Sequence[Any] | None:
    """All values that a part of a schema accepts, where it lists them; None where it does not."""
    part = _resolved(part, root)
    choices = part.get("anyOf", part.get("oneOf"))
    if isinstance(choices, list) and depth:
        return _all_of([_listed(choice, root, depth - 1) for choice in choices])
    values = [part["const"]] if "const" in part else part.get("enum")
    return values if isinstance(values, list) else _OF_TYPES.get(str(part.get("type")))


def _all_of(lists: Sequence[Sequence[Any] | None]) -> Sequence[Any] | None:
    return None if None in lists else [value for values in lists for value in values or ()]


def _resolved(part: object, root: Mapping[str, Any], depth: int = 8) -> Mapping[str, Any]:
    """A part of a schema in place of a reference to it; empty if it is not there."""
    if not isinstance(part, Mapping) or not depth:
        return {}
    if isinstance(whole := part.get("allOf"), list) and len(whole) == 1:
        return _resolved(whole[0], root, depth - 1)
    if not isinstance(reference := part.get("$ref"), str):
        return part
    found: Any = root
    for step in filter(None, reference.removeprefix("#").split("/")):
        found = found.get(step) if isinstance(found, Mapping) else None
    return _resolved(found, root, depth - 1)
