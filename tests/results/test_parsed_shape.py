"""The type of `parsed` is the one that the schema declares."""

import json
from datetime import date
from enum import Enum, IntEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from airflow_provider_kimi.results.parsed_shape import Fields, ListOf, shape_of_schema, spread_fields
from airflow_provider_kimi.results.schema import read_schema


class Level(IntEnum):
    low = 1
    high = 2


class Tone(Enum):
    good = "good"
    bad = "bad"


class Part(BaseModel):
    name: str
    price: float | None = None


class Review(BaseModel):
    label: Literal["positive", "negative"]
    stars: int = Field(alias="Stars")
    sure: bool
    when: date
    level: Level
    parts: list[Part]
    pair: tuple[int, int]
    extra: dict[str, int]
    either: int | str


class Aliased(BaseModel, serialize_by_alias=True):
    stars: int = Field(alias="Stars")


class Node(BaseModel):
    name: str
    below: list["Node"]


def shape_of(output_schema: Any) -> Any:
    schema = read_schema(output_schema)
    return schema and schema.shape


def test_a_model_is_an_object_of_its_fields_by_the_names_that_parsed_has() -> None:
    part = Fields((("name", "string"), ("price", "float64")))
    assert shape_of(Review) == Fields(
        (
            ("label", "string"),
            ("stars", "int64"),
            ("sure", "bool"),
            ("when", "string"),
            ("level", "int64"),
            ("parts", ListOf(part)),
            ("pair", ListOf("int64")),
            ("extra", "json"),
            ("either", "json"),
        )
    )


@pytest.mark.parametrize("model", [Review, Aliased], ids=str)
def test_a_field_has_the_name_that_parsed_gives_it(model: type[BaseModel]) -> None:
    schema = read_schema(model)
    assert schema
    given = {
        "label": "positive",
        "Stars": 1,
        "sure": True,
        "when": "2026-01-01",
        "level": 1,
        "parts": [],
        "pair": [1, 2],
    }
    parsed = schema.read(json.dumps({**given, "extra": {}, "either": 1}))
    assert [name for name, _ in spread_fields(schema.shape).fields] == list(parsed)


def test_a_model_that_holds_itself_is_json_where_it_does() -> None:
    assert shape_of(Node) == Fields((("name", "string"), ("below", "json")))


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        (["a", "b"], "string"),
        ((1, 2), "int64"),
        ([True, False], "bool"),
        ([True, 1], "json"),
        (Literal["a", "b"], "string"),
        (Tone, "string"),
        (Level, "int64"),
        ({"type": "integer"}, "int64"),
        ({"type": ["integer", "null"]}, "int64"),
        ({"type": ["integer", "number"]}, "float64"),
        ({"type": ["integer", "string"]}, "json"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "bool"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "float64"),
        ({"enum": ["a", None]}, "string"),
        ({"const": 1}, "int64"),
        ({"type": "array"}, "json"),
        ({"type": "array", "items": {"type": "string"}}, ListOf("string")),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "json"),
        ({"type": "object"}, "json"),
        ({"type": "object", "properties": {}, "additionalProperties": True}, "json"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {}}, "json"),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "number"}}}, Fields((("a", "float64"),))),
        ({"allOf": [{"type": "string"}]}, "string"),
        ({}, "json"),
        ({"positive": ["pos"], "negative": ["neg"]}, "string"),
        ({1: ["one"], 2: ["two"]}, "int64"),
    ],
    ids=str,
)
def test_a_schema_has_one_type_or_is_json(schema: Any, shape: Any) -> None:
    assert shape_of(schema) == shape


@pytest.mark.parametrize("part", [{"$ref": "#/nowhere"}, {"$ref": "https://example.com/a"}, {"type": "nonsense"}])
def test_a_part_that_means_nothing_is_json(part: Any) -> None:
    assert shape_of_schema(part) == "json"


@pytest.mark.parametrize("schema", [None, ["a", "b"], {"type": "object"}, {"type": "array"}], ids=str)
def test_only_named_fields_are_spread(schema: Any) -> None:
    with pytest.raises(ValueError, match="parsed_columns is True; it needs an output_schema whose answers are objects"):
        spread_fields(shape_of(schema))
    assert [name for name, _ in spread_fields(shape_of(Node)).fields] == ["name", "below"]
