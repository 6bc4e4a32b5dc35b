"""JSON in an answer: the whole text, a block between fences, or on lines of its own."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

#: A fenced block, which models put around JSON.
FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_BRACKET_OR_TEXT = re.compile(r'[{}\[\]]|"(?:[^"\\]|\\.)*"', re.DOTALL)

#: What may stand beside JSON on its line: tags, the marks of a fence, and what is no word.
_TAG = re.compile(r"<[^<>]{0,60}>|```\w*")
_WORD = re.compile(r"[^\W\d_]")

#: As many digits as every float keeps.
_FLOAT_DIGITS = 15

#: How many places in a text are tried as the beginning of JSON.
MAX_OPENINGS = 20


class SchemaMismatch(ValueError):
    """An answer is not what the schema wants; the text says where and why, without repeating the answer."""


class LongNumber(float):
    """A number that may have more digits than a float; it keeps its text."""

    text: str


#: Returns the value of JSON that fits, or raises a SchemaMismatch.
Check = Callable[[Any], Any]


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    if abs(value := float(text)) == float("inf"):
        raise ValueError("a number is too large")
    if len(text) > _FLOAT_DIGITS:
        value = LongNumber(value)
        value.text = text
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs) and any(value[name] != said for name, said in pairs):
        raise ValueError("a name has two values")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refused, object_pairs_hook=_object)


def only_sound(check: Check, text: str) -> Any:
    """The value of the whole text or of a fenced block, or else the only value on lines of its own that passes."""
    faults: list[SchemaMismatch] = []
    for candidates in (whole(text), _on_lines(text, faults)):
        sound = list(_passing(candidates, check, faults))
        if len(sound) == 1:
            return sound[0]
        if sound:
            raise SchemaMismatch("the answer holds several values that fit, and they differ")
    raise faults[0] if faults else SchemaMismatch("the answer holds no JSON")


def whole(text: str) -> Iterator[Any]:
    """The value of a text that is JSON, or else the values of its fenced blocks."""
    for part in (text, *FENCE.findall(text)):
        try:
            yield _DECODER.decode(part.strip())
        except (ValueError, RecursionError):
            continue
        if part is text:
            return


def _passing(candidates: Iterable[Any], check: Check, faults: list[SchemaMismatch]) -> Iterator[Any]:
    """The values that pass, each once; the faults of the others are added to `faults`."""
    passed: list[Any] = []
    for value in candidates:
        try:
            checked = check(value)
        except SchemaMismatch as error:
            faults.append(error)
        except RecursionError:
            faults.append(SchemaMismatch("the answer is nested too deeply"))
        else:
            if checked not in passed:
                passed.append(checked)
                yield checked


def _on_lines(text: str, faults: list[SchemaMismatch]) -> Iterator[Any]:
    """JSON objects and arrays that are in no sentence; what is inside a broken one is not an answer."""
    end = tries = 0
    while tries < MAX_OPENINGS and (opening := _OPENING.search(text, end)):
        tries += 1
        before = text[end : opening.start()]
        try:
            value, end = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            if (end := _end_of_broken(text, opening.start())) < 0:
                return
        else:
            if _is_apart(before, _OPENING.split(text[end:], maxsplit=1)[0]):
                yield value
            else:
                faults.append(SchemaMismatch("the answer holds JSON only beside other words"))


def _is_apart(before: str, behind: str) -> bool:
    """Whether JSON stands in no sentence: what is beside it on its lines is no word, or introduces it with a colon."""
    before, behind = before.rpartition("\n")[2].rstrip(), behind.partition("\n")[0]
    beside = behind if before.endswith((":", "：")) else f"{before} {behind}"
    return not _WORD.search(_TAG.sub("", beside))


def _end_of_broken(text: str, start: int) -> int:
    """Where the bracket that opens at a place is closed, brackets in texts ignored; -1 if it is not."""
    depth = 0
    for piece in _BRACKET_OR_TEXT.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(piece[0], 0)
        if not depth:
            return piece.end()
    return -1
