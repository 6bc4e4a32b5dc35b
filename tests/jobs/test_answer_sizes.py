"""How long an answer is expected to be, by what it has to be."""

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from airflow_provider_kimi.jobs.answer_sizes import answer_size
from airflow_provider_kimi.jobs.estimate import FREE_ANSWER_TOKENS


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Label(BaseModel):
    label: Literal["yes", "no"]
    score: int


class Nested(BaseModel):
    best: Label
    others: list[Label]


NODE = {
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "tokens"),
    [
        (["positive", "negative"], 8),
        (["a", "bc"], 2),
        ((1, 10), 2),
        (Mood, 4),
        (Literal["yes", "no"], 3),
        ({"positive": ["pos"], "negative": []}, 8),
        ({"type": "object", "properties": {"label": {"enum": ["good", "bad"]}}, "required": ["label"]}, 17),
        ({"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": ["string", "null"]}}}, 18),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, 8),
        ({"anyOf": [{"type": "string", "minLength": 10}, {"type": "null"}]}, 4),
        ({"const": "always"}, 8),
        (NODE, 11),
        (Label, 26),
        (Nested, 48),
        (None, FREE_ANSWER_TOKENS),
    ],
    ids=str,
)
def test_an_answer_is_as_long_as_its_schema_says(schema: Any, tokens: int) -> None:
    found = answer_size(schema)
    assert found.tokens == tokens
    assert f"{tokens:,}" in found.reason
