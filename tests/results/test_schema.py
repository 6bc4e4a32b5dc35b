"""What an answer has to be: read leniently, checked strictly, and never repeated in a message."""

import json
from contextlib import suppress
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, model_validator

from airflow_provider_kimi.results.found_json import MAX_OPENINGS, SchemaMismatch
from airflow_provider_kimi.results.schema import AnswerSchema, read_schema

LABELS = ["positive", "negative", "not sure"]
SCHEMA = {
    "title": "Review label",
    "type": "object",
    "properties": {"label": {"enum": LABELS}, "score": {"type": "number", "minimum": 0}},
    "required": ["label"],
    "additionalProperties": False,
}
VALUE = {"label": "positive", "score": 0.5}


class Review(BaseModel):
    label: Literal["positive", "negative"]
    score: float = 1.0


class Nested(BaseModel):
    model_config = ConfigDict(extra="forbid")
    label: str
    scores: dict[str, int] = {}
    evidence: list["Nested"] = []


class Breaking(BaseModel):
    a: int

    @model_validator(mode="after")
    def broken(self) -> "Breaking":
        raise KeyError("a user's own fault")


def schema(given: Any) -> AnswerSchema:
    read = read_schema(given)
    assert read is not None
    return read


def test_labels_have_no_response_format() -> None:
    assert schema(LABELS).response_format is None


@pytest.mark.parametrize("given", [SCHEMA, Review], ids=["schema", "pydantic"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{}", id="alone"),
        pytest.param("\n {} \n", id="among blanks"),
        pytest.param("```json\n{}\n```", id="fenced"),
        pytest.param("Here it is:\n```\n{}\n```\nHope it helps {smile}", id="fenced among words"),
        pytest.param("Sure!\n{}\nAnything else?", id="on a line among words"),
        pytest.param("Here is the JSON: {}", id="behind an introduction"),
        pytest.param("结果：{}\n请核对。", id="behind a Chinese introduction"),
        pytest.param("<answer>{}</answer>", id="between tags"),
        pytest.param("**_{}_**.", id="in bold letters"),
        pytest.param("```json {}```", id="fenced on one line"),
        pytest.param("1. {}", id="numbered"),
        pytest.param("{}{}", id="twice"),
        pytest.param("{not json} [1] {}", id="behind other brackets"),
        pytest.param('{"a" {"label": "negative"} "]"} {}', id="behind a broken one that holds another"),
        pytest.param('{{"label": "odd"}} {}', id="behind one that does not fit"),
    ],
)
def test_json_is_found_among_other_text(given: Any, text: str) -> None:
    text = text.replace("{{", "<").replace("}}", ">").replace("{}", json.dumps(VALUE))
    assert schema(given).read(text.replace("<", "{").replace(">", "}")) == VALUE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the answer holds no JSON"),
        ("positive", "the answer holds no JSON"),
        ('{"label": "positive"', "the answer holds no JSON"),
        ('{"a": [{"label": "positive"},]}', "the answer holds no JSON"),
        ('{"a": {"label": "positive"}', "the answer holds no JSON"),
        ('{"label": "positive", "label": "negative"}', "the answer holds no JSON"),
        (
            'One: {"label": "positive"}\nAnother: {"label": "negative"}',
            "the answer holds several values that fit, and they differ",
        ),
        ('{"label": "SECRET"}', '"label" is not one of the 3 values of enum'),
        ('{"score": 1}', "the answer lacks 'label'"),
        ('{"label": "positive", "SECRET": 1}', "the answer has a field that the schema does not name"),
        ('"positive"', "the answer is not of type object"),
        ('{"label": "positive", "score": NaN}', "the answer holds no JSON"),
        (
            '{"label": "positive", "score": -1}',
            '"score" breaks the rule minimum 0',
        ),
    ],
)
def test_json_that_does_not_fit_is_refused_with_the_rule(text: str, reason: str) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        schema(SCHEMA).read(text)
    assert str(refused.value) == reason


@pytest.mark.parametrize("given", [SCHEMA, Review], ids=["schema", "pydantic"])
@pytest.mark.parametrize(
    "text",
    [
        "It is not {}",
        "I would say {}",
        "It is not\nat all {}",
        "{} would be wrong.",
        "Here is what I would not say: {} (it is too simple)",
        "这不是 {}。",
        "{} 是错的",
        "Sure! {} Anything else?",
    ],
)
def test_json_inside_a_sentence_is_not_the_answer(given: Any, text: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"^the answer holds JSON only beside other words$"):
        schema(given).read(text.replace("{}", json.dumps(VALUE)))


def test_json_that_answers_is_found_beside_a_sentence_that_holds_another() -> None:
    text = 'Not {"label": "positive"}. Answer: {"label": "negative"}'
    assert schema(SCHEMA).read(text) == {"label": "negative"}


def test_json_inside_a_broken_object_is_not_the_answer() -> None:
    with pytest.raises(SchemaMismatch, match="holds no JSON"):
        schema(Nested).read('{"label": "ham", "evidence": [{"label": "spam"},]}')


@pytest.mark.parametrize("text", ['{"label": "x", "scores": {"SECRET": "no"}}', '{"label": "x", "SECRET": 1}'])
def test_a_refusal_does_not_repeat_keys_of_the_answer(text: str) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        schema(Nested).read(text)
    assert "SECRET" not in str(refused.value)


def test_a_validator_that_raises_makes_the_row_invalid() -> None:
    """One odd answer does not end the landing of all."""
    with pytest.raises(SchemaMismatch, match="Breaking raises KeyError"):
        schema(Breaking).read('{"a": 1}')


def test_json_that_does_not_fit_a_model_is_refused_with_the_field() -> None:
    with pytest.raises(SchemaMismatch) as refused:
        schema(Review).read('{"label": "SECRET"}')
    assert str(refused.value) == '"label" is not one of the values that it may be'


def test_json_may_be_an_array() -> None:
    listed = schema({"type": "array", "items": {"type": "integer"}})
    assert listed.read("The numbers: [1, 2]") == [1, 2]
    assert listed.response_format is None, "the platform returns it unreliably"


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SchemaMismatch):
        schema(SCHEMA).read("[" * 100_000)


def test_the_search_for_json_is_bounded() -> None:
    text = "{" * MAX_OPENINGS + json.dumps(VALUE)
    with pytest.raises(SchemaMismatch):
        schema(SCHEMA).read(text)


@given(text=st.text())
def test_any_answer_fits_a_schema_or_is_refused(text: str) -> None:
    for given_schema in (LABELS, SCHEMA, Review):
        with suppress(SchemaMismatch):
            schema(given_schema).read(text)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"type": "nonsense"}, "is not a JSON Schema"),
        ("positive", "is a str"),
        (Review(label="positive"), "is a Review"),
    ],
    ids=["unknown type", "text", "instance of a model"],
)
def test_a_value_that_is_not_a_schema_is_refused(given: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_schema(given)


def test_a_json_schema_is_sent_as_response_format() -> None:
    assert schema(SCHEMA).response_format == {
        "type": "json_schema",
        "json_schema": {"name": "Review_label", "strict": True, "schema": SCHEMA},
    }


def test_the_schema_of_a_model_is_sent_as_response_format() -> None:
    wanted = schema(Review).response_format
    assert wanted is not None
    assert wanted["json_schema"]["name"] == "Review"
    assert wanted["json_schema"]["schema"]["properties"].keys() == {"label", "score"}


def test_no_schema_is_read_as_none() -> None:
    assert read_schema(None) is None
