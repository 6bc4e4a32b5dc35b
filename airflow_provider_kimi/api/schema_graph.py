"""How the parts of a schema hang together: what holds what, how deep, and whether an answer can come to an end."""

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_kimi.api.schema_dialect import ANNOTATIONS, MAX_STEPS

_Path = tuple[str, ...]
_Schema = Mapping[str, Any]


def parts(schema: object, path: _Path = ()) -> Iterator[tuple[_Path, object]]:
    """Yield a schema and all schemas in it, each with its path."""
    yield path, schema
    if isinstance(schema, Mapping):
        for inner, part in _inner(schema):
            yield from parts(part, (*path, *inner))


def _inner(schema: _Schema) -> Iterator[tuple[_Path, object]]:
    for keyword in ("$defs", "properties"):
        if isinstance(named := schema.get(keyword), Mapping):
            yield from (((keyword, str(name)), part) for name, part in named.items())
    if isinstance(branches := schema.get("anyOf"), list):
        yield from ((("anyOf", str(number)), part) for number, part in enumerate(branches))
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), Mapping):
            yield (keyword,), schema[keyword]


def _target(root: _Schema, ref: str) -> _Schema:
    found: _Schema = root if ref == "#" else root["$defs"][ref.removeprefix("#/$defs/")]
    return found


def keywords_of(root: _Schema, ref: str) -> set[str]:
    """The keywords of a definition, and of those that it leads to where it only refers to them."""
    found: set[str] = set()
    followed: set[object] = set()
    while ref != "#" and ref not in followed:
        followed.add(ref)
        target = root["$defs"].get(ref.removeprefix("#/$defs/"))
        if not isinstance(target, Mapping):
            break
        found |= target.keys()
        if target.keys() - ANNOTATIONS != {"$ref"}:
            break
        ref = target["$ref"]
    return found


def can_end(root: _Schema) -> bool:
    """Whether some finite answer fits each definition that a schema refers to, whose parts are right."""
    waiting = {"#": root, **{f"#/$defs/{name}": part for name, part in root.get("$defs", {}).items()}}
    ending: set[str] = set()
    while found := {ref for ref, part in waiting.items() if _ends(part, ending)}:
        ending |= found
        for ref in found:
            del waiting[ref]
    return "#" in ending and all(part.get("$ref", "#") in ending for _, part in parts(root))  # type: ignore[attr-defined]


def _ends(part: _Schema, ending: set[str]) -> bool:
    if "$ref" in part:
        return part["$ref"] in ending
    if "anyOf" in part:
        return any(_ends(branch, ending) for branch in part["anyOf"])
    if part.get("type") in ("object", ["object"]):
        return all(_ends(part["properties"][name], ending) for name in part.get("required", ()))
    if part.get("type") in ("array", ["array"]) and part.get("minItems", 0) > 0:
        return _ends(part.get("items", {}), ending)
    return True


def levels(root: _Schema) -> int | None:
    """How many fields are nested in each other; a definition that leads back to itself counts once more.

    None if too many parts would have to be looked at.
    """
    try:
        return _Levels(root).most
    except _TooManyError:
        return None


class _TooManyError(Exception):
    pass


class _Levels:
    def __init__(self, root: _Schema) -> None:
        self._root = root
        self._steps = 0
        self._of_refs: dict[str, int] = {}
        self.most = max(self._of(part, None) for part in (root, *root.get("$defs", {}).values()))

    def _of(self, part: _Schema, within: frozenset[str] | None) -> int:
        """Count the levels of a part.

        :param within: The references that were followed to it; None where none was.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _TooManyError
        if (ref := part.get("$ref")) is not None:
            return self._of_ref(ref, within)
        below = 0
        for inner, inside in _inner(part):
            if inner[0] != "$defs" and isinstance(inside, Mapping):
                below = max(below, self._of(inside, within) + (inner[0] == "properties"))
        return below

    def _of_ref(self, ref: str, within: frozenset[str] | None) -> int:
        target = _target(self._root, ref)
        if within is not None:
            return 0 if ref in within else self._of(target, within | {ref})
        if ref not in self._of_refs:
            self._of_refs[ref] = self._of(target, frozenset())
        return self._of_refs[ref]
