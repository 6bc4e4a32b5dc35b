"""What an answer must be: one of several labels, or JSON of a schema. Read leniently, checked strictly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_kimi.results.found_json import Check, only_sound
from airflow_provider_kimi.results.json_schemas import json_schema_check, keywords
from airflow_provider_kimi.results.labels import labels_of, read_labels, read_synonyms
from airflow_provider_kimi.results.models import is_model, model_check, schema_of_dumps, schema_of_model
from airflow_provider_kimi.results.parsed_shape import Shape, shape_of_schema, shape_of_values


@dataclass(frozen=True)
class AnswerSchema:
    """What every answer must be.

    :param read: Returns the value of an answer, or raises a SchemaMismatch.
    :param shape: What these values are.
    :param json_schema: The schema that the platform can be asked to follow; None if there is none.
    :param of_values: The JSON Schema of the values; None if they are labels.
    """

    read: Callable[[str], Any]
    shape: Shape
    json_schema: Mapping[str, Any] | None = None
    of_values: Mapping[str, Any] | None = None

    @property
    def response_format(self) -> dict[str, Any] | None:
        """What asks for it; None if that does not help: the platform returns arrays unreliably.

        It is sent in Kimi's dialect of JSON Schema (`requests/sent_schemas.py`); answers are judged by what was given.
        """
        if self.json_schema is None or self.json_schema.get("type") == "array":
            return None
        from airflow_provider_kimi.api.schema_rewrite import rewritten, with_own_root

        sent, problems = rewritten(self.json_schema)
        if not problems and with_own_root(sent).get("type") == "array":
            return None
        name = re.sub(r"[^A-Za-z0-9_-]", "_", str(self.json_schema.get("title") or "answer"))[:64]
        return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": dict(self.json_schema)}}


def read_schema(given: Any) -> AnswerSchema | None:
    """Read labels (a list, an Enum, a Literal, a mapping to synonyms), a JSON Schema, or a Pydantic model.

    :raises ValueError: It is something else, or could not judge any answer.
    """
    if given is None:
        return None
    if (labels := labels_of(given)) is not None:
        return AnswerSchema(read_labels(labels), shape_of_values(labels))
    if isinstance(given, Mapping):
        if _are_synonyms(given):
            return AnswerSchema(read_synonyms(given), shape_of_values(given))
        return _of_json(json_schema_check(given), given, given)
    if is_model(given):
        schema = schema_of_model(given)
        return _of_json(model_check(given, schema), schema, schema_of_dumps(given))
    kind = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
    raise ValueError(
        f"output_schema is {kind}; it must be a list of labels, an Enum, a Literal, a mapping of labels to synonyms, a "
        "JSON Schema or a Pydantic model"
    )


def _of_json(check: Check, json_schema: Mapping[str, Any], of_values: Mapping[str, Any]) -> AnswerSchema:
    return AnswerSchema(partial(only_sound, check), shape_of_schema(of_values), json_schema, of_values)


def _are_synonyms(given: Mapping[Any, Any]) -> bool:
    """Whether a mapping leads from labels to synonyms, rather than being a JSON Schema; refuse what could be both."""
    words = keywords() & given.keys()
    are_lists = all(isinstance(listed, list | tuple) for listed in given.values())
    if words and are_lists and len(words) < len(given):
        raise ValueError(
            f"output_schema has the keys {list(given)!r:.200}: it could be a JSON Schema, or a mapping of labels to "
            f"synonyms, because {', '.join(map(repr, sorted(words)))} means something in a JSON Schema. Name that "
            "label in another way, or pass the labels as a list."
        )
    if given and not words and not are_lists:
        raise ValueError(
            f"output_schema has the keys {list(given)!r:.200}, none of which means something in a JSON Schema. A "
            'mapping of labels leads from each to a list of its synonyms, such as {"positive": ["pos"], "negative": []}'
        )
    return bool(given) and not words
