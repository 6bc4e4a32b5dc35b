"""The type of `parsed`, which `output_schema` declares: the same for the answers of every day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: What a value may be; `json` is anything, written as JSON.
Plain = Literal["string", "int64", "float64", "bool", "json"]


@dataclass(frozen=True)
class ListOf:
    """A list whose elements are all of one shape."""

    item: Shape


@dataclass(frozen=True)
class Fields:
    """An object with these fields, in order."""

    fields: tuple[tuple[str, Shape], ...]


Shape = Plain | ListOf | Fields

_PLAIN: Mapping[str, Plain] = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}
_OF_PYTHON: Mapping[type, Plain] = {str: "string", int: "int64", float: "float64", bool: "bool"}


def shape_of_values(values: Iterable[object]) -> Shape:
    """The one shape that holds several values."""
    return _common(_OF_PYTHON.get(type(value), "json") for value in values)


def shape_of_schema(schema: Mapping[str, Any]) -> Shape:
    """The shape of the values that a JSON Schema accepts; JSON where it leaves a choice that one type cannot hold."""
    return _Reader(schema).shape(schema)


def choices_of(schema: Mapping[str, Any], field: str | None) -> list[Any] | None:
    """The values that answers of a JSON Schema may have, but for null; None if the schema lists none.

    :param field: The field that is meant, if answers are objects.
    """
    reader = _Reader(schema)
    part = reader.resolved(schema)
    properties = part.get("properties")
    return reader.choices(properties.get(field) if isinstance(properties, Mapping) else part)


def spread_fields(shape: Shape | None) -> Fields:
    """The top-level fields of answers of a shape.

    :raises ValueError: They are no objects whose fields the schema names.
    """
    if not isinstance(shape, Fields):
        raise ValueError(
            "parsed_columns is True; it needs an output_schema whose answers are objects with named fields: a Pydantic "
            "model, or a JSON Schema with properties"
        )
    return shape


def _common(shapes: Iterable[Shape]) -> Shape:
    """The one shape that holds values of several."""
    found = set(shapes)
    if len(found) == 1:
        return found.pop()
    return "float64" if found == {"int64", "float64"} else "json"


class _Reader:
    """Reads one JSON Schema, whose parts refer to each other."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def shape(self, schema: object, within: frozenset[str] = frozenset()) -> Shape:
        """The shape of a part; `within` are the references that led to it, because what holds itself has no end."""
        if not isinstance(schema, Mapping):
            return "json"
        if isinstance(reference := schema.get("$ref"), str):
            return "json" if reference in within else self.shape(self._referred(reference), within | {reference})
        if isinstance(parts := schema.get("allOf"), list):
            return self.shape(parts[0], within) if len(parts) == 1 and "properties" not in schema else "json"
        if isinstance(choices := schema.get("anyOf", schema.get("oneOf")), list):
            return _common(self.shape(choice, within) for choice in choices if not _is_null(choice))
        return self._of_type(schema, within)

    def resolved(self, schema: object) -> Mapping[str, Any]:
        """A part without the references that lead to it; empty if it accepts anything, or leads nowhere."""
        seen: set[str] = set()
        while isinstance(schema, Mapping):
            reference, parts = schema.get("$ref"), schema.get("allOf")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                schema = self._referred(reference)
            elif isinstance(parts, list) and len(parts) == 1 and "properties" not in schema:
                schema = parts[0]
            else:
                return schema
        return {}

    def choices(self, schema: object, depth: int = 8) -> list[Any] | None:
        """The values that a part may have, but for null; None if it lists none, or what holds itself has no end."""
        part = self.resolved(schema)
        if isinstance(parts := part.get("anyOf", part.get("oneOf")), list):
            return self._of_any([one for one in parts if not _is_null(one)], depth - 1) if depth else None
        of_boolean = [True, False] if part.get("type") == "boolean" else None
        values = [part["const"]] if "const" in part else part.get("enum", of_boolean)
        return None if values is None else [value for value in _listed(values) if value is not None]

    def _of_any(self, parts: Iterable[object], depth: int) -> list[Any] | None:
        listed = [self.choices(part, depth) for part in parts]
        return None if None in listed else [value for values in listed for value in values or ()]

    def _of_type(self, schema: Mapping[str, Any], within: frozenset[str]) -> Shape:
        types = [name for name in _listed(schema.get("type")) if name != "null"]
        if types == ["object"] or (not types and "properties" in schema):
            return self._object(schema, within)
        if types == ["array"]:
            return self._array(schema, within)
        if types:
            return _common(_PLAIN.get(name, "json") for name in types)
        values = [schema["const"]] if "const" in schema else _listed(schema.get("enum"))
        return shape_of_values(value for value in values if value is not None)

    def _object(self, schema: Mapping[str, Any], within: frozenset[str]) -> Shape:
        properties = schema.get("properties")
        is_open = schema.get("additionalProperties", False) is not False or "patternProperties" in schema
        if not isinstance(properties, Mapping) or not properties or is_open:
            return "json"
        return Fields(tuple((str(name), self.shape(part, within)) for name, part in properties.items()))

    def _array(self, schema: Mapping[str, Any], within: frozenset[str]) -> Shape:
        first, rest = schema.get("prefixItems", []), schema.get("items")
        if first and rest is None and schema.get("maxItems") == len(first):
            rest = False
        item = _common(self.shape(part, within) for part in (*first, *([] if rest is False else [rest])))
        return "json" if item == "json" else ListOf(item)

    def _referred(self, reference: str) -> object:
        """A part of the schema; None if it is not there, or elsewhere."""
        found: Any = self._root if reference.startswith("#") else None
        for step in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"
