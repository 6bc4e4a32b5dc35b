"""The simulator answers what was asked: a value of the schema, an object with the named keys, a label of the list."""

import json
import time
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_kimi.api.schema_rewrite import rewritten
from airflow_provider_kimi.simulator import label_answer
from tests.simulator.wire import line


def answer(text: str, system: str = "", response_format: object = None) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    asked = {} if response_format is None else {"response_format": response_format}
    content = label_answer(line(body={"messages": [*messages, {"role": "user", "content": text}], **asked})).content
    assert content is not None
    return content


def value_of(schema: dict[str, Any], text: str = "a text", system: str = "") -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return json.loads(answer(text, system, wanted))


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "inner": {"type": "array", "items": {"$ref": "#"}}},
}
CHAIN = {**of(next={"anyOf": [{"$ref": "#"}, {"type": "null"}]})}


@pytest.mark.parametrize(
    "schema",
    [
        of(a={"type": "integer", "minimum": 3, "maximum": 5}, b={"type": "number", "exclusiveMaximum": 0}),
        of(a={"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2}, b={"type": "number", "minimum": 0.25}),
        of(a={"type": "integer", "multipleOf": 7, "minimum": 20}, b={"type": "integer", "maximum": -5}),
        of(a={"type": "number", "minimum": 0, "maximum": 1}, b={"type": "number", "minimum": 0.001, "maximum": 0.002}),
        of(a={"enum": [1, None, "x"]}, b={"const": {"c": 1}}, c={"type": ["null", "string"]}, d={"type": "null"}),
        of(a={"type": "array", "items": {"enum": ["x", "y", "z"]}, "minItems": 3, "uniqueItems": True}),
        of(a={"type": "array", "items": {"type": "boolean"}, "maxItems": 0}),
        of(
            a={"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "items": False}
        ),
        of(a={"anyOf": [{"type": "integer"}, {"type": "null"}]}, b={"oneOf": [{"type": "boolean"}]}),
        of(a={"allOf": [{"properties": {"x": {"type": "integer"}}}, {"required": ["x", "y"]}]}),
        {**of(a={"$ref": "#/$defs/A~1B"}), "$defs": {"A/B": {"type": "string", "format": "uuid"}}},
        of(**{name: {"type": "string", "format": name} for name in ("date", "email", "ipv4", "ipv6", "uuid")}),
        of(a={"type": "string", "minLength": 100}, b={"type": "string", "maxLength": 3}, c={"minLength": 41}),
        of(a={"type": "string", "pattern": "^[A-Z]{2}-\\d{3,5}(x|y)?$"}, b={"type": "string", "pattern": "^[^a-c]+$"}),
        {"type": "object", "required": ["a"], "minProperties": 3, "additionalProperties": {"type": "integer"}},
        {"type": "array", "items": {"type": "integer"}},
        TREE,
        CHAIN,
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_a_schema_gets_a_value_that_fits_it_and_that_the_row_decides(schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    for number in range(20):
        validator.validate(value_of(schema, f"row {number}"))
    assert value_of(schema, "row 1") == value_of(schema, "row 1")


WIDE = {"type": "object", "properties": {f"p{number}": {"$ref": "#"} for number in range(20)}}


@pytest.mark.parametrize(
    "schema",
    [
        WIDE,
        of(a={"$ref": "#"}),
        {"$ref": "#"},
        {"properties": []},
        {"$ref": "#/nowhere/0"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": r"(?P<a>x)(?P=a)"},
        {"allOf": 7},
        {"type": "array", "minItems": "many"},
        {"type": "integer", "minimum": 9, "maximum": 1},
    ],
    ids=repr,
)
def test_an_odd_schema_gets_some_value_soon(schema: dict[str, Any]) -> None:
    started = time.monotonic()
    value_of(schema)
    assert time.monotonic() - started < 2


def test_different_rows_get_different_values() -> None:
    assert len({value_of({"type": "integer", "minimum": 0, "maximum": 9999}, f"row {n}") for n in range(20)}) > 10


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Part(BaseModel):
    name: Annotated[str, Field(min_length=2, max_length=8)]
    amount: Annotated[Decimal, Field(gt=0, lt=10)]


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    mood: Mood
    kind: Literal["a"] | None = None
    day: date
    at: datetime
    key: UUID
    parts: Annotated[list[Part], Field(min_length=2)]
    pair: tuple[int, str]
    scores: dict[str, float]
    code: Annotated[str, Field(pattern=r"^\w{3}-\d+$")]
    children: list["Report"] = []


def test_a_pydantic_model_gets_a_value_that_fits_it() -> None:
    for number in range(20):
        Report.model_validate_json(json.dumps(value_of(Report.model_json_schema(), f"row {number}")))


def test_a_pydantic_model_that_was_sent_in_the_dialect_of_kimi_gets_formats_and_patterns_that_fit() -> None:
    class Order(BaseModel):
        day: date
        at: datetime | None = Field(description="When it came.")
        key: UUID = Field(description="Of the shop.")
        code: Annotated[str, Field(pattern=r"^\w{3}-\d+$", description="Of the order.")]

    sent, problems = rewritten(Order.model_json_schema())
    assert not problems
    assert '"format"' not in json.dumps(sent)
    for number in range(20):
        Order.model_validate_json(json.dumps(value_of(dict(sent), f"row {number}")))


def test_an_enum_is_chosen_as_the_text_suggests() -> None:
    schema = of(sentiment={"enum": ["positive", "negative"]}, topic={"enum": ["billing", "delivery"]})
    assert value_of(schema, "I love the fast delivery") == {"sentiment": "positive", "topic": "delivery"}


def test_a_label_of_the_prompt_stands_in_a_schema_that_takes_any_text() -> None:
    value = value_of(of(label={"type": "string", "title": "Label"}), "很烂", "标签：好评、差评")
    assert value == {"label": "差评"}


@pytest.mark.parametrize(
    ("prompt", "keys"),
    [
        ('Return {"sentiment": "...", "score": 0.5}', ["sentiment", "score"]),
        ("Answer in JSON with the keys name, price and date.", ["name", "price", "date"]),
        ("Return JSON with fields `name` and `age`", ["name", "age"]),
        ("输出 JSON，字段为 name、price", ["name", "price"]),
    ],
)
def test_an_object_has_the_keys_that_the_prompt_names(prompt: str, keys: list[str]) -> None:
    for text, system in (("a text", prompt), (f"{prompt}\n\na text", "")):
        assert list(json.loads(answer(text, system, {"type": "json_object"}))) == keys


def test_a_prompt_that_asks_for_json_by_its_keys_gets_them_without_a_response_format() -> None:
    prompt = 'Answer with JSON: {"sentiment": "positive" | "negative", "score": 0.5}'
    value = json.loads(answer("I love it", prompt))
    assert value["sentiment"] == "positive"
    assert 0 <= value["score"] <= 1
    assert answer("I love it", 'Answer with JSON {"label": "positive" | "negative"}') == "positive"


def test_json_is_answered_even_where_nothing_is_named() -> None:
    assert json.loads(answer("a text", "Answer in JSON.", {"type": "json_object"})) == {"answer": "6 characters read."}


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        ("Classify the ticket as one of: billing, delivery, other", "billing delivery other"),
        ("Classify the ticket into one of billing, delivery, other.", "billing delivery other"),
        ("Classify as billing, delivery, other.", "billing delivery other"),
        ("Categories are billing, delivery, and other.", "billing delivery other"),
        ('Answer with "billing", "delivery" or "other".', "billing delivery other"),
        ("Reply with exactly one word from ['billing', 'delivery', 'other'].", "billing delivery other"),
        ('Choose one: ["billing", "delivery"]', "billing delivery"),
        ("Pick a category:\n1. billing\n2. delivery\n3. other", "billing delivery other"),
        (
            "Pick a category:\n- billing: invoices, payments\n- delivery (parcels)\n- other - the rest",
            "billing delivery other",
        ),
        ("Which category (billing, delivery, other)?", "billing delivery other"),
        ("Decide between refund, exchange, and repair.", "refund exchange repair"),
        ("Your options are: refund; exchange; repair", "refund exchange repair"),
        ("positive, negative or neutral", "positive negative neutral"),
        ("从以下类别选择：计费、物流、其他", "计费 物流 其他"),
        ("请从“计费”“物流”“其他”中选择一个", "计费 物流 其他"),
        ("请在计费、物流、其他中选择一个", "计费 物流 其他"),
        ("把评论分为三类：计费、物流、其他。只回答类别。", "计费 物流 其他"),
        ("Rate the review from 1 to 5", "1 2 3 4 5"),
    ],
)
def test_a_list_of_labels_in_the_prompt_gets_one_of_them(prompt: str, labels: str) -> None:
    given = {answer(f"This is thing number {number * 7}", prompt) for number in range(60)}
    assert given <= set(labels.split())
    assert len(given) > 1 or "neutral" in given


def test_labels_of_several_words_stay_whole() -> None:
    labels = {"billing issue", "delivery problem", "other"}
    for prompt in (
        "Is it billing issue, delivery problem or other?",
        'Choose: ["billing issue", "delivery problem", "other"]',
    ):
        assert {answer(f"thing {number}", prompt) for number in range(40)} == labels


@pytest.mark.parametrize(
    "prompt",
    [
        "Summarize the text in one sentence.",
        "Translate to English, keep names, dates and numbers.",
        "Write a story about cats, dogs and birds",
    ],
)
def test_a_prompt_without_labels_is_answered_by_the_length_of_its_text(prompt: str) -> None:
    assert answer("a text", prompt) == "6 characters read."


def test_a_long_text_without_labels_is_read_quickly() -> None:
    started = time.monotonic()
    for piece in (
        '"a" ',
        "'a', ",
        "is it a, ",
        "在a，",
        "label (a, ",
        "one of ",
        "choose: ",
        "1. a\n",
        "rate 1 ",
        "keys a, ",
    ):
        answer(piece * 5_000)
        answer(piece * 5_000, response_format={"type": "json_object"})
    assert time.monotonic() - started < 10
