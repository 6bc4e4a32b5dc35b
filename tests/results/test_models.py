"""Answers that have to fit a Pydantic model: they are JSON, so they are judged as JSON."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.schema import AnswerSchema, read_schema


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    day: date
    at: datetime
    lasts: timedelta
    mood: Mood
    pair: tuple[int, str]
    tags: set[str]
    price: Decimal
    key: UUID
    raw: bytes = b""


#: What each field is in JSON.
VALUE = {
    "day": "2026-11-30",
    "at": "2026-11-30T10:00:00Z",
    "lasts": "PT1H",
    "mood": "good",
    "pair": [1, "x"],
    "tags": ["a"],
    "price": "9.90",
    "key": "12345678-1234-5678-1234-567812345678",
}


def schema(given: Any) -> AnswerSchema:
    read = read_schema(given)
    assert read is not None
    return read


def refused(given: Any, value: Any) -> str:
    with pytest.raises(SchemaMismatch) as caught:
        schema(given).read(json.dumps(value))
    return str(caught.value)


@pytest.mark.parametrize("text", ["{}", "Here:\n```json\n{}\n```", "Sure:\n{}\nAnything else?"])
def test_a_strict_model_takes_the_json_forms_of_its_types(text: str) -> None:
    parsed = schema(Strict).read(text.replace("{}", json.dumps(VALUE)))
    assert parsed == {**VALUE, "raw": ""}


@pytest.mark.parametrize("field", ["day", "at", "mood", "pair", "key"])
def test_a_strict_model_refuses_other_forms_and_names_the_field(field: str) -> None:
    said = refused(Strict, {**VALUE, field: {"SECRET": 1}})
    assert said.startswith(f'"{field}" ')
    assert "SECRET" not in said


def test_a_decimal_keeps_all_digits_of_its_text() -> None:
    class Priced(BaseModel):
        price: Decimal

    digits = "0.1234567890123456789012345"
    assert schema(Priced).read(f'{{"price": "{digits}"}}') == {"price": digits}
    assert schema(Priced).read('{"price": 9.90}') == {"price": "9.9"}


LONG = "0.1234567890123456789012345"


class Measured(BaseModel):
    price: Decimal
    rates: list[Decimal | None] = []
    about: float = 0
    other: Any = None


@pytest.mark.parametrize("model", [Measured, type("Strictly", (Measured,), {"model_config": {"strict": True}})])
def test_a_decimal_keeps_all_digits_of_a_number(model: Any) -> None:
    assert schema(model).read(f'{{"price": {LONG}, "rates": [1.5, -{LONG}e3, null]}}') == {
        "price": LONG,
        "rates": ["1.5", "-123.4567890123456789012345", None],
        "about": 0,
        "other": None,
    }


def test_a_number_of_many_digits_that_is_no_decimal_stays_a_number() -> None:
    read = schema(Measured).read(f'{{"price": 1, "about": {LONG}, "other": [{LONG}]}}')
    assert read == {"price": "1", "rates": [], "about": float(LONG), "other": [float(LONG)]}
    assert type(read["other"][0]) is type(read["about"]) is float


def test_a_number_of_many_digits_is_no_text() -> None:
    class Said(BaseModel):
        text: str

    assert refused(Said, float(LONG)).startswith("the answer fails")
    with pytest.raises(SchemaMismatch, match='"text" fails the rule string_type'):
        schema(Said).read(f'{{"text": {LONG}}}')


def test_half_a_character_in_a_text_does_not_make_an_answer_unfit() -> None:
    class Note(BaseModel):
        text: str

    assert schema(Note).read('{"text": "a\\ud83d"}') == {"text": "a\ufffd"}


def test_a_model_of_a_list_is_judged_as_json_too() -> None:
    class Days(RootModel[list[date]]):
        model_config = ConfigDict(strict=True)

    assert schema(Days).read('["2026-11-30"]') == ["2026-11-30"]
    assert refused(Days, ["2026-11-30", "SECRET"]).startswith('"1" ')


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    price: float


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    mood: Literal["good", "bad"]
    items: list[Item] = []
    scores: dict[str, int] = {}
    total: Annotated[int, Field(alias="Total")] = 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"mood": "SECRET"}, '"mood" is not one of the values that it may be'),
        ({}, '"mood" is missing'),
        ({"mood": "good", "items": [{"price": "SECRET"}]}, '"items/0/price" fails the rule float_parsing'),
        ({"mood": "good", "scores": {"SECRET": "x"}}, '"scores/*" fails the rule int_parsing'),
        ({"mood": "good", "SECRET": 1}, "the answer has a field that the model does not name"),
        ({"mood": "good", "Total": "SECRET"}, '"Total" fails the rule int_parsing'),
        ({"mood": "good", "items": [{"price": 1, "SECRET": 1}]}, '"items/0" has a field that the model does not name'),
        (["SECRET"], "the answer fails the rule model_type"),
    ],
)
def test_a_mismatch_names_the_place_and_the_kind_and_nothing_of_the_answer(value: Any, reason: str) -> None:
    assert refused(Order, value) == reason


def test_a_model_that_json_cannot_fill_is_refused_while_the_dag_is_parsed() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        made: json.JSONDecoder

    with pytest.raises(ValueError, match="output_schema is Odd, which has no JSON Schema"):
        read_schema(Odd)
