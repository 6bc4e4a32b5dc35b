"""What may stand in one schema of Moonshot's dialect, apart from the schemas inside of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_kimi.simulator.schema_references import reference_problem

_NOTES = {"description", "title"}
_AT_ROOT = {"$defs", "$id"}
_OF_NUMBERS = {"enum", "default", "minimum", "maximum"}

#: Types, and what a schema of each may have besides its notes.
_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"enum", "default", "minLength", "maxLength"},
    "number": _OF_NUMBERS,
    "integer": _OF_NUMBERS,
    "boolean": {"enum", "default"},
    "null": {"enum", "default"},
}
_KNOWN = {"type", "anyOf", "$ref", *_NOTES, *_AT_ROOT}.union(*_KEYWORDS.values())

_RESERVED_NAMES = {"$defs", "$ref", "anyOf", "required", "additionalProperties"}

#: An `enum` of more values than this may have so many bytes in all.
_MANY_VALUES, _MAX_BYTES = 250, 7500

_BOUNDS = (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum"))


def problems(schema: Mapping[str, Any], root: Mapping[str, Any], *, is_root: bool, is_ultra: bool) -> Iterator[str]:
    """Say what is wrong with one schema, as the vendor's validator does."""
    if is_ultra:
        yield from _unknown(schema, is_root=is_root)
    yield from _types(schema, is_root=is_root, is_ultra=is_ultra)
    if is_ultra:
        yield from _misplaced(schema, is_root=is_root)
        yield from _bounds(schema)
        yield from _default(schema)
    yield from _notes(schema)
    yield from _definitions(schema)
    yield from _object(schema, is_ultra=is_ultra)
    yield from _enum(schema)
    yield from _branches(schema)
    if "items" in schema and not isinstance(schema["items"], dict):
        yield "items must be an object"
    if "$ref" in schema and (problem := reference_problem(schema, root)):
        yield problem


def _kinds(schema: Mapping[str, Any]) -> list[Any]:
    given = schema.get("type", [])
    return given if isinstance(given, list) else [given]


def _unknown(schema: Mapping[str, Any], *, is_root: bool) -> Iterator[str]:
    if unknown := sorted(schema.keys() - _KNOWN):
        yield f"unsupported keywords: {', '.join(unknown)}"
    if not is_root and (misplaced := sorted(schema.keys() & _AT_ROOT)):
        yield f"keyword {misplaced[0]} must be at root level"


def _types(schema: Mapping[str, Any], *, is_root: bool, is_ultra: bool) -> Iterator[str]:
    kinds = _kinds(schema)
    if "type" not in schema:
        return
    if not kinds:
        yield "type array cannot be empty"
    if any(not isinstance(kind, str) or kind not in _KEYWORDS for kind in kinds):
        yield "invalid type"
    if "anyOf" in schema:
        yield "when using anyOf, type should be defined in anyOf items instead of the parent schema"
    if "$ref" in schema:
        yield "when using $ref, type should be defined in the referenced schema instead of the parent schema"
    if len(kinds) > 1 and "enum" not in schema:
        others = schema.keys() - {"type"} - _NOTES - (_AT_ROOT if is_root else set())
        if others:
            yield f"keyword {min(others)} is not allowed in combination with multiple types"
    if is_ultra and len(set(map(str, kinds))) < len(kinds):
        yield "duplicate types in type array"


def _misplaced(schema: Mapping[str, Any], *, is_root: bool) -> Iterator[str]:
    """What does not go together with the type, or with what stands instead of one."""
    allowed = _NOTES | (_AT_ROOT if is_root else set())
    for key in ("anyOf", "$ref"):
        if key in schema:
            others = schema.keys() - allowed - {key}
            yield from (f"keyword '{other}' is not allowed at the same level as {key}" for other in sorted(others))
    kinds = _kinds(schema)
    if not kinds:
        if "anyOf" not in schema and "$ref" not in schema:
            yield "type is not defined"
        return
    fitting = _KEYWORDS[next((kind for kind in kinds if kind != "null"), "null")]
    if unfit := sorted(schema.keys() - allowed - {"type", *fitting}):
        yield f"invalid keywords: {', '.join(unfit)}"


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for names in _BOUNDS:
        given = [schema[name] for name in names if name in schema]
        needs_whole = names[0] != "minimum" or "integer" in _kinds(schema)
        if not all(is_of("integer" if needs_whole else "number", bound) for bound in given):
            yield f"{' and '.join(names)} must be {'integers' if needs_whole else 'numbers'}"
        elif names[0] != "minimum" and any(bound < 0 for bound in given):
            yield f"{names[0]} and {names[1]} must be non-negative"
        elif len(given) == len(names) and given[0] > given[1]:
            yield f"{names[0]} ({given[0]}) cannot be greater than {names[1]} ({given[1]})"


def _default(schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = _kinds(schema)
    if "default" in schema and kinds and not any(is_of(kind, schema["default"]) for kind in kinds):
        yield "default does not match the type"


def _notes(schema: Mapping[str, Any]) -> Iterator[str]:
    for key in ("description", "title", "$id"):
        if key in schema and not isinstance(schema[key], str):
            yield f"{key} must be a string"


def _definitions(schema: Mapping[str, Any]) -> Iterator[str]:
    defined = schema.get("$defs", {})
    if not isinstance(defined, dict):
        yield "$defs must be an object"
        return
    for name, definition in defined.items():
        if not isinstance(definition, dict):
            yield f"$defs schema must be object: {name}"
        if not name:
            yield "$defs property name cannot be empty"
        if slashed := next((key for key in (name, *_keys_in(definition)) if "/" in key), None):
            yield f"$defs property name '{slashed}' cannot contain '/' character"


def _keys_in(part: object) -> Iterator[str]:
    for key, value in part.items() if isinstance(part, dict) else ():
        yield key
        for inside in value if isinstance(value, list) else [value]:
            yield from _keys_in(inside)


def _object(schema: Mapping[str, Any], *, is_ultra: bool) -> Iterator[str]:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict):
        yield "properties must be an object"
        return
    for name, part in properties.items():
        if name in _RESERVED_NAMES:
            yield f"property name '{name}' is reserved for JSON Schema keywords"
        if not isinstance(part, dict):
            yield f"property schema for '{name}' must be an object"
    if is_ultra and "" in properties:
        yield "property name cannot be empty"
    yield from _required(required, properties, is_ultra=is_ultra)
    if not isinstance(schema.get("additionalProperties", True), bool | dict):
        yield "additionalProperties must be a boolean or an object"


def _required(required: object, properties: Mapping[str, Any], *, is_ultra: bool) -> Iterator[str]:
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield "required must be an array of strings"
        return
    for name in required:
        if name not in properties:
            yield f"required property '{name}' is not defined in properties"
    if is_ultra and len(set(required)) < len(required):
        yield "duplicate items in required array"


def _enum(schema: Mapping[str, Any]) -> Iterator[str]:
    if "enum" not in schema:
        return
    values, kinds = schema["enum"], _kinds(schema)
    if not isinstance(values, list) or not values:
        yield "enum must be an array that is not empty"
        return
    if not kinds:
        yield "type is not defined"
    scalars = {"string", "integer", "number", "boolean"}
    if len(kinds) > 1 and not (len(kinds) == len({"null", "other"}) and "null" in kinds and scalars & {*kinds}):
        yield "when type is array and enum is specified, one of 2 types must be null, and the other a scalar"
    yield from _enum_values(values, kinds)


def _enum_values(values: list[Any], kinds: list[Any]) -> Iterator[str]:
    if None in values and kinds[:1] in (["integer"], ["number"]):
        yield f"not a valid {kinds[0]}"
    if not all(any(is_of(kind, value) for kind in kinds) for value in values):
        yield f"enum value does not match any type in {kinds}"
    size = sum(len(str(value).encode("utf-8", "replace")) for value in values)
    if len(values) > _MANY_VALUES and size > _MAX_BYTES:
        yield f"total string length of enum values ({size}) exceeds maximum limit of {_MAX_BYTES}"


def _branches(schema: Mapping[str, Any]) -> Iterator[str]:
    if "anyOf" not in schema:
        return
    branches = schema["anyOf"]
    if not isinstance(branches, list) or not branches:
        yield "anyOf must be an array that is not empty"
        return
    for branch in branches:
        if not isinstance(branch, dict):
            yield "schema in anyOf must be an object"
        elif both := sorted((branch.keys() & schema.keys()) - _NOTES - {"anyOf"}):
            yield f"conflicting keywords found in anyOf with parent: {', '.join(both)}"


def is_of(kind: object, value: object) -> bool:
    """Whether a value is of a type of JSON Schema."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "number":
            return is_number
        case "integer":
            return is_number and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "object":
            return isinstance(value, dict)
        case _:
            return kind == "array" and isinstance(value, list)
