"""What the references of a schema lead to: a definition, how deep it is, and whether its documents can end."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

_DEFINITIONS = "#/$defs/"


def resolved(root: Mapping[str, Any], reference: object) -> dict[str, Any] | None:
    """The schema that a reference names; None if there is none."""
    if reference == "#":
        return dict(root)
    if not isinstance(reference, str) or not reference.startswith(_DEFINITIONS):
        return None
    target: Any = root.get("$defs")
    for name in reference.removeprefix(_DEFINITIONS).split("/"):
        target = target.get(name) if isinstance(target, dict) else None
    return target if isinstance(target, dict) else None


def reference_problem(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    """Say why a `$ref` leads nowhere, or clashes with the definition that it names."""
    reference = schema["$ref"]
    if not isinstance(reference, str):
        return "$ref must be a string"
    if reference != "#" and not reference.startswith(_DEFINITIONS):
        return f"references must start with {_DEFINITIONS}"
    target = resolved(root, reference)
    if target is None:
        return f"invalid $ref path: {reference}"
    beside = schema.keys() - {"$ref"}
    if reference != "#" and (both := sorted(beside & _expanded(target, root).keys())):
        return f"conflicting keywords found after $ref expansion: {', '.join(both)}"
    return None


def _expanded(target: dict[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The definition, with what it names in turn as long as it is hardly more than a reference itself."""
    passed: dict[str, Any] = {}
    seen: list[object] = []
    while "$ref" in target and target["$ref"] not in seen and target.keys() <= {"$ref", "description", "title"}:
        seen.append(target["$ref"])
        passed |= {key: note for key, note in target.items() if key != "$ref"}
        target = resolved(root, target["$ref"]) or {}
    return passed | target


def levels(schema: object, root: Mapping[str, Any], most: int, opened: frozenset[str] = frozenset()) -> int:
    """How many objects a schema has inside of each other; a reference is followed once on each way.

    :param most: Deeper is not looked.
    """
    if not isinstance(schema, dict) or most <= 0:
        return 0
    deepest = 0
    properties = schema.get("properties")
    for part in properties.values() if isinstance(properties, dict) else ():
        deepest = max(deepest, 1 + levels(part, root, most - 1, opened))
    branches = schema.get("anyOf")
    for part in (schema.get("items"), schema.get("additionalProperties"), *(branches or ())):
        deepest = max(deepest, levels(part, root, most, opened))
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in opened:
        deepest = max(deepest, levels(resolved(root, reference), root, most, opened | {reference}))
    return deepest


def endless(root: Mapping[str, Any], references: Iterable[str]) -> set[str]:
    """The references whose documents cannot end, however they are written."""
    left = set(references)
    while ending := {name for name in left if _ends(resolved(root, name), left)}:
        left -= ending
    return left


def _ends(schema: object, left: Set[str]) -> bool:
    """Whether a document that fits can end without what is left."""
    if not isinstance(schema, dict):
        return True
    branches, kinds = schema.get("anyOf"), schema.get("type")
    if "$ref" in schema:
        return schema["$ref"] not in left
    if isinstance(branches, list) and not any(_ends(branch, left) for branch in branches):
        return False
    if isinstance(kinds, list) and not {"object", "array"}.issuperset(kinds):
        return True
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        return all(_ends(properties.get(name), left) for name in required)
    least = schema.get("minItems")
    return not (isinstance(least, int) and least > 0) or _ends(schema.get("items"), left)
