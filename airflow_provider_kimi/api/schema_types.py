"""What a schema says of values of one type, as Kimi's dialect says it."""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_kimi.api.schema_check import is_a, is_in_range
from airflow_provider_kimi.api.schema_dialect import (
    BOUNDS_IN_WORDS,
    COUNT_BOUNDS,
    MAX_BRANCHES,
    NARROWING,
    NUMBER_BOUNDS,
    SCALARS,
)

_Path = tuple[str, ...]
_Part = dict[str, Any]

_EXCLUSIVE = {bound: f"exclusive{bound.capitalize()}" for bound in NUMBER_BOUNDS}

#: Writes a part of a schema.
Write = Callable[[object, _Path], _Part]


def of_kind(kind: Any, plain: Mapping[str, Any], write: Write, path: _Path) -> _Part:
    """Write what a schema says of values of one type."""
    part: _Part = {"type": kind}
    if kind in ("integer", "number"):
        part |= _number_bounds(kind, plain)
    if kind == "object":
        part |= _object(plain, write, path)
    if kind in ("array", "string"):
        pair = COUNT_BOUNDS[kind == "array"]
        part |= {bound: _whole(plain[bound]) for bound in pair if bound in plain}
    if kind == "array":
        part |= _array(plain, write, path)
    if kind in SCALARS and "default" in plain and _may_be_default(plain["default"], kind):
        part["default"] = plain["default"]
    return part


def of_values(values: Sequence[Any], kinds: Collection[Any] | None, default: object) -> list[_Part]:
    """Write an enum: one for each type of its values."""
    are_whole = all(is_a(value, "integer") for value in values if is_a(value, "number"))
    number = "integer" if (are_whole if kinds is None else "number" not in kinds) else "number"
    possible = [kind for kind in ("string", number, "boolean", "null") if kinds is None or kind in kinds]
    listed = {kind: [value for value in values if is_a(value, kind)] for kind in possible}
    return [_listed(kind, fitting, default) for kind, fitting in listed.items() if fitting]


def _listed(kind: str, values: Sequence[Any], default: object) -> _Part:
    if kind == "null":
        return {"type": kind}
    part = {"type": kind, "enum": list(map(_whole, values)) if kind == "integer" else values}
    return {**part, "default": default} if is_a(default, kind) and default in values else part


def one_of(branches: Iterable[_Part]) -> _Part:
    """Let one of some schemas fit; more than may stand beside each other stand in groups."""
    different: list[_Part] = []
    for branch in branches:
        if branch not in different:
            different.append(branch)
    if len(different) == 1:
        return different[0]
    while len(different) > MAX_BRANCHES:
        groups = range(0, len(different), MAX_BRANCHES)
        different = [{"anyOf": different[first : first + MAX_BRANCHES]} for first in groups]
    return {"anyOf": different}


def words_of(plain: Mapping[str, Any], beside: Collection[str], kinds: Collection[Any] | None = None) -> Iterator[str]:
    """Say what a schema says and the dialect does not.

    :param beside: The keywords that mean something there.
    :param kinds: The types that it has, whose bounds are written; None where no bounds are.
    """
    for keyword, text in NARROWING.items():
        if keyword in beside and plain.get(keyword) not in (False, None):
            yield text.format(_shown(plain[keyword]))
    written = _written_bounds(plain, kinds or ())
    for keyword, text in BOUNDS_IN_WORDS.items():
        if keyword in beside and keyword not in written and is_a(plain.get(keyword), "number"):
            yield text.format(_shown(plain[keyword]))
    firsts = _firsts(plain) if "array" in (kinds or ()) else []
    if any(first != firsts[0] for first in firsts):
        yield f"Items in this order: {', '.join(map(_label, firsts))}."


def _written_bounds(plain: Mapping[str, Any], kinds: Collection[Any]) -> set[str]:
    """The bounds that need no words."""
    written = {bound for pair in COUNT_BOUNDS for bound in pair} if kinds else set()
    if "number" in kinds:
        return written | _number_bounds("number", plain).keys()
    whole = _number_bounds("integer", plain) if "integer" in kinds else {}
    return written | whole.keys() | {_EXCLUSIVE[bound] for bound in whole}


def ordered(*lists: Iterable[Any]) -> list[Any]:
    """All values of some lists, each once."""
    return list(dict.fromkeys(value for values in lists for value in values if isinstance(value, str)))


def _may_be_default(value: object, kind: str) -> bool:
    return is_a(value, kind) and not (is_a(value, "number") and not is_in_range(value))  # type: ignore[arg-type]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _whole(value: Any) -> Any:
    return int(value) if is_a(value, "integer") else value


def _number_bounds(kind: str, plain: Mapping[str, Any]) -> _Part:
    """The bounds of a number. Those of a whole number are exact; one that cannot be written is left out."""
    found = {bound: _number_bound(kind, bound, plain) for bound in NUMBER_BOUNDS}
    return {bound: value for bound, value in found.items() if value is not None and is_in_range(value)}


def _number_bound(kind: str, bound: str, plain: Mapping[str, Any]) -> Any:
    """The tightest value of a bound; None if there is none."""
    sign = 1 if bound == NUMBER_BOUNDS[0] else -1
    given: Any = plain.get(bound)
    beyond: Any = plain.get(_EXCLUSIVE[bound])
    if beyond is True:  # as JSON Schema had it up to draft 4
        given, beyond = None, given
    values: list[Any] = [value for value in (given, beyond) if is_a(value, "number") and math.isfinite(value)]
    if kind == "integer":
        values = [sign * math.ceil(sign * value) for value in values]
        if is_a(beyond, "integer"):
            values[-1] += sign
    return sign * max(sign * value for value in values) if values else None


def _object(plain: Mapping[str, Any], write: Write, path: _Path) -> _Part:
    part: _Part = {keyword: plain[keyword] for keyword in ("properties", "required") if keyword in plain}
    if isinstance(part.get("properties", {}), Mapping) and isinstance(part.get("required", []), list):
        part = _fields(plain, write, path)
    others = plain.get("additionalProperties")
    if isinstance(others, Mapping) and others:
        others = write(others, (*path, "additionalProperties"))
    return part if others is None else {**part, "additionalProperties": others}


def _fields(plain: Mapping[str, Any], write: Write, path: _Path) -> _Part:
    """The fields of an object, with those that are required and not declared."""
    others, required = plain.get("additionalProperties"), ordered(plain.get("required", []))
    declared = {
        name: write(inner, (*path, "properties", str(name))) for name, inner in plain.get("properties", {}).items()
    }
    if others is not False:
        declared |= {name: write(others or True, path) for name in required if name not in declared}
    part: _Part = {"properties": declared} if declared or "properties" in plain else {}
    return {**part, "required": required} if "required" in plain else part


def _firsts(plain: Mapping[str, Any]) -> list[Any]:
    """The schemas of the first items of an array, which have a place each."""
    listed = plain.get("items") if isinstance(plain.get("items"), list) else plain.get("prefixItems")
    return listed if isinstance(listed, list) else []


def _array(plain: Mapping[str, Any], write: Write, path: _Path) -> _Part:
    """Write what the items of an array are; where each place has its own schema, each item fits one of these."""
    listed = _firsts(plain)
    rest = plain.get("items") if not isinstance(plain.get("items"), list) else plain.get("additionalItems")
    if not listed:
        is_told = rest not in (None, True, {})
        return {"items": write(rest, (*path, "items"))} if is_told else {}
    items = [write(item, (*path, "prefixItems", str(number))) for number, item in enumerate(listed)]
    most: Any = plain.get("maxItems")
    if rest is False:
        most = min(len(items), most) if is_a(most, "integer") else len(items)
    if not (is_a(most, "integer") and most <= len(items)):
        items.append(write(True if rest is None else rest, (*path, "items")))
    part = one_of(items)
    return {"items": part, **({} if most is None else {"maxItems": _whole(most)})}


def _label(first: object) -> str:
    """Name what an item is."""
    if not isinstance(first, Mapping):
        return "anything"
    for keyword in ("title", "$ref", "type"):
        if isinstance(first.get(keyword), str):
            return str(first[keyword]).rsplit("/", 1)[-1]
    return "one of several types" if first.keys() & {"anyOf", "oneOf", "enum"} else "anything"
