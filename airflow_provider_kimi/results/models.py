"""Answers that have to fit a Pydantic model."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

from airflow_provider_kimi.files.line_ids import sound
from airflow_provider_kimi.results.found_json import Check, LongNumber, SchemaMismatch

#: What is wrong with a value, by Pydantic's name of the error.
_FAULTS = {
    "missing": "is missing",
    "literal_error": "is not one of the values that it may be",
    "enum": "is not one of the values that it may be",
    "value_error": "is refused by a validator",
    "assertion_error": "is refused by a validator",
}


def is_model(given: object) -> bool:
    """Whether a value is a Pydantic model, which is a class."""
    return isinstance(given, type) and hasattr(given, "model_validate_json")


def schema_of_dumps(model: Any) -> dict[str, Any]:
    """The JSON Schema of what a model is written as."""
    return schema_of_model(model, mode="serialization", by_alias=bool(model.model_config.get("serialize_by_alias")))


def schema_of_model(model: Any, **form: Any) -> dict[str, Any]:
    """The JSON Schema of a model; refuse one that has none, since no JSON could fit it."""
    try:
        schema: dict[str, Any] = model.model_json_schema(**form)
    except Exception as error:
        raise ValueError(
            f"output_schema is {model.__name__}, which has no JSON Schema ({type(error).__name__}), so no answer can "
            "fit it. Use only types that JSON can hold."
        ) from None
    return schema


def model_check(model: Any, schema: Mapping[str, Any]) -> Check:
    """Check answers as JSON: a date, an enum, a tuple or a Decimal comes as text, list or number also if it is strict.

    :param schema: The model's JSON Schema.
    """
    from pydantic import ValidationError

    named = set(_named(schema)) | set(model.model_fields)

    def dumped(value: Any) -> Any:
        return model.model_validate_json(_json(value)).model_dump(mode="json")

    def check(value: Any) -> Any:
        try:
            checked = dumped(value)
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False, include_url=False)[0]
            raise SchemaMismatch(_fault(first["type"], first["loc"], named)) from None
        except RecursionError:
            raise
        except Exception as error:  # of a validator of the user
            raise SchemaMismatch(f"{model.__name__} raises {type(error).__name__} for the answer") from None
        if (texts := _texts(value)) != value:  # a Decimal takes all digits of a text, and not of a number
            with suppress(Exception):
                checked = _exact(checked, dumped(texts))
        return checked

    return check


def _texts(value: Any) -> Any:
    """JSON with numbers of many digits as texts."""
    if isinstance(value, dict):
        return {name: _texts(part) for name, part in value.items()}
    if isinstance(value, list):
        return list(map(_texts, value))
    return value.text if isinstance(value, LongNumber) else value


def _exact(checked: Any, of_texts: Any) -> Any:
    """JSON of a model with its decimals, which are texts, as they are when they come as texts; all else as it is."""
    if isinstance(checked, dict) and isinstance(of_texts, dict):
        return {name: _exact(part, of_texts.get(name)) for name, part in checked.items()}
    if isinstance(checked, list) and isinstance(of_texts, list) and len(checked) == len(of_texts):
        return list(map(_exact, checked, of_texts))
    return of_texts if isinstance(checked, str) and isinstance(of_texts, str) else checked


def place(path: Iterable[int | str], named: Set[str]) -> str:
    """Name a place in an answer by words of the schema only: a key that it does not name may hold anything."""
    parts = [str(part) if isinstance(part, int) or part in named else "*" for part in path]
    return f'"{"/".join(parts)}"' if parts else "the answer"


def _fault(kind: str, path: Sequence[int | str], named: Set[str]) -> str:
    if kind == "json_invalid":
        return "the answer is nested too deeply, or its JSON is broken"
    if kind == "extra_forbidden":
        return f"{place(path[:-1], named)} has a field that the model does not name"
    return f"{place(path, named)} {_FAULTS.get(kind) or f'fails the rule {kind}'}"


def _json(value: object) -> str:
    """The JSON of a value, without half characters, which Pydantic refuses."""
    return sound(json.dumps(value, ensure_ascii=False))


def _named(schema: object) -> Iterator[str]:
    """The names of all fields in a JSON Schema."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, Mapping) else ()
        schema = list(schema.values())
    if isinstance(schema, list | tuple):
        for part in schema:
            yield from _named(part)
