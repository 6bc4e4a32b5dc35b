"""What a description asks of a value in words, as a model reads it: rules that the platform's dialect does not have."""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"

#: Keywords of a JSON Schema -> the sentence that says one.
_SENTENCES: Mapping[str, re.Pattern[str]] = {
    "format": re.compile(r"Format: ([\w-]+)\."),
    "pattern": re.compile(
        r"Matches the regular expression (.+?)\.(?=$| (?:A multiple|No item|At least|At most) )", re.S
    ),
    "multipleOf": re.compile(rf"A multiple of {_NUMBER}\.(?=\s|$)"),
    "uniqueItems": re.compile(r"(No item) is repeated\."),
    "minProperties": re.compile(rf"At least {_NUMBER} fields\."),
    "minimum": re.compile(rf"At least {_NUMBER}\.(?=\s|$)"),
    "maximum": re.compile(rf"At most {_NUMBER}\.(?=\s|$)"),
    "exclusiveMinimum": re.compile(rf"More than {_NUMBER}\.(?=\s|$)"),
    "exclusiveMaximum": re.compile(rf"Less than {_NUMBER}\.(?=\s|$)"),
}
_ORDER = re.compile(r"Items in this order: ([^.]+)\.")
_TEXTS = ("format", "pattern", "uniqueItems")


def described(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with the rules that its description names."""
    text = schema.get("description")
    if not isinstance(text, str):
        return dict(schema)
    found = {keyword: sentence.search(text) for keyword, sentence in _SENTENCES.items()}
    rules = {key: match[1] if key in _TEXTS else _number(match[1]) for key, match in found.items() if match}
    return rules | _places(schema, text) | dict(schema)


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _places(schema: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The schemas of the first items of an array, by what they are called."""
    order, items = _ORDER.search(text), schema.get("items")
    branches = items.get("anyOf") if isinstance(items, Mapping) else None
    if order is None or not isinstance(branches, list):
        return {}
    names = [_names(branch) for branch in branches]
    labels = order[1].split(", ")
    places = [next((number for number, known in enumerate(names) if label in known), 0) for label in labels]
    return {"prefixItems": [branches[place] for place in places]}


def _names(branch: Any) -> tuple[str, ...]:
    kind = "one of several types" if branch.keys() & {"anyOf", "enum"} else str(branch.get("type"))
    return (str(branch.get("title")), str(branch.get("$ref")).rsplit("/", 1)[-1], str(branch.get("type")), kind)
