"""Random models and schemas in Kimi's dialect: what is sent is taken, and fits the same answers."""

import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, create_model

from airflow_provider_kimi.api.schema_check import problems
from airflow_provider_kimi.api.schema_dialect import BOUNDS_IN_WORDS, KEYWORDS, NARROWING, SHAPING
from airflow_provider_kimi.api.schema_rewrite import rewritten
from airflow_provider_kimi.simulator.schema_dialect import schema_problem


class Kind(NamedTuple):
    """A type of a field, and the JSON of some of its values."""

    annotation: Any
    values: st.SearchStrategy[Any]


class Mood(enum.Enum):
    """How it is."""

    GOOD = "good"
    BAD = "bad"


class Mixed(enum.Enum):
    TEXT = "a"
    NUMBER = 1
    NOTHING = None


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int = Field(gt=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str | None = None


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []
    parent: Optional["Tree"] = None


CATS = st.fixed_dictionaries({"kind": st.just("cat"), "lives": st.integers(1, 9)})
DOGS = st.fixed_dictionaries({"kind": st.just("dog")}, optional={"name": st.none() | st.text()})
TREES = st.recursive(
    st.fixed_dictionaries({"name": st.text()}),
    lambda trees: st.fixed_dictionaries({"name": st.text()}, optional={"children": st.lists(trees), "parent": trees}),
    max_leaves=5,
)
WHOLE = st.integers(-(2**40), 2**40)
REAL = st.floats(-1e6, 1e6, allow_nan=False)
LEAVES = [
    Kind(str, st.text()),
    Kind(int, WHOLE),
    Kind(float, REAL),
    Kind(bool, st.booleans()),
    Kind(Any, st.none() | st.text() | st.lists(st.integers(0, 3)) | st.fixed_dictionaries({"a": st.booleans()})),
    Kind(datetime.date, st.dates().map(str)),
    Kind(datetime.datetime, st.datetimes().map(lambda moment: moment.isoformat())),
    Kind(uuid.UUID, st.uuids().map(str)),
    Kind(decimal.Decimal, st.integers(-99, 99).map(str) | REAL),
    Kind(Literal["only"], st.just("only")),
    Kind(Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    Kind(Literal[True, 2], st.sampled_from([True, 2])),
    Kind(Mood, st.sampled_from(["good", "bad"])),
    Kind(Mixed, st.sampled_from(["a", 1, None])),
    Kind(Annotated[int, Field(gt=3, lt=2**63)], st.integers(4, 2**40)),
    Kind(Annotated[int, Field(multiple_of=3)], st.integers(0, 99).map(lambda number: number * 3)),
    Kind(Annotated[float, Field(gt=0, le=1)], st.floats(0.001, 1)),
    Kind(Annotated[float, Field(ge=1e-9)], st.floats(0.001, 1)),
    Kind(Annotated[str, Field(pattern="^a+$", max_length=3)], st.sampled_from(["a", "aa", "aaa"])),
    Kind(Cat, CATS),
    Kind(Tree, TREES),
    Kind(Annotated[Cat | Dog, Field(discriminator="kind")], CATS | DOGS),
]


def larger(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    """Types that are made of others."""
    return st.one_of(
        inner.map(lambda one: Kind(Optional[one.annotation], one.values | st.none())),  # noqa: UP045
        inner.map(lambda one: Kind(list[one.annotation], st.lists(one.values, max_size=3))),  # type: ignore[name-defined]
        inner.map(lambda one: Kind(dict[str, one.annotation], st.dictionaries(st.text(), one.values, max_size=3))),  # type: ignore[name-defined]
        st.tuples(inner, inner).map(
            lambda both: Kind(
                Union[both[0].annotation, both[1].annotation],  # noqa: UP007
                both[0].values | both[1].values,
            )
        ),
        st.tuples(inner, inner).map(
            lambda both: Kind(
                tuple[both[0].annotation, both[1].annotation],  # type: ignore[misc]
                st.tuples(both[0].values, both[1].values).map(list),
            )
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda kinds: model_of(kinds, [0] * len(kinds))),
    )


def model_of(kinds: list[Kind], forms: list[int]) -> Kind:
    """A model with a field of each type.

    :param forms: Of each field: 0 is required, 1 is described, 2 may be None and left out, 3 is both.
    """
    fields: dict[str, Any] = {}
    needed, optional = {}, {}
    for number, (kind, form) in enumerate(zip(kinds, forms, strict=True)):
        name = f"f{number}"
        notes: dict[str, Any] = {"description": "What it is.", "examples": [1]} if form % 2 else {}
        if form < 2:
            fields[name] = (kind.annotation, Field(**notes))
            needed[name] = kind.values
        else:
            fields[name] = (Optional[kind.annotation], Field(default=None, **notes))  # noqa: UP045
            optional[name] = kind.values | st.none()
    model = create_model("Made", **fields)
    return Kind(model, st.fixed_dictionaries(needed, optional=optional))


KINDS = st.recursive(st.sampled_from(LEAVES), larger, max_leaves=4)
MODELS = st.lists(st.tuples(KINDS, st.integers(0, 3)), min_size=1, max_size=5).map(
    lambda fields: model_of([kind for kind, _ in fields], [form for _, form in fields])
)
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def fits(schema: Any, document: Any) -> bool:
    return bool(Draft202012Validator(schema).is_valid(document))


def is_taken(schema: Any) -> bool:
    return not problems(schema) and not schema_problem(schema, "strict") and not schema_problem(schema, "ultra")


def descriptions(schema: Any) -> Iterator[str]:
    """All descriptions in a schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("description"), str):
            yield schema["description"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from descriptions(part)


@SLOW
@given(MODELS, st.data())
def test_what_is_sent_of_a_model_is_taken_and_fits_what_the_model_accepts(model: Kind, data: st.DataObject) -> None:
    schema = model.annotation.model_json_schema()
    before = json.dumps(schema)
    sent, found = rewritten(schema)
    assert json.dumps(schema) == before
    if found:
        assert all("levels of fields" in problem.rule or "fields in all" in problem.rule for problem in found)
        return
    assert is_taken(sent)
    document = data.draw(model.values)
    model.annotation.model_validate_json(json.dumps(document))
    assert fits(sent, document)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A document with one value put in the place of another, left out, or added."""
    other: Any = draw(st.none() | st.booleans() | WHOLE | REAL | st.text(max_size=3) | st.just([]) | st.just({}))
    if isinstance(document, dict) and document and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(document)))
        rest = {key: value for key, value in document.items() if key != name}
        return rest if draw(st.booleans()) else {**rest, name: draw(mutated(document[name]))}
    if isinstance(document, dict) and draw(st.booleans()):
        return {**document, "other": other}
    if isinstance(document, list) and draw(st.booleans()):
        return [*document, other]
    return other


@SLOW
@given(MODELS, st.data())
def test_where_nothing_was_put_into_words_nothing_more_fits_what_is_sent(model: Kind, data: st.DataObject) -> None:
    schema = model.annotation.model_json_schema()
    sent, found = rewritten(schema)
    assume(not found and set(descriptions(sent)) <= set(descriptions(schema)))
    document = data.draw(model.values.flatmap(mutated))
    assert fits(schema, document) or not fits(sent, document)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Dog


@given(DOGS, st.data())
def test_a_model_without_other_fields_stays_without_them(dog: Any, data: st.DataObject) -> None:
    sent, found = rewritten(Strict.model_json_schema())
    assert not found
    document = data.draw(mutated({"inner": dog}))
    assert fits(Strict.model_json_schema(), document) == fits(sent, document)


WORDS = sorted(
    {*KEYWORDS, *SHAPING, *NARROWING, *BOUNDS_IN_WORDS, "oneOf", "allOf", "const", "prefixItems", "definitions"}
)
SCALARS = st.sampled_from(
    [None, True, False, -1, 0, 3, 2.5, 1e300, 2**60, float("inf"), "", "a", "object", "string", "#"]
)
REFS = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/a~1b", "#/definitions/b", "#/properties/a", "#x", "http://a/b", "#/"]
)


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas, hardly any of which makes sense."""
    named = st.dictionaries(st.sampled_from(["a", "b", "a/b", "", "$ref", "required"]), inner, max_size=3)
    kinds = st.sampled_from(["object", "array", "string", "integer", "number", "null", "boolean", "text"])
    values: Any = st.lists(SCALARS | st.just([]) | st.just({}), max_size=4)
    usual = {
        **dict.fromkeys(("properties", "$defs", "definitions", "patternProperties"), named),
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), st.lists(inner, max_size=3)),
        **dict.fromkeys(("items", "additionalProperties", "not", "propertyNames"), inner),
        "type": kinds | st.lists(kinds, max_size=3),
        "enum": values,
        "required": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
        "$ref": REFS,
    }
    odd = st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=2), SCALARS | inner | st.lists(inner), max_size=4)
    made = st.fixed_dictionaries({}, optional=usual)
    return st.tuples(made, odd, st.booleans()).map(lambda both: {**both[1], **both[0]} if both[2] else both[0])


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.recursive(SCALARS | st.just({}), schemas, max_leaves=12).filter(lambda made: isinstance(made, dict)))
def test_any_schema_is_sent_in_the_dialect_or_refused_in_words(schema: Any) -> None:
    sent, found = rewritten(schema)
    for problem in found:
        assert problem.rule
        assert problem.way_out
        assert str(problem).startswith("at ")
    if not found:
        assert is_taken(sent)
        assert rewritten(sent)[0] is sent
