"""Answers that have to fit a JSON Schema: a fault is named by words of the schema only, a faulty schema is refused."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.schema import AnswerSchema, read_schema


def schema(given: Any) -> AnswerSchema:
    read = read_schema(given)
    assert read is not None
    return read


def refused(given: Any, value: Any) -> str:
    with pytest.raises(SchemaMismatch) as caught:
        schema(given).read(json.dumps(value))
    return str(caught.value)


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    "given",
    [
        {"$ref": "#/nowhere"},
        of(a={"$ref": "#/$defs/A"}),
        {**of(a={"$ref": "#/$defs/A"}), "$defs": {"A": {"items": {"$ref": "#/$defs/B"}}}},
        of(a={"$ref": "https://example.com/schema.json"}),
        of(a={"$ref": "other.json#/A"}),
        of(a={"$ref": "#anchor"}),
        {"$ref": "#/components/A", "components": {"A": {"$ref": "#/components/B"}}},
    ],
    ids=repr,
)
def test_a_reference_to_nowhere_or_elsewhere_is_refused_while_the_dag_is_parsed(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="which is not in it; nothing is fetched"):
        read_schema(given)


@pytest.mark.parametrize(
    "given",
    [
        {**of(a={"$ref": "#/$defs/A"}), "$defs": {"A": {"type": "integer"}}},
        {**of(a={"$ref": "#/definitions/A~1B"}), "definitions": {"A/B": {"type": "integer"}}},
        {**of(a={"$ref": "#whole"}), "$defs": {"A": {"$anchor": "whole", "type": "integer"}}},
        {
            **of(a={"$ref": "https://example.com/a"}),
            "$defs": {"A": {"$id": "https://example.com/a", "type": "integer"}},
        },
        {**of(a={"type": "integer"}), "$schema": "http://json-schema.org/draft-07/schema#"},
        {**of(a={"type": "integer"}), "$schema": "https://example.com/unknown"},
    ],
    ids=repr,
)
def test_a_reference_inside_the_schema_is_followed(given: dict[str, Any]) -> None:
    assert schema(given).read('{"a": 1}') == {"a": 1}
    assert refused(given, {"a": "x"}) == '"a" is not of type integer'


def test_a_property_that_is_called_like_a_keyword_is_not_one() -> None:
    given = of(**{"$ref": {"type": "string"}, "format": {"type": "string"}, "enum": {"const": {"$ref": "x"}}})
    value = {"$ref": "#/x", "format": "odd", "enum": {"$ref": "x"}}
    assert schema(given).read(json.dumps(value)) == value


@pytest.mark.parametrize(
    "given",
    [{"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}],
    ids=repr,
)
def test_a_schema_without_an_end_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="refers to itself without an end"):
        read_schema(given)


def test_a_schema_may_refer_to_itself_one_level_further_in() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert schema(tree).read('{"children": [{"children": []}]}') == {"children": [{"children": []}]}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-02-28T10:00:00Z", "2026-02-28 at ten"),
        ("date-time", "2026-02-28T10:00:00.5+08:00", "2026-02-28T25:00:00Z"),
        ("time", "10:00:00Z", "10 o'clock"),
        ("email", "a@example.com", "nobody"),
        ("uuid", "12345678-1234-5678-1234-567812345678", "12345"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
    ],
)
def test_a_format_is_checked(name: str, good: str, bad: str) -> None:
    given = of(when={"type": "string", "format": name})
    assert schema(given).read(json.dumps({"when": good})) == {"when": good}
    assert refused(given, {"when": bad}) == f'"when" is not of the format {name}'


@pytest.mark.parametrize("name", ["uri", "datetime", "int32"])
def test_a_format_that_cannot_be_checked_is_refused_while_the_dag_is_parsed(name: str) -> None:
    with pytest.raises(ValueError, match=f"asks for the format '{name}', which cannot be checked"):
        read_schema(of(a={"anyOf": [{"type": "null"}, {"type": "string", "format": name}]}))


def test_a_pattern_that_cannot_be_read_is_refused_while_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="is not a JSON Schema"):
        read_schema(of(a={"type": "string", "pattern": "("}))


PRICES = of(items={"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}})


@pytest.mark.parametrize(
    ("given", "value", "reason"),
    [
        (of(mood={"enum": ["a", "b", "c"]}), {"mood": "SECRET"}, '"mood" is not one of the 3 values of enum'),
        (PRICES, {"items": [{"price": "SECRET"}]}, '"items/0/price" is not of type number'),
        (of(a={"type": ["string", "null"]}), {"a": 1}, '"a" is not of type string or null'),
        (of(a={}, b={}, c={}), {"b": "SECRET"}, "the answer lacks 'a', 'c'"),
        ({"additionalProperties": {"type": "number"}}, {"SECRET": "x"}, '"*" is not of type number'),
        ({**of(a={}), "additionalProperties": False}, {"a": 1, "SECRET": 1}, "the answer has a field that the schema"),
        (of(a={"maxLength": 3}), {"a": "SECRET"}, '"a" breaks the rule maxLength 3'),
        (of(a={"pattern": "^x"}), {"a": "SECRET"}, '"a" breaks the rule pattern'),
        (of(a={"const": 1}), {"a": "SECRET"}, '"a" breaks the rule const 1'),
    ],
)
def test_a_mismatch_names_the_place_and_the_kind_and_nothing_of_the_answer(given: Any, value: Any, reason: str) -> None:
    said = refused(given, value)
    assert said.startswith(reason)
    assert "SECRET" not in said


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "NaN"])
def test_a_number_that_no_reader_could_hold_is_no_answer(number: str) -> None:
    with pytest.raises(SchemaMismatch, match="holds no JSON"):
        schema(of(score={"type": "number"})).read(f'{{"score": {number}}}')
    assert schema(of(score={"type": "number"})).read('{"score": 1e308}') == {"score": 1e308}


@pytest.mark.parametrize(
    "number", ["0.1234567890123456789012345", "-1234567890.12345678901", "1.00000000000000000001e-7"]
)
def test_a_number_keeps_all_digits_in_the_results_and_is_a_number_before(number: str) -> None:
    wanted = {"type": "object", "properties": {"rate": {"type": "number", "maximum": 1}}}
    checked = AnswerCheck(read_schema(wanted), check=lambda row: None if row["parsed"]["rate"] * 2.0 < 1 else "high")
    row = checked.judge(Row(custom_id="a", status="succeeded", content=f'{{"rate": {number}}}'))
    assert row.status == "succeeded", row.error_message
    assert row.parsed == {"rate": float(number)}
    line = ResultLines(checked.fields).encode(row, b"", (None, None, None))
    assert f'"parsed":{{"rate":{number}}}'.encode() in line


@pytest.mark.parametrize(
    ("written", "meant"),
    [("propertys", "properties"), ("require", "required"), ("enums", "enum"), ("minlength", "minLength")],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_misspelled_keyword_is_refused_since_everything_would_fit(written: str, meant: str, nested: bool) -> None:
    part = {"type": "object", written: {} if written == "propertys" else ["a"]}
    with pytest.raises(ValueError, match=f"has the keyword '{written}', .* Is '{meant}' meant"):
        read_schema(of(inner={"anyOf": [part, {"type": "null"}]}) if nested else part)


@pytest.mark.parametrize("note", ["example", "nullable", "descriptions", "x-order", "unit"])
def test_a_keyword_that_only_notes_something_is_taken(note: str) -> None:
    assert read_schema({**of(enums={"type": "string", note: "a"}), "propertyOrder": ["enums"]}) is not None
