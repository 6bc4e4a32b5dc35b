"""Each form of JSON Schema that Kimi does not take: what is sent in place of it, or why it is refused."""

import json
import subprocess
import sys
from typing import Any, Optional

import pytest
from pydantic import BaseModel, Field

from airflow_provider_kimi.api.schema_check import problems
from airflow_provider_kimi.api.schema_rewrite import rewritten, with_own_root
from airflow_provider_kimi.simulator.schema_dialect import schema_problem
from tests.architecture.modules import PACKAGE

ANYTHING = {"type": ["string", "number", "boolean", "null", "object", "array"]}
TEXT, WHOLE, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}


def sent(schema: dict[str, Any]) -> Any:
    """What is sent in place of a schema, which the platform takes."""
    before = json.dumps(schema)
    found, refused = rewritten(schema)
    assert not refused
    assert json.dumps(schema) == before
    assert not schema_problem(found, "ultra")
    assert not schema_problem(found, "strict")
    return found


def sent_field(schema: Any, **root: Any) -> Any:
    """What is sent in place of the schema of a field."""
    return sent({"type": "object", "properties": {"a": schema}, **root})["properties"]["a"]


def any_of(*branches: Any, **others: Any) -> dict[str, Any]:
    return {"anyOf": list(branches), **others}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param({**any_of(TEXT, NULL), "default": None}, any_of(TEXT, NULL), id="default beside anyOf"),
        pytest.param({"const": "a"}, {**TEXT, "enum": ["a"]}, id="const"),
        pytest.param({"const": 1, "type": "number"}, {"type": "number", "enum": [1]}, id="const of a type"),
        pytest.param({"const": None}, NULL, id="const null"),
        pytest.param({"const": True}, {"type": "boolean", "enum": [True]}, id="const true"),
        pytest.param({**TEXT, "format": "date"}, {**TEXT, "description": "Format: date."}, id="format"),
        pytest.param(
            {**TEXT, "pattern": "^a{2}$", "description": "A code."},
            {**TEXT, "description": "A code. Matches the regular expression ^a{2}$."},
            id="pattern",
        ),
        pytest.param({**WHOLE, "exclusiveMinimum": 0}, {**WHOLE, "minimum": 1}, id="gt of a whole number"),
        pytest.param({**WHOLE, "exclusiveMaximum": 2.5}, {**WHOLE, "maximum": 2}, id="lt of a whole number"),
        pytest.param(
            {**WHOLE, "minimum": 5, "exclusiveMinimum": 3}, {**WHOLE, "minimum": 5}, id="the tighter of two bounds"
        ),
        pytest.param({**WHOLE, "minimum": 1.5, "maximum": 3.0}, {**WHOLE, "minimum": 2, "maximum": 3}, id="fractions"),
        pytest.param(
            {**WHOLE, "minimum": 3, "exclusiveMinimum": True}, {**WHOLE, "minimum": 4}, id="bounds of draft 4"
        ),
        pytest.param(
            {**WHOLE, "exclusiveMaximum": 2**63, "minimum": 0},
            {**WHOLE, "minimum": 0, "description": "Less than 9223372036854775808."},
            id="a bound that is too large",
        ),
        pytest.param(
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            {"type": "number", "minimum": 0, "maximum": 1, "description": "More than 0."},
            id="gt of a number",
        ),
        pytest.param(
            {"type": "number", "minimum": 1e-7},
            {"type": "number", "description": "At least 1e-07."},
            id="a bound that needs an exponent",
        ),
        pytest.param({**WHOLE, "multipleOf": 5}, {**WHOLE, "description": "A multiple of 5."}, id="multipleOf"),
        pytest.param(
            {"type": "array", "items": WHOLE, "uniqueItems": True},
            {"type": "array", "items": WHOLE, "description": "No item is repeated."},
            id="uniqueItems",
        ),
        pytest.param({"type": "array", "items": {}, "uniqueItems": False}, {"type": "array"}, id="items of any kind"),
        pytest.param(
            {"type": "object", "minProperties": 1, "propertyNames": {"enum": ["a"]}},
            {
                "type": "object",
                "description": 'At least 1 fields. Each name of a field fits the JSON Schema {"enum": ["a"]}.',
            },
            id="names of fields",
        ),
        pytest.param({"enum": ["a", "b"]}, {**TEXT, "enum": ["a", "b"]}, id="an enum without a type"),
        pytest.param({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}, id="an enum of numbers"),
        pytest.param({"enum": [1.0, 2]}, {**WHOLE, "enum": [1, 2]}, id="an enum of whole numbers"),
        pytest.param(
            {"enum": ["a", 1, True, None]},
            any_of({**TEXT, "enum": ["a"]}, {**WHOLE, "enum": [1]}, {"type": "boolean", "enum": [True]}, NULL),
            id="a mixed enum",
        ),
        pytest.param({**TEXT, "enum": ["a", 1, None]}, {**TEXT, "enum": ["a"]}, id="values of other types"),
        pytest.param(
            {"enum": ["a", None], "type": ["string", "null"], "format": "x"},
            any_of({**TEXT, "enum": ["a"]}, NULL),
            id="a nullable enum with more",
        ),
        pytest.param(
            {"type": ["integer", "null"], "enum": [1, None]},
            any_of({**WHOLE, "enum": [1]}, NULL),
            id="an enum of numbers that may be null",
        ),
        pytest.param({**TEXT, "enum": ["a"], "default": "a"}, {**TEXT, "enum": ["a"], "default": "a"}, id="a default"),
        pytest.param({"enum": [1], "default": True}, {**WHOLE, "enum": [1]}, id="a default of another type"),
        pytest.param({"type": "array", "default": []}, {"type": "array"}, id="a default that is no scalar"),
        pytest.param({"minLength": 2}, {**TEXT, "minLength": 2}, id="a missing type"),
        pytest.param({"description": "Any."}, {**ANYTHING, "description": "Any."}, id="anything, described"),
        pytest.param({}, ANYTHING, id="anything"),
        pytest.param(True, ANYTHING, id="true"),
        pytest.param(
            {"type": ["string", "null"], "maxLength": 3}, any_of({**TEXT, "maxLength": 3}, NULL), id="types with bounds"
        ),
        pytest.param(
            {"type": ["string", "null"], "default": None}, {"type": ["string", "null"]}, id="types with a default"
        ),
        pytest.param({"oneOf": [TEXT, WHOLE], "discriminator": {}}, any_of(TEXT, WHOLE), id="oneOf"),
        pytest.param({"anyOf": [TEXT, False, TEXT]}, TEXT, id="a branch that never fits, and one twice"),
        pytest.param(
            {"type": "string", "anyOf": [{"minLength": 5}, {"enum": ["a"]}]},
            any_of({**TEXT, "minLength": 5}, {**TEXT, "enum": ["a"]}),
            id="type beside anyOf",
        ),
        pytest.param({"allOf": [{**TEXT, "title": "T"}], "title": "Own"}, {**TEXT, "title": "Own"}, id="allOf of one"),
        pytest.param(
            {
                **TEXT,
                "$schema": "s",
                "$comment": "c",
                "examples": ["e"],
                "readOnly": True,
                "deprecated": True,
                "x-y": 1,
            },
            TEXT,
            id="annotations",
        ),
        pytest.param(
            {"type": "array", "prefixItems": [WHOLE, TEXT], "minItems": 2, "maxItems": 2},
            {
                "type": "array",
                "items": any_of(WHOLE, TEXT),
                "minItems": 2,
                "maxItems": 2,
                "description": "Items in this order: integer, string.",
            },
            id="a tuple",
        ),
        pytest.param(
            {"type": "array", "items": [TEXT, TEXT], "additionalItems": False},
            {"type": "array", "items": TEXT, "maxItems": 2},
            id="a tuple of draft 7",
        ),
        pytest.param(
            {"type": "array", "prefixItems": [TEXT], "items": WHOLE},
            {"type": "array", "items": any_of(TEXT, WHOLE)},
            id="an open tuple",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": {"const": 1}},
            {"type": "object", "additionalProperties": {**WHOLE, "enum": [1]}},
            id="a mapping",
        ),
        pytest.param(
            {"type": "object", "required": ["b", "b"], "additionalProperties": WHOLE},
            {"type": "object", "properties": {"b": WHOLE}, "required": ["b"], "additionalProperties": WHOLE},
            id="a required field that is not declared",
        ),
    ],
)
def test_a_field_is_written_in_the_dialect(given: Any, wanted: Any) -> None:
    assert sent_field(given) == wanted


def test_fields_of_both_sides_of_a_choice_are_joined() -> None:
    branches = [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": TEXT}, "required": ["b"]}]
    given = {"type": "object", "properties": {"a": TEXT, "b": {}}, "required": [], "anyOf": branches}
    both = {"a": TEXT, "b": ANYTHING}
    first, second = sent(given)["anyOf"]
    assert first == {"type": "object", "properties": both, "required": ["a"]}
    assert second == {"type": "object", "properties": {**both, "b": TEXT}, "required": ["b"]}


def test_a_definition_with_a_slash_is_renamed_and_its_references_follow() -> None:
    given = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/x~1y"}, "b": {"$ref": "#/$defs/x_y"}, "c": {"$ref": "#/$defs/x%2Fy"}},
        "$defs": {"x/y": TEXT, "x_y": {**WHOLE, "title": "Own"}},
    }
    found = sent(given)
    names = {key: part["$ref"].removeprefix("#/$defs/") for key, part in found["properties"].items()}
    assert [found["$defs"][names[key]] for key in "abc"] == [TEXT, {**WHOLE, "title": "Own"}, TEXT]
    assert not any("/" in name for name in names.values())


@pytest.mark.parametrize(
    "given",
    [
        {"properties": {"a": {"$ref": "#/definitions/T"}}, "definitions": {"T": {"const": "a"}}},
        {"properties": {"a": {"$ref": "#/$defs/U"}}, "$defs": {"U": {"$ref": "#/$defs/T"}, "T": {"const": "a"}}},
        {"properties": {"a": {"$ref": "#/properties/b/$defs/T"}, "b": {**TEXT, "$defs": {"T": {"const": "a"}}}}},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"const": "a"}}},
        {"properties": {"a": {"$ref": "#/$defs/T", "type": "string"}}, "$defs": {"T": {"const": "a"}}},
    ],
    ids=["definitions", "chain", "not at the root", "a field", "type beside it"],
)
def test_references_lead_to_definitions_at_the_root(given: dict[str, Any]) -> None:
    found = sent({"type": "object", **given})
    target = found["properties"]["a"]
    while "$ref" in target:
        target = found["$defs"][target["$ref"].removeprefix("#/$defs/")]
    assert target == {**TEXT, "enum": ["a"]}


def test_what_is_said_beside_a_reference_is_kept_where_its_definition_says_something_too() -> None:
    beside = {"$ref": "#/$defs/T", "description": "Why.", "default": "b", "minLength": 1}
    found = sent_field(beside, **{"$defs": {"T": {"const": "b", "description": "What."}}})
    assert found == {"anyOf": [{"$ref": "#/$defs/T"}], "description": "Why. At least 1 characters."}


def test_more_branches_than_may_stand_beside_each_other_are_grouped() -> None:
    branches = [{**TEXT, "enum": [str(number)]} for number in range(25)]
    assert [len(group["anyOf"]) for group in sent_field({"anyOf": branches})["anyOf"]] == [10, 10, 5]


def test_a_root_that_is_a_reference_stays_and_can_be_written_as_its_definition() -> None:
    class Node(BaseModel):
        next: Optional["Node"]

    given = json.loads(json.dumps(Node.model_json_schema()))
    assert sent(given) is given
    assert with_own_root(given)["type"] == "object"

    class Default(BaseModel):
        next: Optional["Default"] = Field(default=None, description="It.")

    assert sent(Default.model_json_schema())["type"] == "object"


def test_an_id_stays_at_the_root_and_unused_definitions_go() -> None:
    given = {"$id": "i", "type": "object", "properties": {"a": {"const": 1}}, "$defs": {"b": TEXT}}
    assert sent(given) == {"$id": "i", "type": "object", "properties": {"a": {**WHOLE, "enum": [1]}}}


def test_what_the_platform_takes_is_the_same_object() -> None:
    fine: list[dict[str, Any]] = [{}, {"type": "object"}, {"anyOf": [{"type": "object"}]}, {"type": "array"}]
    assert all(sent(schema) is schema for schema in fine)


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ({"not": TEXT}, "properties/a", "'not' is not taken; say in a description"),
        ({"if": TEXT, "then": TEXT}, "properties/a", "'if' is not taken; write each case as a branch of anyOf"),
        ({"dependentRequired": {}}, "properties/a", "'dependentRequired' is not taken"),
        ({"contains": TEXT}, "properties/a", "'contains' is not taken"),
        ({"unevaluatedProperties": False}, "properties/a", "not taken; use additionalProperties"),
        ({"$dynamicRef": "#a"}, "properties/a", "'$dynamicRef' is not taken; use $ref"),
        ({"allOf": [TEXT, {"minLength": 2}]}, "properties/a", "allOf has several members; write them as one schema"),
        ({"oneOf": [TEXT], "anyOf": [TEXT]}, "properties/a", "'oneOf' stands beside 'anyOf'"),
        ({"$ref": "https://a/b"}, "properties/a", "leads to 'https://a/b', outside of it; put it into $defs"),
        ({"$ref": "#/$defs/x"}, "properties/a", "leads to '#/$defs/x', where nothing is"),
        ({"$ref": "#", "properties": {}}, "properties/a", "'properties' stands beside '$ref'"),
        ({"type": "object", "$id": "x"}, "properties/a", "'$id' stands below the root"),
        ({"const": [1]}, "properties/a", "is a list or an object; write such values as text"),
        ({"type": "string", "enum": [1]}, "properties/a", "no value of enum or const is of its type"),
        ({"properties": {"required": TEXT}}, "properties/a", "the name 'required', which is reserved; name it differ"),
        ({"properties": {"x": False}}, "properties/a/properties/x", "leave the field out"),
        ({"type": "text"}, "properties/a", "it does not say its type"),
        ({"minLength": 3, "maxLength": 2}, "properties/a", "minLength is above maxLength"),
        (
            {"type": "object", "additionalProperties": False, "anyOf": [{"properties": {"x": TEXT}}]},
            "properties/a/anyOf/0",
            "'additionalProperties' is said twice",
        ),
        ({"properties": {"x": TEXT}, "anyOf": [{"properties": {"x": WHOLE}}]}, "properties/a/anyOf/0", "said twice"),
    ],
)
def test_what_cannot_be_written_is_refused_with_its_place_and_a_way_out(given: Any, path: str, said: str) -> None:
    _, (problem, *_) = rewritten({"type": "object", "properties": {"a": given}})
    assert problem.path == path
    assert said in str(problem)


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = TEXT
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (nested(6), "at its root: it has 6 levels of fields; 5 are allowed; nest less"),
        (
            {"type": "object", "properties": {f"f{number}": TEXT for number in range(101)}},
            "it has 101 fields in all; 100 are allowed",
        ),
        ({"type": "string", "enum": list(map(str, range(501)))}, "its enums have 501 values in all; 500 are allowed"),
        ({"type": "string", "enum": [f"{number:040}" for number in range(251)]}, "its enum has 10,040 bytes"),
        (
            {"type": "string", "enum": [f"中文标签名称甲乙{number:03}" for number in range(300)]},
            "its enum has 8,100 bytes",
        ),
        ({"type": "string", "description": "x" * 15_001}, "bytes; 15,000 are allowed; shorten its descriptions"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            "it refers to itself without an end; make the field that leads back optional or nullable",
        ),
        ({"$ref": "#"}, "refers to itself without an end"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "refers to itself without an end"),
        (
            {"anyOf": [{"$ref": "#/$defs/a"}, NULL], "$defs": {"a": {"type": "object", "properties": {"x/y": TEXT}}}},
            "at $defs/a: a field in $defs has a slash in its name; name it differently (an alias)",
        ),
    ],
)
def test_what_is_too_large_or_never_ends_is_refused(given: dict[str, Any], said: str) -> None:
    _, refused = rewritten(given)
    assert said in "; ".join(map(str, refused))


@pytest.mark.parametrize("keyword", ["items", "not", "anyOf"])
def test_a_schema_without_a_bottom_is_refused(keyword: str) -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {keyword: [schema] if keyword == "anyOf" else schema}
    assert rewritten({"type": "array", "items": schema})[1]


def test_references_that_multiply_are_followed_for_a_moment_only() -> None:
    doubled = {"anyOf": [{"$ref": "#/$defs/{}"}, {"type": "array", "items": {"$ref": "#/$defs/{}"}}]}
    names = [f"d{number}" for number in range(40)]
    definitions = {
        name: json.loads(json.dumps(doubled).replace("{}", after))
        for name, after in zip(names, names[1:], strict=False)
    }
    given = {"$ref": "#/$defs/d0", "$defs": {**definitions, "d39": TEXT}}
    assert [problem.rule for problem in problems(given)] == ["its references are too many to follow"]


def test_a_recursion_ends_in_an_empty_list_or_a_missing_field() -> None:
    ending: list[dict[str, Any]] = [
        {"type": "array", "items": {"$ref": "#"}},
        {"anyOf": [{"$ref": "#"}, NULL]},
    ]
    for field in ending:
        assert not problems({"type": "object", "properties": {"a": field}, "required": ["a"]})
    endless = {"type": "array", "items": {"$ref": "#"}, "minItems": 1}
    assert problems({"type": "object", "properties": {"a": endless}, "required": ["a"]})


def test_each_process_writes_the_same_bytes() -> None:
    program = """
import json
from airflow_provider_kimi.api.schema_rewrite import rewritten
names = [f"n{number}" for number in range(20)]
parent = {"type": "object", "properties": {name: {} for name in names}, "required": names, "minProperties": 1}
branch = {"properties": {name + "b": {"const": name} for name in names}, "required": names[::-1] + ["new", "other"]}
definitions = {name: {"const": name} for name in names}
print(json.dumps(rewritten({**parent, "anyOf": [branch], "$defs": definitions})))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in "123"
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"type": "object", "properties": {f"f{number}": TEXT for number in range(101)}},
        {"type": "string", "enum": list(map(str, range(501)))},
        nested(6),
        {"type": "string", "description": "x" * (15_001 - len('{"type":"string","description":""}'))},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"allOf": [TEXT, TEXT]},
        {"type": "object", "properties": {"required": TEXT}},
    ],
)
def test_the_docs_have_the_words_of_a_refusal(given: dict[str, Any]) -> None:
    page = (PACKAGE.parent / "docs/when-it-does-not-work.md").read_text(encoding="utf-8")
    _, (problem, *_) = rewritten(given)
    assert f"`{problem.rule}`" in page or f"`{problem.rule}, " in page or f" `{problem.rule}" in page
