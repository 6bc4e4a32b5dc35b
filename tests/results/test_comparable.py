"""What two answers say differently, and which of it may be shown."""

import enum
from typing import Any, Literal

import pydantic
import pytest

from airflow_provider_kimi.results.comparable import Change, Comparable
from airflow_provider_kimi.results.schema import read_schema

OBJECT = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "urgent": {"type": "boolean"}, "why": {"type": "string"}},
    "required": ["label"],
}


class Mood(enum.Enum):
    GLAD = "glad"
    SAD = "sad"


class Review(pydantic.BaseModel):
    mood: Mood
    stars: Literal[1, 2, 3]
    topic: Literal["price", "size"] | None = None
    summary: str = ""


def changes(schema: Any, before: str, now: str, *, parsed: Any = None, former: tuple[str, ...] = ()) -> list[Change]:
    comparable = Comparable(read_schema(schema), former)
    return list(comparable.changes(comparable.said(before, parsed), comparable.said(now)))


@pytest.mark.parametrize(
    ("schema", "before", "now", "found"),
    [
        pytest.param(["good", "bad"], "Good.", "**good**", [], id="one label in two forms"),
        pytest.param(["good", "bad"], "good", "bad", [("", "good", "bad")], id="two labels"),
        pytest.param({"good": ["fine"], "bad": []}, "fine", "bad", [("", "good", "bad")], id="a synonym"),
        pytest.param([1, True], "1", "true", [("", 1, True)], id="equal values are two labels"),
        pytest.param(None, " same\n", "same", [], id="free text, the same"),
        pytest.param(None, "a secret", "another", [("", None, None)], id="free text is never shown"),
        pytest.param({"enum": ["a", "b"]}, '"a"', '"b"', [("", "a", "b")], id="a JSON Schema of labels"),
    ],
)
def test_answers_are_compared_by_what_they_mean(schema: Any, before: str, now: str, found: list[Any]) -> None:
    assert changes(schema, before, now) == found


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ('{"label": "good"}', '{"label": "bad"}', [("label", "good", "bad")]),
        ('{"label": "good", "urgent": true}', '{"urgent": false, "label": "good"}', [("urgent", True, False)]),
        ('{"label": "good", "why": "a secret"}', '{"label": "good", "why": "else"}', [("why", None, None)]),
        ('{"label": "good"}', '{"label": "good", "why": "it is new"}', []),
    ],
)
def test_objects_are_compared_field_by_field_and_texts_are_not_shown(before: str, now: str, found: list[Any]) -> None:
    assert changes(OBJECT, before, now) == found


def test_fields_of_a_model_that_list_their_values_are_labels() -> None:
    before = '{"mood": "glad", "stars": 1, "topic": "price", "summary": "a secret"}'
    now = '{"mood": "sad", "stars": 3, "topic": null, "summary": "another"}'
    found = [("mood", "glad", "sad"), ("stars", 1, 3), ("topic", "price", None), ("summary", None, None)]
    assert changes(Review, before, now) == found


def test_a_label_that_the_schema_has_no_more_is_shown_if_the_earlier_result_lists_it() -> None:
    assert changes(["good", "bad"], "mixed", "bad", former=("mixed",)) == [("", "mixed", "bad")]
    assert changes(["good", "bad"], "a secret", "bad") == [("", None, "bad")]


@pytest.mark.parametrize("parsed", [{"label": "good"}, '{"label": "good"}'])
def test_an_answer_to_an_older_schema_is_read_as_it_was_landed(parsed: Any) -> None:
    schema = {**OBJECT, "required": ["label", "urgent"]}
    now = '{"label": "bad", "urgent": true}'
    assert changes(schema, '{"label": "good"}', now, parsed=parsed) == [("label", "good", "bad")]
    assert changes(schema, '{"other": 1}', now, parsed={"other": 1}) == [("", None, None)]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}},
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
    ],
)
def test_a_schema_that_refers_to_itself_or_nowhere_shows_nothing(schema: Any) -> None:
    comparable = Comparable(read_schema(OBJECT))
    known = read_schema(OBJECT)
    assert known is not None
    odd = Comparable(type(known)(known.read, known.shape, schema))
    assert list(odd.changes({"a": 1}, {"a": 2})) == [("a", None, None)]
    assert list(comparable.changes({"label": 1}, {"label": 2})) == [("label", None, None)]
