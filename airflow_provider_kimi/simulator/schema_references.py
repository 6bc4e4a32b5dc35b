"""What the references of a schema lead to: a definition, how deep it is, and whether its documents can end."""

from collections.abc import Mapping
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


def ends(schema: object, root: Mapping[str, Any], opened: frozenset[str]) -> bool:
    """Whether a document that fits can end.

    :param opened: References on the way here, which cannot be what ends it.
    """
    if not isinstance(schema, dict):
        return True
    reference, branches = schema.get("$ref"), schema.get("anyOf")
    if isinstance(reference, str):
        return reference not in opened and ends(resolved(root, reference), root, opened | {reference})
    if isinstance(branches, list) and not any(ends(branch, root, opened) for branch in branches):
        return False
    kinds = schema.get("type")
    if isinstance(kinds, list) and any(kind not in ("object", "array") for kind in kinds):
        return True
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        return all(ends(properties.get(name), root, opened) for name in required)
    least = schema.get("minItems")
    return not (isinstance(least, int) and least > 0) or ends(schema.get("items"), root, opened)
