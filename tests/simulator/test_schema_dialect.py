"""Which JSON Schemas the platform takes at each level of its validator, and what it says of the others."""

from typing import Any

import pytest

from airflow_provider_kimi.simulator.schema_dialect import schema_problem

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def of(prop: object, **more: Any) -> dict[str, Any]:
    """A schema of an object with one property."""
    return {"type": "object", "properties": {"a": prop}, **more}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = dict(TEXT)
    for _ in range(levels):
        schema = of(schema)
    return schema


def named(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{number}": TEXT for number in range(count)}}


def chained(number: int) -> dict[str, Any]:
    """An object that needs the next one twice, in a circle."""
    after = {"$ref": f"#/$defs/{(number + 1) % 40}"}
    return {"type": "object", "properties": {"a": after, "b": after}, "required": ["a", "b"]}


#: A list that another list ends, and one that nothing ends.
NODE = of({"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}, required=["a"])
ENDLESS = of({"$ref": "#/$defs/Node"}, required=["a"])
TREE = of({"type": "array", "items": {"$ref": "#/$defs/Node"}}, required=["a"])
ONE_MORE = of({"type": "array", "items": {"$ref": "#/$defs/Node"}, "minItems": 1}, required=["a"])
TO_NODE = {"$ref": "#/$defs/Node"}

PASSING = [
    pytest.param({}, id="anything"),
    pytest.param(of(TEXT, required=["a"], additionalProperties=False), id="an object"),
    pytest.param(of(TEXT, additionalProperties={}), id="more properties of any type"),
    pytest.param(of(TEXT, additionalProperties=NUMBER), id="more properties of one type"),
    pytest.param(of({"type": "string", "minLength": 1, "maxLength": 9, "default": "x"}), id="bounds and a default"),
    pytest.param(of({"type": "integer", "minimum": 1, "maximum": 1}), id="equal bounds"),
    pytest.param(of({"type": "number", "minimum": 0.5, "enum": [1, 2.5]}), id="numbers"),
    pytest.param(of({"type": "array", "items": TEXT, "maxItems": 3}), id="an array"),
    pytest.param(of({"type": "array"}), id="an array of anything"),
    pytest.param(of({"type": ["string", "integer", "null"]}), id="several types"),
    pytest.param(of({"type": ["string", "null"], "enum": ["x", None]}), id="an enum that may be null"),
    pytest.param(of({"type": ["null", "integer"], "enum": [1, None]}), id="an enum that may be null, or a number"),
    pytest.param(of({"anyOf": [TEXT, {"type": "null"}], "description": "d", "title": "t"}), id="a union with notes"),
    pytest.param(of({**TO_NODE, "description": "d"}, **{"$defs": {"Node": TEXT}}), id="a reference with a note"),
    pytest.param({"$ref": "#/$defs/Node", "$defs": {"Node": NODE}, "$id": "x"}, id="a list that ends"),
    pytest.param({**TO_NODE, "$defs": {"Node": TREE}}, id="a tree with leaves"),
    pytest.param(of({"$ref": "#"}), id="itself, or nothing"),
    pytest.param(nested(5), id="five levels"),
    pytest.param(named(100), id="a hundred properties"),
    pytest.param(of({"type": "string", "enum": [f"{n}" for n in range(500)]}), id="500 values"),
    pytest.param(of({"anyOf": [TEXT] * 10}), id="ten branches"),
    pytest.param({"type": "string"}, id="a text as the root"),
    pytest.param(of(TEXT, title="Anfrage", description="评论"), id="notes in any script"),
]

#: Refused at both levels.
REFUSED = [
    pytest.param([], "root", "input schema must be an object", id="a list"),
    pytest.param(of(True), "root", "property schema for 'a' must be an object", id="true as a schema"),
    pytest.param(of({"type": "text"}), "properties.a", "invalid type", id="unknown type"),
    pytest.param(of({"type": []}), "properties.a", "type array cannot be empty", id="no type in a list"),
    pytest.param(
        of({"type": "string", "anyOf": [TEXT]}),
        "properties.a",
        "when using anyOf, type should be defined in anyOf items instead of the parent schema",
        id="type beside anyOf",
    ),
    pytest.param(
        of({"type": "string", **TO_NODE}, **{"$defs": {"Node": TEXT}}),
        "properties.a",
        "when using $ref, type should be defined in the referenced schema instead of the parent schema",
        id="type beside a reference",
    ),
    pytest.param(
        of({**TO_NODE, "description": "x"}, **{"$defs": {"Node": {**TEXT, "description": "y"}}}),
        "properties.a",
        "conflicting keywords found after $ref expansion: description",
        id="two descriptions",
    ),
    pytest.param(
        of({**TO_NODE, "title": "x"}, **{"$defs": {"Node": {"$ref": "#/$defs/B"}, "B": {**TEXT, "title": "y"}}}),
        "properties.a",
        "conflicting keywords found after $ref expansion: title",
        id="two titles on the way",
    ),
    pytest.param(
        of({"type": ["string", "null"], "minLength": 1}),
        "properties.a",
        "keyword minLength is not allowed in combination with multiple types",
        id="several types with a bound",
    ),
    pytest.param(
        of({"type": ["string", "integer"], "enum": ["x"]}),
        "properties.a",
        "when type is array and enum",
        id="mixed enum",
    ),
    pytest.param(of(TEXT, required=["b"]), "root", "required property 'b' is not defined in properties", id="required"),
    pytest.param(of(TEXT, required="a"), "root", "required must be an array", id="required as a text"),
    pytest.param(of({"enum": ["x"]}), "properties.a", "type is not defined", id="an enum without type"),
    pytest.param(
        of({"type": "string", "enum": ["x", 1]}), "properties.a", "enum value does not match", id="enum value"
    ),
    pytest.param(
        of({"type": "integer", "enum": [True]}), "properties.a", "enum value does not match", id="true is no 1"
    ),
    pytest.param(of({"type": "string", "enum": []}), "properties.a", "enum must be an array", id="empty enum"),
    pytest.param(
        of({"type": "string", "enum": ["x" * 31 + str(n) for n in range(251)]}),
        "properties.a",
        "total string length of enum values",
        id="long enum",
    ),
    pytest.param(
        of({"type": "string", "enum": ["标签名称一二三四五六" + str(n) for n in range(251)]}),
        "properties.a",
        "total string length of enum values",
        id="long enum in Chinese",
    ),
    pytest.param(
        of({"type": ["integer", "null"], "enum": [1, None]}),
        "properties.a",
        "not a valid integer",
        id="enum of numbers that may be null",
    ),
    pytest.param(
        of({"type": "string", "enum": [str(n) for n in range(501)]}),
        "properties.a",
        "enum array cannot",
        id="501 values",
    ),
    pytest.param(of({"type": "array", "items": [TEXT]}), "properties.a", "items must be an object", id="a tuple"),
    pytest.param(of({"anyOf": []}), "properties.a", "anyOf must be an array", id="no branch"),
    pytest.param(of({"anyOf": [True]}), "properties.a", "schema in anyOf must be an object", id="true as a branch"),
    pytest.param(of(TEXT, additionalProperties=None), "root", "additionalProperties must be", id="null for the rest"),
    pytest.param(
        {"type": "object", "properties": {"$ref": TEXT}}, "root", "property name '$ref' is reserved", id="name"
    ),
    pytest.param(of({"$ref": "other.json"}), "properties.a", "references must start with #/$defs/", id="another file"),
    pytest.param(of({"$ref": "#/properties/b"}), "properties.a", "references must start with", id="not a definition"),
    pytest.param(of(TO_NODE), "properties.a", "invalid $ref path: #/$defs/Node", id="no such definition"),
    pytest.param(
        of(TEXT, **{"$defs": {"a/b": TEXT}}), "root", "$defs property name 'a/b' cannot", id="slash in a name"
    ),
    pytest.param(
        of(TEXT, **{"$defs": {"B": of(TEXT, title="t") | {"properties": {"a/b": TEXT}}}}),
        "root",
        "$defs property name 'a/b' cannot",
        id="slash in a definition",
    ),
    pytest.param({**TO_NODE, "$defs": {"Node": ENDLESS}}, "root", "detected infinite recursion", id="endless list"),
    pytest.param({**TO_NODE, "$defs": {"Node": ONE_MORE}}, "root", "detected infinite recursion", id="endless tree"),
    pytest.param(
        {"$ref": "#/$defs/0", "$defs": {str(n): chained(n) for n in range(40)}},
        "root",
        "detected infinite recursion",
        id="a chain of forty pairs",
    ),
    pytest.param(of({"$ref": "#"}, required=["a"]), "properties.a", "detected infinite recursion", id="itself, always"),
    pytest.param(of({"type": "string", "description": 1}), "properties.a", "description must be a string", id="note"),
    pytest.param(nested(11), "root", "schema depth exceeds maximum limit of", id="eleven levels"),
    pytest.param(named(1001), "root", "", id="a thousand properties and one"),
    pytest.param(of({"type": "string", "description": "x" * 15_000}), "root", "schema exceeds maximum", id="15 KB"),
]

#: Refused at the level `ultra` only.
ULTRA = [
    *(
        pytest.param(of({**TEXT, key: value}), "properties.a", f"unsupported keywords: {key}", id=key)
        for key, value in {
            "const": "x",
            "format": "date",
            "pattern": "x",
            "oneOf": [TEXT],
            "allOf": [TEXT],
            "not": TEXT,
            "if": TEXT,
            "exclusiveMinimum": 0,
            "multipleOf": 2,
            "uniqueItems": True,
            "prefixItems": [TEXT],
            "propertyNames": TEXT,
            "$comment": "x",
            "discriminator": {},
        }.items()
    ),
    pytest.param(of(TEXT, **{"$schema": "https://x"}), "root", "unsupported keywords: $schema", id="$schema"),
    pytest.param(
        of(of(TEXT, **{"$defs": {}})), "properties.a", "keyword $defs must be at root level", id="inner $defs"
    ),
    pytest.param(
        of({"anyOf": [TEXT, {"type": "null"}], "default": None}),
        "properties.a",
        "keyword 'default' is not allowed at the same level as anyOf",
        id="an optional text with its default",
    ),
    pytest.param(
        of({**TO_NODE, "default": "x"}, **{"$defs": {"Node": TEXT}}),
        "properties.a",
        "keyword 'default' is not allowed at the same level as $ref",
        id="a default beside a reference",
    ),
    pytest.param(of({"title": "A"}), "properties.a", "type is not defined", id="no type"),
    pytest.param(of({}), "properties.a", "type is not defined", id="an empty property"),
    pytest.param(of({"type": "array", "items": {}}), "properties.a.items", "type is not defined", id="empty items"),
    pytest.param(of({"anyOf": [TEXT, {}]}), "properties.a.anyOf{1}", "type is not defined", id="an empty branch"),
    pytest.param(
        of({"type": "string", "minimum": 1}), "properties.a", "invalid keywords: minimum", id="a foreign bound"
    ),
    pytest.param(
        of({"type": "object", "default": {}}), "properties.a", "invalid keywords: default", id="object default"
    ),
    pytest.param(of({"type": "string", "default": 1}), "properties.a", "default does not match the type", id="default"),
    pytest.param(of({"type": "string", "minLength": -1}), "properties.a", "minLength and maxLength must be", id="-1"),
    pytest.param(
        of({"type": "array", "minItems": 1.5}), "properties.a", "minItems and maxItems must be", id="1.5 items"
    ),
    pytest.param(of({"type": "integer", "maximum": 1.5}), "properties.a", "minimum and maximum must be", id="1.5"),
    pytest.param(
        of({"type": "number", "minimum": 2, "maximum": 1}),
        "properties.a",
        "minimum (2) cannot be greater",
        id="crossed",
    ),
    pytest.param(
        of({"type": ["string", "string"]}), "properties.a", "duplicate types in type array", id="twice a type"
    ),
    pytest.param(of(TEXT, required=["a", "a"]), "root", "duplicate items in required array", id="twice required"),
    pytest.param({"type": "object", "properties": {"": TEXT}}, "root", "property name cannot be empty", id="no name"),
    pytest.param(nested(6), "root", "schema depth exceeds maximum limit of 5", id="six levels"),
    pytest.param(named(101), "root", "total number of properties keys(101) exceeds", id="101 properties"),
    pytest.param(of({"anyOf": [TEXT] * 11}), "properties.a", "anyOf must have 1-10 items", id="eleven branches"),
]


@pytest.mark.parametrize("schema", PASSING)
def test_a_schema_of_the_dialect_passes_at_every_level(schema: Any) -> None:
    assert schema_problem(schema, "ultra") is None
    assert schema_problem(schema, "strict") is None


@pytest.mark.parametrize(("schema", "path", "said"), REFUSED)
def test_a_schema_that_the_server_cannot_use_is_refused_at_both_levels(schema: Any, path: str, said: str) -> None:
    for level in ("strict", "ultra"):
        problem = schema_problem(schema, level)
        assert problem is not None
        assert problem.startswith(f"<At path '{path}': {said}")


@pytest.mark.parametrize(("schema", "path", "said"), ULTRA)
def test_a_schema_outside_the_dialect_is_refused_at_the_level_ultra_only(schema: Any, path: str, said: str) -> None:
    problem = schema_problem(schema, "ultra")
    assert problem is not None
    assert problem.startswith(f"<At path '{path}': {said}")
    assert schema_problem(schema, "strict") is None


@pytest.mark.parametrize("schema", [[], of(True), of({"type": "text"}), nested(20)])
def test_no_schema_is_refused_where_none_is_checked(schema: Any) -> None:
    assert schema_problem(schema, "off") is None
