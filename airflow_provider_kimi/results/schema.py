"""What an answer must be: one of several labels, or JSON of a schema. Read leniently, checked strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

#: A fenced block, which models put around JSON.
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_BRACKET_OR_TEXT = re.compile(r'[{}\[\]]|"(?:[^"\\]|\\.)*"', re.DOTALL)

#: How many places in a text are tried as the beginning of JSON.
MAX_OPENINGS = 20

#: Characters that models put around a label.
_AROUND_LABELS = " \t\r\n\"'`*“”‘’「」.。!！"


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs) and any(value[name] != said for name, said in pairs):
        raise ValueError("a name has two values")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refused, object_pairs_hook=_object)


class SchemaMismatch(ValueError):
    """An answer is not what the schema wants; the text says why, without repeating the answer."""


@dataclass(frozen=True)
class AnswerSchema:
    """What every answer must be.

    :param json_schema: The schema that the platform can be asked to follow; None if there is none.
    """

    read: Callable[[str], Any]
    json_schema: Mapping[str, Any] | None = None

    @property
    def response_format(self) -> dict[str, Any] | None:
        """What to send with a request; None if it does not help: the platform returns arrays unreliably."""
        if self.json_schema is None or self.json_schema.get("type") == "array":
            return None
        name = re.sub(r"[^A-Za-z0-9_-]", "_", str(self.json_schema.get("title") or "answer"))[:64]
        return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": dict(self.json_schema)}}


def read_schema(given: Any) -> AnswerSchema | None:
    """Read a list of labels, a JSON Schema, or a Pydantic model; refuse anything else."""
    if given is None:
        return None
    if isinstance(given, list | tuple):
        return AnswerSchema(_labels(given))
    if isinstance(given, Mapping):
        return AnswerSchema(partial(_only_sound, _json_schema_check(given)), given)
    if isinstance(given, type) and hasattr(given, "model_validate"):
        model: Any = given
        return AnswerSchema(partial(_only_sound, _model_check(model)), model.model_json_schema())
    raise ValueError(
        f"output_schema is a {type(given).__name__}; it must be a list of labels, a JSON Schema or a Pydantic model"
    )


def _labels(labels: Sequence[Any]) -> Callable[[str], Any]:
    if not labels or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError(
            f"output_schema is {labels!r:.200}; it must be a list of labels, which are texts that are not blank"
        )
    alike: dict[str, set[str]] = {}
    for label in labels:
        alike.setdefault(_plain(label), set()).add(label)

    def read(text: str) -> str:
        found: set[str] = set()
        for candidate in _label_candidates(text):
            known = alike.get(_plain(candidate), set())
            found |= known & {candidate} or (known if len(known) == 1 else set())
        if len(found) > 1:
            raise SchemaMismatch("the answer holds several labels")
        if not found:
            raise SchemaMismatch("the answer is none of the labels")
        return found.pop()

    return read


def _plain(label: str) -> str:
    return label.strip(_AROUND_LABELS).casefold()


def _label_candidates(text: str) -> Iterator[str]:
    """A label may come alone, in a fence, or as the only value of a JSON object."""
    yield text.strip()
    for value in (*_whole(text), *_among_words(text)):
        if isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
        if isinstance(value, str):
            yield value
    yield from (block.strip() for block in _FENCE.findall(text))


def _json_schema_check(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    from jsonschema.exceptions import SchemaError, best_match  # type: ignore[import-untyped]
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]

    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"output_schema is not a JSON Schema: {error.message}") from None
    validator = kind(schema)

    def check(value: Any) -> Any:
        try:
            error = best_match(validator.iter_errors(value))
        except RecursionError:
            raise
        except Exception as fault:  # a broken reference or pattern
            raise SchemaMismatch(f"output_schema raises {type(fault).__name__} for the answer") from None
        if error is not None:
            rule = "/".join(map(str, error.absolute_schema_path))
            raise SchemaMismatch(f"the answer breaks the rule {rule} of output_schema")
        return value

    return check


def _model_check(model: Any) -> Callable[[Any], Any]:
    from pydantic import ValidationError

    def check(value: Any) -> Any:
        try:
            return model.model_validate(value).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False, include_url=False)[0]
            # Keys further in may come from the answer.
            place = next((str(part) for part in first["loc"][:1] if part in model.model_fields), "the whole")
            raise SchemaMismatch(f"the answer does not fit {model.__name__}: {place}: {first['type']}") from None
        except Exception as error:  # of a validator of the user
            raise SchemaMismatch(f"{model.__name__} raises {type(error).__name__} for the answer") from None

    return check


def _only_sound(check: Callable[[Any], Any], text: str) -> Any:
    """The value of the whole text or of a fenced block, or else the only value among other words that passes."""
    faults: list[SchemaMismatch] = []
    for candidates in (_whole(text), _among_words(text)):
        sound = list(_passing(candidates, check, faults))
        if len(sound) == 1:
            return sound[0]
        if sound:
            raise SchemaMismatch("the answer holds several values that fit, and they differ")
    raise faults[0] if faults else SchemaMismatch("the answer holds no JSON")


def _passing(candidates: Iterable[Any], check: Callable[[Any], Any], faults: list[SchemaMismatch]) -> Iterator[Any]:
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


def _whole(text: str) -> Iterator[Any]:
    """The value of a text that is JSON, or else the values of its fenced blocks."""
    for part in (text, *_FENCE.findall(text)):
        try:
            yield _DECODER.decode(part.strip())
        except (ValueError, RecursionError):
            continue
        if part is text:
            return


def _among_words(text: str) -> Iterator[Any]:
    """JSON objects and arrays among other words; what is inside a broken one is not an answer."""
    end = tries = 0
    while tries < MAX_OPENINGS and (opening := _OPENING.search(text, end)):
        tries += 1
        try:
            value, end = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            if (end := _end_of_broken(text, opening.start())) < 0:
                return
        else:
            yield value


def _end_of_broken(text: str, start: int) -> int:
    """Where the bracket that opens at a place is closed, brackets in texts ignored; -1 if it is not."""
    depth = 0
    for piece in _BRACKET_OR_TEXT.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(piece[0], 0)
        if not depth:
            return piece.end()
    return -1
