"""What an answer has to be: one of some labels, or JSON of a schema. Read leniently, checked strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: A fenced block, as models put around JSON.
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")

#: Places in a text at which JSON is looked for.
MAX_OPENINGS = 20

#: What models put around a label.
_AROUND_LABELS = " \t\r\n\"'`*“”‘’「」.。!！"


class SchemaMismatch(ValueError):
    """An answer is not what was asked for; the text says why, without repeating the answer."""


@dataclass(frozen=True)
class AnswerSchema:
    """What every answer has to be.

    :param read: Returns the value of an answer.
    :param json_schema: The schema that the platform can be asked to keep to; None where there is none.
    """

    read: Callable[[str], Any]
    json_schema: Mapping[str, Any] | None = None

    @property
    def response_format(self) -> dict[str, Any] | None:
        """What to send with a request; None where it would not help, as for an array, which comes back unreliably."""
        if self.json_schema is None or self.json_schema.get("type") == "array":
            return None
        name = re.sub(r"[^A-Za-z0-9_-]", "_", str(self.json_schema.get("title") or "answer"))[:64]
        return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": dict(self.json_schema)}}


def read_schema(given: Any) -> AnswerSchema | None:
    """Understand a list of labels, a JSON Schema, or a Pydantic model.

    :raises ValueError: It is none of these.
    """
    if given is None:
        return None
    if isinstance(given, list | tuple):
        return AnswerSchema(_labels(given))
    if isinstance(given, Mapping):
        return AnswerSchema(_of_json_schema(given), given)
    if isinstance(given, type) and hasattr(given, "model_validate"):
        model: Any = given
        return AnswerSchema(_of_pydantic(model), model.model_json_schema())
    raise ValueError(
        f"output_schema is a {type(given).__name__}; it is a list of labels, a JSON Schema or a Pydantic model"
    )


def _labels(labels: list[Any] | tuple[Any, ...]) -> Callable[[str], Any]:
    if not labels or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError("output_schema is a list that is empty, or holds what is no text; it lists the labels")
    exact = {label: label for label in labels}
    folded: dict[str, list[str]] = {}
    for label in exact:
        folded.setdefault(label.strip(_AROUND_LABELS).casefold(), []).append(label)

    def read(text: str) -> str:
        for candidate in _label_candidates(text):
            if candidate in exact:
                return candidate
            if len(alike := folded.get(candidate.strip(_AROUND_LABELS).casefold(), [])) == 1:
                return alike[0]
        raise SchemaMismatch("the answer is none of the labels")

    return read


def _label_candidates(text: str) -> Iterator[str]:
    """A label may come alone, in a fence, or as the only value of a JSON object."""
    yield text.strip()
    for value in _values(text):
        if isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
        if isinstance(value, str):
            yield value
    yield from (block.strip() for block in _FENCE.findall(text))


def _of_json_schema(schema: Mapping[str, Any]) -> Callable[[str], Any]:
    from jsonschema.exceptions import SchemaError, best_match  # type: ignore[import-untyped]
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]

    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"output_schema is no JSON Schema: {error.message}") from None
    validator = kind(schema)

    def check(value: Any) -> Any:
        if (error := best_match(validator.iter_errors(value))) is not None:
            rule = "/".join(map(str, error.absolute_schema_path))
            raise SchemaMismatch(f"the answer breaks the rule {rule} of output_schema")
        return value

    return lambda text: _first_sound(text, check)


def _of_pydantic(model: Any) -> Callable[[str], Any]:
    from pydantic import ValidationError

    def check(value: Any) -> Any:
        try:
            return model.model_validate(value).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            raise SchemaMismatch(f"the answer does not fit {model.__name__}: {place}: {first['type']}") from None

    return lambda text: _first_sound(text, check)


def _first_sound(text: str, check: Callable[[Any], Any]) -> Any:
    """The first JSON value of a text that passes, or else what is wrong with the first one."""
    fault: SchemaMismatch | None = None
    for value in _values(text):
        try:
            return check(value)
        except SchemaMismatch as error:
            fault = fault or error
        except RecursionError:
            fault = fault or SchemaMismatch("the answer is nested too deeply")
    raise fault or SchemaMismatch("the answer holds no JSON")


def _values(text: str) -> Iterator[Any]:
    """JSON values of a text: the whole, what is fenced, then whatever stands among other words."""
    decoder = json.JSONDecoder(parse_constant=_refused)
    for whole in (text, *_FENCE.findall(text)):
        try:
            yield decoder.decode(whole.strip())
        except (ValueError, RecursionError):
            continue
    end = tries = 0
    while tries < MAX_OPENINGS and (opening := _OPENING.search(text, end)):
        tries += 1
        try:
            value, end = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            end = opening.end()
        else:
            yield value


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
