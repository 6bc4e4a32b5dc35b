"""A text that fits a simple regular expression: literals, classes, groups, choices and repetitions."""

import random
import re
import string
from collections.abc import Iterator
from typing import Any

_CLASSES = {"digit": string.digits, "word": string.ascii_lowercase + string.digits, "space": " "}
_MOST_REPEATS = 4


def text_of_pattern(pattern: str, chance: random.Random) -> str | None:
    """Make a text; None for a pattern that is not simple."""
    try:
        parsed: Any = re._parser.parse(pattern)  # type: ignore[attr-defined]
        return "".join(_texts(parsed, chance))
    except (re.error, LookupError, AttributeError):
        return None


def _texts(parsed: Any, chance: random.Random) -> Iterator[str]:
    for kind, what in parsed:
        match str(kind):
            case "LITERAL":
                yield chr(what)
            case "ANY":
                yield chance.choice(string.ascii_lowercase)
            case "IN":
                yield chance.choice("".join(_members(what)))
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = what
                for _ in range(chance.randint(least, max(least, min(most, _MOST_REPEATS)))):
                    yield from _texts(inner, chance)
            case "SUBPATTERN":
                yield from _texts(what[-1], chance)
            case "BRANCH":
                yield from _texts(chance.choice(what[1]), chance)
            case "AT" | "ASSERT" | "ASSERT_NOT":
                continue
            case other:
                raise LookupError(other)


def _members(listed: Any) -> Iterator[str]:
    """The characters of a class; of one that excludes some, printable ones that are left."""
    (first, _), *rest = listed
    if str(first) == "NEGATE":
        yield from sorted(set(string.ascii_letters + string.digits) - set("".join(_members(rest))))
        return
    for kind, what in listed:
        match str(kind):
            case "LITERAL":
                yield chr(what)
            case "RANGE":
                yield from map(chr, range(what[0], min(what[1], what[0] + 100) + 1))
            case "CATEGORY":
                yield _CLASSES[str(what).rpartition("_")[2].lower()]
            case other:
                raise LookupError(other)
