"""Moonshot's dialect of JSON Schema: which schemas the platform refuses, and in what words.

Two levels of the vendor's validator (repository MoonshotAI/walle, as of June 2026). `ultra` is its default, and its
documentation. `strict` is what it lets pass besides: keywords that it does not know, a missing type, a default beside
`anyOf`, odd bounds; its sizes are larger. Refusals of both levels are in public reports. Versions from September 2026
on refuse less than `strict` does. Other than theirs, a recursion may end in an empty array, as it may in those.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_kimi.simulator import schema_keywords
from airflow_provider_kimi.simulator.schema_references import ends, levels, resolved

SchemaLevel = Literal["off", "strict", "ultra"]


@dataclass(frozen=True)
class _Sizes:
    """How large a schema may be.

    :param levels: Most objects inside of each other.
    :param properties: Most properties of all objects together.
    :param branches: Most branches of one `anyOf`.
    :param values: Most values of one `enum`, or of all together.
    """

    levels: int
    properties: int
    branches: int
    values: int = 500
    schema_bytes: int = 15_000


_SIZES = {"strict": _Sizes(10, 1000, 100), "ultra": _Sizes(5, 100, 10)}


def schema_problem(schema: object, level: SchemaLevel) -> str | None:
    """Say where and why a schema is refused; None if it is not."""
    if level == "off" or schema == {}:
        return None
    if not isinstance(schema, dict):
        return "<At path 'root': input schema must be an object>"
    found = next(_problems(schema, _SIZES[level], is_ultra=level == "ultra"), None)
    return None if found is None else f"<At path '{found[0]}': {found[1]}>"


def _problems(root: dict[str, Any], sizes: _Sizes, *, is_ultra: bool) -> Iterator[tuple[str, str]]:
    if len(json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")) > sizes.schema_bytes:
        yield "root", "schema exceeds maximum allowed size"
    schemas = list(_subschemas(root))
    for path, schema in schemas:
        if schema or not path.endswith("additionalProperties"):
            found = schema_keywords.problems(schema, root, is_root=path == "root", is_ultra=is_ultra)
            yield from ((path, detail) for detail in found)
    yield from _too_many(schemas, sizes, is_ultra=is_ultra)
    if levels(root, root, sizes.levels + 1) > sizes.levels:
        yield "root", f"schema depth exceeds maximum limit of {sizes.levels}"
    for path, schema in schemas:
        if "$ref" in schema and not ends(resolved(root, schema["$ref"]), root, frozenset()):
            yield path, "detected infinite recursion without termination condition"


def _too_many(
    schemas: Iterable[tuple[str, dict[str, Any]]], sizes: _Sizes, *, is_ultra: bool
) -> Iterator[tuple[str, str]]:
    properties = values = 0
    for path, schema in schemas:
        if len(schema.get("anyOf", ())) > sizes.branches:
            yield path, f"anyOf must have 1-{sizes.branches} items"
        properties += len(schema.get("properties", ()))
        values = len(schema.get("enum", ())) + (values if is_ultra else 0)
        if properties > sizes.properties:
            yield path, f"total number of properties keys({properties}) exceeds maximum limit of {sizes.properties}"
        if values > sizes.values:
            yield path, f"enum array cannot have more than {sizes.values} items"


def _subschemas(root: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and each one inside of it, from the outside in, with its path."""
    waiting: list[tuple[str, Any]] = [("root", root)]
    while waiting:
        path, schema = waiting.pop(0)
        if isinstance(schema, dict):
            yield path, schema
            inside = [] if path == "root" else [path]
            waiting += [(".".join([*inside, *place]), part) for place, part in _parts(schema)]


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key in ("$defs", "properties"):
        named = schema.get(key)
        if isinstance(named, dict):
            yield from (((key, name), part) for name, part in named.items())
    for key in ("items", "additionalProperties"):
        yield (key,), schema.get(key)
    branches = schema.get("anyOf")
    for number, branch in enumerate(branches if isinstance(branches, list) else ()):
        yield (f"anyOf{{{number}}}",), branch
