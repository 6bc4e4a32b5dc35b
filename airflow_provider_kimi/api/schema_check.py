"""Whether Kimi takes a JSON Schema: each place that breaks a published rule, with a way out."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_kimi.api import schema_dialect as dialect
from airflow_provider_kimi.api.schema_dialect import ANNOTATIONS, OF_TYPE, ROOT_ONLY, Problem
from airflow_provider_kimi.api.schema_graph import can_end, keywords_of, levels, parts

_Path = tuple[str, ...]


def problems(schema: object) -> list[Problem]:
    """Say why Kimi refuses a schema, which is JSON; nothing if it takes it."""
    if schema == {}:
        return []
    if not isinstance(schema, Mapping):
        return [Problem("", "it is not an object", "write a mapping of keywords")]
    try:
        found = [problem for path, part in parts(schema) for problem in _of_part(path, part, schema)]
        return found or list(_of_whole(schema))
    except RecursionError:
        return [Problem("", "it is nested too deeply", "nest fewer objects")]


def is_a(value: object, kind: str) -> bool:
    """Whether a value is of a type."""
    match kind:
        case "integer":
            return isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "object":
            return isinstance(value, Mapping)
    kinds: Mapping[str, Any] = {"string": str, "boolean": bool, "null": type(None), "array": list}
    return isinstance(value, kinds[kind])


def is_in_range(value: float) -> bool:
    """Whether a number can be written: a whole one is not too large, no other needs an exponent."""
    if isinstance(value, int) or value == value // 1:
        return abs(value) <= dialect.MAX_INTEGER
    return math.isfinite(value) and "e" not in repr(value)


def kinds_of(part: Mapping[str, Any]) -> list[Any]:
    """The types that a part of a schema names."""
    named = part.get("type", [])
    return list(named) if isinstance(named, list) else [named]


def _of_part(path: _Path, part: object, root: Mapping[str, Any]) -> Iterator[Problem]:
    place = "/".join(path)
    if not isinstance(part, Mapping):
        yield Problem(place, "it is not an object", "write a mapping of keywords")
        return
    if part == {} and path[-1:] == ("additionalProperties",):
        return
    own = part.keys() - (() if path else ROOT_ONLY)
    for keyword in sorted(own - dialect.KEYWORDS):
        yield Problem(place, f"the keyword {keyword!r} is not taken", "leave it out")
    for keyword in sorted(own & ROOT_ONLY):
        yield Problem(place, f"{keyword!r} stands below the root", "move it to the root")
    for keyword in sorted((ANNOTATIONS | {"$id"}) & part.keys()):
        if not isinstance(part[keyword], str):
            yield Problem(place, f"{keyword!r} is not a text", "write a text")
    if not isinstance(part.get("$defs", {}), Mapping):
        yield Problem(place, "$defs is not a mapping", "map names to definitions")
    chooser = next((keyword for keyword in ("$ref", "anyOf") if keyword in part), None)
    if chooser is None:
        yield from _of_typed(place, part, own)
        return
    for keyword in sorted((own & dialect.KEYWORDS) - ANNOTATIONS - ROOT_ONLY - {chooser}):
        yield Problem(place, f"{keyword!r} stands beside {chooser!r}", f"move it into what {chooser!r} leads to")
    yield from _of_reference(place, part, root) if chooser == "$ref" else _of_branches(place, part["anyOf"])


def _of_reference(place: str, part: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Problem]:
    definitions, ref = root.get("$defs"), part["$ref"]
    names = definitions if isinstance(definitions, Mapping) else {}
    if ref != "#" and not (isinstance(ref, str) and ref.startswith("#/$defs/") and ref[8:] in names):
        yield Problem(place, f"$ref leads to {ref!r:.100}, which is not a name in $defs", "put it there")
        return
    for keyword in sorted(ANNOTATIONS & part.keys() & keywords_of(root, ref)):
        yield Problem(place, f"{keyword!r} stands beside '$ref', whose definition has one", "leave one of them out")


def _of_branches(place: str, branches: object) -> Iterator[Problem]:
    if not isinstance(branches, list) or not 1 <= len(branches) <= dialect.MAX_BRANCHES:
        yield Problem(place, f"anyOf is not a list of 1 to {dialect.MAX_BRANCHES} branches", "nest some of them")


def _of_typed(place: str, part: Mapping[str, Any], own: frozenset[str] | set[str]) -> Iterator[Problem]:
    kinds = kinds_of(part)
    if not kinds or not all(kind in dialect.TYPES for kind in kinds) or len(set(kinds)) < len(kinds):
        known = ", ".join(dialect.TYPES)
        yield Problem(place, "it does not say its type", f"add a type that is one of {known}, or anyOf")
        return
    kind = next((kind for kind in kinds if kind != "null"), "null")
    is_nullable = "enum" in part and len(kinds) == 2 and "null" in kinds and kind in dialect.SCALARS
    is_nullable = is_nullable and kinds[0] not in ("integer", "number")  # null is then refused as a wrong number
    allowed = OF_TYPE[kind] if len(kinds) == 1 or is_nullable else frozenset()
    for keyword in sorted((own & dialect.KEYWORDS) - allowed - ANNOTATIONS - ROOT_ONLY - {"type"}):
        yield Problem(place, f"{keyword!r} stands beside the type {part['type']!r}", "write a branch of anyOf for it")
    if len(kinds) > 1 and not allowed:
        return
    yield from _of_values(place, part, kinds)
    yield from _of_bounds(place, part, kind)
    if kind == "object":
        yield from _of_object(place, part)
    if not isinstance(part.get("items", {"type": ""}), Mapping) or part.get("items") == {}:
        yield Problem(place, "items is not the schema of an item", "leave it out, or name the type of the items")


def _of_values(place: str, part: Mapping[str, Any], kinds: list[Any]) -> Iterator[Problem]:
    values = part.get("enum", [None])
    if not isinstance(values, list) or not values:
        yield Problem(place, "enum is not a list of values", "list them, or leave it out")
        return
    if "enum" in part and not all(any(is_a(value, kind) for kind in kinds) for value in values):
        yield Problem(
            place, f"a value of enum is not of the type {part['type']!r}", "write a branch of anyOf for each type"
        )
    if "default" in part and not any(is_a(part["default"], kind) for kind in kinds):
        yield Problem(place, "default is not of its type", "leave it out")
    numbers = [value for value in (*values, part.get("default")) if is_a(value, "number")]
    if not all(map(is_in_range, numbers)):
        yield Problem(place, "a number is too large, or needs an exponent", "write it as text")
    size = sum(len(str(value).encode("utf-8", "replace")) for value in values)
    if len(values) > dialect.LONG_ENUM_VALUES and size > dialect.MAX_LONG_ENUM_BYTES:
        yield Problem(place, f"its enum has {size:,} bytes", "list fewer values, or name them in the prompt")


def _of_bounds(place: str, part: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    for pair in (*dialect.COUNT_BOUNDS, dialect.NUMBER_BOUNDS):
        given = [part[bound] for bound in pair if bound in part]
        number = kind if pair == dialect.NUMBER_BOUNDS and kind == "number" else "integer"
        is_count = pair != dialect.NUMBER_BOUNDS
        if not all(is_a(value, number) and is_in_range(value) and not (is_count and value < 0) for value in given):
            yield Problem(place, f"{' or '.join(pair)} is not a number that it may be", "correct it")
        elif sorted(given) != given:
            yield Problem(place, f"{pair[0]} is above {pair[1]}", "correct it: no value fits")


def _of_object(place: str, part: Mapping[str, Any]) -> Iterator[Problem]:
    properties, required = part.get("properties", {}), part.get("required", [])
    if not isinstance(properties, Mapping) or not isinstance(required, list):
        yield Problem(place, "properties is not a mapping, or required is not a list", "correct it")
        return
    for name in sorted(dialect.RESERVED_NAMES & properties.keys()):
        yield Problem(place, f"a field has the name {name!r}, which is reserved", "name it differently (an alias)")
    if not all(isinstance(name, str) and name in properties for name in required):
        yield Problem(place, "required names a field that properties does not", "add it to properties")
    if len({name for name in required if isinstance(name, str)}) < len(required):
        yield Problem(place, "required names a field twice", "name it once")
    if not isinstance(part.get("additionalProperties", True), bool | Mapping):
        yield Problem(place, "additionalProperties is neither true nor false nor a schema", "correct it")


def _of_whole(root: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a schema all of whose parts are right."""
    everything = [(path, part) for path, part in parts(root) if isinstance(part, Mapping)]
    yield from _of_sizes(root, everything)
    for name in root.get("$defs", ()):
        if not name or "/" in name:
            yield Problem("$defs", f"the name {name!r} is empty or has a slash", "rename it")
    for path, part in everything:
        if path[:1] == ("$defs",) and any("/" in name for name in part.get("properties", ())):
            yield Problem("/".join(path), "a field in $defs has a slash in its name", "name it differently (an alias)")
    if not can_end(root):
        yield Problem("", "it refers to itself without an end", "make the field that leads back optional or nullable")
    deepest = levels(root)
    if deepest is None:
        yield Problem("", "its references are too many to follow", "refer less often")
    elif deepest > dialect.MAX_LEVELS:
        yield Problem("", f"it has {deepest} levels of fields; {dialect.MAX_LEVELS} are allowed", "nest less")


def _of_sizes(root: Mapping[str, Any], everything: list[tuple[_Path, Mapping[str, Any]]]) -> Iterator[Problem]:
    properties = sum(len(part.get("properties", ())) for _, part in everything)
    if properties > dialect.MAX_PROPERTIES:
        yield Problem("", f"it has {properties} fields in all; {dialect.MAX_PROPERTIES} are allowed", "ask for fewer")
    values = sum(len(part.get("enum", ())) for _, part in everything)
    if values > dialect.MAX_ENUM_VALUES:
        yield Problem("", f"its enums have {values} values in all; {dialect.MAX_ENUM_VALUES} are allowed", "list fewer")
    size = len(json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    if size > dialect.MAX_BYTES:
        yield Problem("", f"it has {size:,} bytes; {dialect.MAX_BYTES:,} are allowed", "shorten its descriptions")
