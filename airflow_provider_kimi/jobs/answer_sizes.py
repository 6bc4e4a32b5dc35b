"""How long an answer is expected to be by its `output_schema`; each of its characters counts as a token."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_kimi.jobs.estimate import FREE_ANSWER_TOKENS
from airflow_provider_kimi.results.labels import labels_of
from airflow_provider_kimi.results.schema import read_schema

#: Characters of the shortest value of a type, as JSON; those of an object and of an array are counted.
_SHORTEST = {"string": 2, "integer": 1, "number": 3, "boolean": 4, "null": 4}


class AnswerSize(NamedTuple):
    """How long an answer is expected to be.

    :param reason: Why, as part of a sentence.
    """

    tokens: int
    reason: str


def answer_size(output_schema: Any) -> AnswerSize:
    """Say how long an answer is expected to be by its `output_schema`."""
    labels = labels_of(output_schema)
    schema = read_schema(output_schema)
    if labels is None and schema is not None and schema.json_schema is None:
        labels = list(output_schema)  # a mapping of labels to synonyms
    if labels:
        mean = -(-sum(len(str(label)) for label in labels) // len(labels))
        return AnswerSize(mean, f"an answer is a label, of {mean:,} characters on average, each a token")
    if schema is not None and schema.json_schema is not None:
        least = _Reader(schema.json_schema).shortest(schema.json_schema)
        return AnswerSize(least, f"an answer is the shortest JSON that fits, of {least:,} characters, each a token")
    reason = f"an answer has {FREE_ANSWER_TOKENS:,} tokens, because no output_schema says more"
    return AnswerSize(FREE_ANSWER_TOKENS, reason)


class _Reader:
    """Measures the shortest JSON that fits a schema, with every field that the schema names; of an enum, the mean."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def shortest(self, schema: object, within: frozenset[str] = frozenset()) -> int:
        """The shortest value of a part; `within` are the references that led to it, because some lead in circles."""
        if not isinstance(schema, Mapping):
            return 1
        if isinstance(reference := schema.get("$ref"), str):
            return 1 if reference in within else self.shortest(self._referred(reference), within | {reference})
        if "const" in schema:
            return _length(schema["const"])
        if values := schema.get("enum"):
            return -(-sum(map(_length, values)) // len(values))
        if parts := schema.get("allOf"):
            return max(self.shortest(part, within) for part in parts)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return min(self.shortest(choice, within) for choice in choices)
        return self._of_type(schema, within)

    def _of_type(self, schema: Mapping[str, Any], within: frozenset[str]) -> int:
        kind = schema.get("type", "object" if "properties" in schema else "integer")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind == "object":
            properties = schema.get("properties") or {}
            asked = {name: properties.get(name) for name in (*properties, *(schema.get("required") or ()))}
            return 2 + sum(len(name) + 4 + self.shortest(part, within) for name, part in asked.items())
        if kind == "array":
            return 2 + int(schema.get("minItems", 0)) * (1 + self.shortest(schema.get("items"), within))
        return int(_SHORTEST.get(str(kind), 1) + schema.get("minLength", 0))

    def _referred(self, reference: str) -> object:
        found: Any = self._root if reference.startswith("#") else None
        for step in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found


def _length(value: object) -> int:
    return len(str(value)) + (2 if isinstance(value, str) else 0)
