"""A value that fits a JSON Schema, as a model gives one that was asked for it; the same seed gives the same value."""

import hashlib
import math
import random
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from airflow_provider_kimi.simulator.described import described
from airflow_provider_kimi.simulator.patterns import text_of_pattern

#: Picks one of several words, as the text of the row suggests.
Pick = Callable[[list[str]], str]

#: Levels of a schema that refers to itself, and values in all, beyond which nothing is given that may be left out.
_MAX_DEPTH = 6
_MAX_VALUES = 200
_MAX_REQUIRED_DEPTH = 40
_MAX_TRIES = 20
_WORDS = ("alpha", "bravo", "delta", "ember", "frost", "grove", "harbor", "island", "juniper", "kernel", "lumen")


def value_for(schema: Any, text: str, pick: Pick) -> Any:
    """Make a value that fits a schema; an empty object for what is not a schema.

    :param text: What the value is about; it decides the value.
    """
    try:
        return _Maker(schema, text, pick).make(schema, 0)
    except (AttributeError, LookupError, TypeError, ValueError):
        return {}


class _Maker:
    def __init__(self, root: Any, text: str, pick: Pick) -> None:
        self._root, self._pick = root, pick
        self._random = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
        self._made = 0

    def make(self, schema: Any, depth: int) -> Any:
        """A value for one part of the schema."""
        self._made += 1
        schema = self._plain(schema, depth)
        if depth > _MAX_REQUIRED_DEPTH:
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._one_of(schema["enum"])
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
        return self._text(schema)

    def _plain(self, schema: Any, depth: int) -> dict[str, Any]:
        """A part of the schema with references, unions and intersections resolved."""
        plain = described(schema) if isinstance(schema, Mapping) else {}
        for _ in range(_MAX_TRIES):
            if isinstance(ref := plain.pop("$ref", None), str):
                plain = {**described(self._target(ref)), **plain}
            elif branches := plain.pop("anyOf", None) or plain.pop("oneOf", None):
                plain = _both(plain, described(_branch(branches, last=self._is_enough(depth))))
            elif parts := plain.pop("allOf", None):
                for part in parts:
                    plain = _both(plain, self._plain(part, depth))
            else:
                break
        return plain

    def _is_enough(self, depth: int) -> bool:
        return depth > _MAX_DEPTH or self._made > _MAX_VALUES

    def _target(self, ref: str) -> Mapping[str, Any]:
        found = self._root
        for part in unquote(ref).lstrip("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found.get(key, {})
        return found if isinstance(found, Mapping) else {}

    def _one_of(self, values: list[Any]) -> Any:
        if all(isinstance(value, str) for value in values):
            return self._pick(values)
        return self._random.choice(values)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        names = [name for name in properties if name in required or not self._is_enough(depth)]
        value = {name: self.make(properties[name], depth + 1) for name in names}
        others = [name for name in required if name not in properties]
        others += [f"key_{number}" for number in range(schema.get("minProperties", 0) - len(value) - len(others))]
        more = schema.get("additionalProperties")
        return value | {name: self.make(more if isinstance(more, Mapping) else {}, depth + 1) for name in others}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        wanted = max(least, min(not self._is_enough(depth), schema.get("maxItems", 1)))
        first, rest = schema.get("prefixItems") or (), schema.get("items", {})
        wanted = max(wanted, min(len(first), schema.get("maxItems", len(first))))
        values: list[Any] = []
        for _ in range(wanted * _MAX_TRIES):
            if len(values) == wanted:
                break
            part = first[len(values)] if len(values) < len(first) else rest
            value = self.make(part, depth + 1)
            if schema.get("uniqueItems") and value in values:
                value = self._another(part, values, depth)
            values.append(value)
        return values

    def _another(self, schema: Any, values: list[Any], depth: int) -> Any:
        """A value that is not among others, if there is one."""
        listed = self._plain(schema, depth).get("enum") or ()
        tried = (*listed, *(self.make(schema, depth + 1) for _ in range(_MAX_TRIES)))
        return next((value for value in tried if value not in values), tried[-1])

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        step = schema.get("multipleOf") or (1 if whole else 0.01)
        low, high = _bounds(schema, step)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        value = self._random.randint(first, max(first, last)) * step
        if whole:
            return int(value)
        value = round(value, 6)
        return value if low <= value <= high else (low + high) / 2

    def _text(self, schema: Mapping[str, Any]) -> str:
        number = self._random.randrange(1, 1 << 16)
        if made := _FORMATS.get(schema.get("format", "")):
            return made(number)
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1 << 16)
        if pattern := schema.get("pattern"):
            for _ in range(_MAX_TRIES):
                text = text_of_pattern(pattern, self._random)
                if text is not None and re.search(pattern, text) and least <= len(text) <= most:
                    return text
        text = f"{self._random.choice(_WORDS)} {number}"
        text += " " + " ".join(_WORDS) * (least // 60 + 1) if len(text) < least else ""
        return text[:most] if least < len(text) <= most else text[: max(least, min(most, 40))]


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        guesses = {"properties": "object", "required": "object", "items": "array", "prefixItems": "array"}
        guesses |= {"minimum": "number", "maximum": "number"}
        kind = next((guess for key, guess in guesses.items() if key in schema), "string")
    return str(kind)


def _branch(branches: list[Any], *, last: bool) -> Mapping[str, Any]:
    """The first branch; far inside a schema the first that does not lead on."""
    ends = [one for one in branches if isinstance(one, Mapping) and not {"$ref", "properties", "items"} & one.keys()]
    chosen = ends[0] if last and ends else branches[0]
    return chosen if isinstance(chosen, Mapping) else {}


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two schemas that both have to be fitted."""
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *other["required"]]
    return both


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    """The least and the largest number, both included."""
    lows = [schema["minimum"]] if _is_number(schema, "minimum") else []
    highs = [schema["maximum"]] if _is_number(schema, "maximum") else []
    lows += [schema["exclusiveMinimum"] + step] if _is_number(schema, "exclusiveMinimum") else []
    highs += [schema["exclusiveMaximum"] - step] if _is_number(schema, "exclusiveMaximum") else []
    low = max(lows, default=min(0, min(highs, default=0) - 10 * step))
    return low, min(highs, default=low + 100 * max(step, 1))


def _is_number(schema: Mapping[str, Any], key: str) -> bool:
    return isinstance(schema.get(key), int | float) and not isinstance(schema[key], bool)


def _uuid(number: int) -> str:
    digits = hashlib.sha256(str(number).encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def _date(number: int) -> str:
    return f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}"


_FORMATS: Mapping[str, Callable[[int], str]] = {
    "date": _date,
    "date-time": lambda number: f"{_date(number)}T{number % 24:02}:{number % 60:02}:00Z",
    "time": lambda number: f"{number % 24:02}:{number % 60:02}:00Z",
    "duration": lambda number: f"P{number % 30 + 1}D",
    "email": lambda number: f"user{number}@example.com",
    "uuid": _uuid,
    "uri": lambda number: f"https://example.com/{number}",
    "ipv4": lambda number: f"10.0.{number // 256}.{number % 256}",
    "ipv6": lambda number: f"2001:db8::{number:x}",
    "hostname": lambda number: f"host{number}.example.com",
}
