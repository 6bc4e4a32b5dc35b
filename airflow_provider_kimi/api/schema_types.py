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
    texts = [value for value in values if isinstance(value, str)]
    flags = [value for value in values if isinstance(value, bool)]
    numbers = [value for value in values if is_a(value, "number")]
    are_whole = all(is_a(value, "integer") for value in numbers) and (kinds is None or "number" not in kinds)
    number = "integer" if are_whole else "number"
    found = []
    for kind, listed in (("string", texts), (number, numbers), ("boolean", flags)):
        if kinds is not None and kind == "number" and "number" not in kinds:
            kind, listed = "integer", [value for value in listed if is_a(value, "integer")]
        if listed and (kinds is None or kind in kinds):
            shown = list(map(_whole, listed)) if kind == "integer" else listed
            beside = {"default": default} if is_a(default, kind) and default in shown else {}
            found.append({"type": kind, "enum": shown, **beside})
    if None in values and (kinds is None or "null" in kinds):
        found.append({"type": "null"})
    return found


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
        if keyword in beside and keyword in plain and plain[keyword] not in (False, None):
            yield text.format(_shown(plain[keyword]))
    written: _Part = {bound: 0 for pair in COUNT_BOUNDS for bound in pair} if kinds else {}
    for kind in ("integer", "number"):
        if kinds and kind in kinds:
            written |= _number_bounds(kind, plain)
            if kind == "integer":
                written |= {f"exclusive{bound.capitalize()}": 0 for bound in NUMBER_BOUNDS if bound in written}
    for keyword, text in BOUNDS_IN_WORDS.items():
        value = plain.get(keyword)
        if keyword in beside and is_a(value, "number") and written.get(keyword) is None:
            yield text.format(_shown(value))
    if "array" in (kinds or ()) and (firsts := _firsts(plain)) and any(first != firsts[0] for first in firsts):
        yield f"Items in this order: {', '.join(map(_label, firsts))}."


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
    found: _Part = {}
    for bound, sign in zip(NUMBER_BOUNDS, (1, -1), strict=True):
        outer = f"exclusive{bound.capitalize()}"
        given: Any = plain.get(bound)
        beyond: Any = plain.get(outer)
        if beyond is True:  # as JSON Schema had it up to draft 4
            given, beyond = None, given
        candidates: list[Any] = [value for value in (given, beyond) if is_a(value, "number") and math.isfinite(value)]
        if kind == "integer":
            candidates = [sign * math.ceil(sign * value) for value in candidates]
            if is_a(beyond, "integer"):
                candidates[-1] += sign
        if candidates and is_in_range(tightest := sign * max(sign * value for value in candidates)):
            found[bound] = tightest
    return found


def _object(plain: Mapping[str, Any], write: Write, path: _Path) -> _Part:
    part: _Part = {keyword: plain[keyword] for keyword in ("properties", "required") if keyword in plain}
    others = plain.get("additionalProperties")
    if isinstance(others, Mapping) and others:
        part["additionalProperties"] = write(others, (*path, "additionalProperties"))
    elif others is not None:
        part["additionalProperties"] = others
    properties, required = part.get("properties", {}), part.get("required", [])
    if isinstance(properties, Mapping) and isinstance(required, list):
        written = {name: write(inner, (*path, "properties", str(name))) for name, inner in properties.items()}
        unnamed = {} if others is False else {name: write(others or True, path) for name in ordered(required)}
        if part.keys() & {"properties", "required"}:
            part["properties"] = {**written, **{name: unnamed[name] for name in unnamed if name not in written}}
        if "required" in part:
            part["required"] = ordered(required)
    return part


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
