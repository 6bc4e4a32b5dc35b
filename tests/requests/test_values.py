"""What rows hold, whatever library made them."""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import msgspec
import numpy
import pandas
import polars
import pydantic
import pytest
import sqlalchemy

from airflow_provider_kimi.requests.values import native, plain, row_of

NAN = float("nan")


class Colour(Enum):
    RED = "red"


class Tagged(NamedTuple):
    a: int
    tags: list[str]


@dataclass
class TaggedClass:
    a: int
    tags: list[str]


@attrs.define
class TaggedAttrs:
    a: int
    tags: list[str]


class TaggedModel(pydantic.BaseModel):
    a: int
    tags: list[str]


class TaggedStruct(msgspec.Struct):
    a: int
    tags: list[str]


def row_of_sqlite() -> Any:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("select 1 as a, 'x' as b").fetchone()
    connection.close()
    return row


def row_of_sqlalchemy() -> Any:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text("select 1 as a, 'x' as b")).one()
    engine.dispose()
    return row


@pytest.mark.parametrize("made", [row_of_sqlite, row_of_sqlalchemy], ids=["sqlite3", "SQLAlchemy"])
def test_the_row_of_a_database_is_a_row(made: Callable[[], Any]) -> None:
    assert row_of(made()) == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    "row",
    [
        *(kind(a=1, tags=["x"]) for kind in (Tagged, TaggedClass, TaggedAttrs, TaggedModel, TaggedStruct)),
        pandas.Series({"a": 1, "tags": ["x"]}),
        OrderedDict(a=1, tags=["x"]),
    ],
    ids=lambda row: type(row).__name__,
)
def test_what_names_its_columns_is_a_row(row: object) -> None:
    found = row_of(row)
    assert (type(found), found) == (dict, {"a": 1, "tags": ["x"]})


@pytest.mark.parametrize("value", ["x", ["x"], ("x",), 5, None, TaggedClass, object(), numpy.str_("x")], ids=repr)
def test_what_names_no_columns_is_not_a_row(value: object) -> None:
    assert row_of(value) is value


@pytest.mark.parametrize(
    "value",
    [NAN, Decimal("NaN"), Decimal("sNaN"), numpy.float64("nan"), numpy.float32("nan"), pandas.NA, pandas.NaT]
    + [numpy.datetime64("NaT", "s"), numpy.ma.masked, None],
    ids=repr,
)
def test_a_missing_value_is_null(value: object) -> None:
    assert native(value) is None
    assert plain([value]) == [None]


@pytest.mark.parametrize(
    ("value", "same"),
    [
        pytest.param(numpy.int64(7), 7, id="integer"),
        pytest.param(numpy.uint8(7), 7, id="small integer"),
        pytest.param(numpy.float64(1.5), 1.5, id="number"),
        pytest.param(numpy.bool_(True), True, id="boolean"),
        pytest.param(numpy.str_("x"), "x", id="text"),
        pytest.param(numpy.array(7), 7, id="array without a dimension"),
        pytest.param(numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]], id="array"),
        pytest.param(numpy.array([]), [], id="empty array"),
        pytest.param(pandas.Series([1.5, None]), [1.5, None], id="Series"),
        pytest.param(polars.Series(["x", None]), ["x", None], id="Series of polars"),
        pytest.param(numpy.datetime64("2026-11-23T10:00", "ns"), datetime(2026, 11, 23, 10), id="time"),
        pytest.param(numpy.datetime64("2026-11-23"), date(2026, 11, 23), id="date"),
        pytest.param(numpy.timedelta64(90, "ns"), timedelta(0), id="duration"),
    ],
)
def test_a_value_of_numpy_is_that_of_python(value: object, same: object) -> None:
    found = native(value)
    assert (type(found), found) == (type(same), same)


NESTED = {"a": [1, (True, None)], "b": {"c": "名"}}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(NESTED, NESTED | {"a": [1, [True, None]]}, id="JSON"),
        pytest.param({numpy.int64(1): 1, date(2026, 1, 1): 2, None: 3}, {1: 1, "2026-01-01": 2, None: 3}, id="names"),
        pytest.param({3, 1, 2}, [1, 2, 3], id="set, in an order that is always the same"),
        pytest.param([float("inf"), -float("inf")], [None, None], id="what JSON has no number for"),
        pytest.param([Decimal("1.10"), UUID(int=1)], ["1.10", str(UUID(int=1))], id="exact numbers and UUIDs"),
        pytest.param([date(2026, 1, 2), time(3, 4)], ["2026-01-02", "03:04:00"], id="dates"),
        pytest.param([datetime(2026, 1, 2, tzinfo=UTC)], ["2026-01-02T00:00:00Z"], id="times"),
        pytest.param([pandas.Timestamp("2026-01-02", tz="UTC")], ["2026-01-02T00:00:00Z"], id="Timestamps"),
        pytest.param([pandas.Timestamp(1)], ["1970-01-01T00:00:00.000000001"], id="to the nanosecond"),
        pytest.param([Colour.RED], ["red"], id="members of an Enum"),
        pytest.param([PurePosixPath("/a")], ["/a"], id="what has a text"),
        pytest.param(Tagged(1, ["x"]), {"a": 1, "tags": ["x"]}, id="row in a row"),
        pytest.param([TaggedModel(a=1, tags=[])], [{"a": 1, "tags": []}], id="model in a row"),
        pytest.param([numpy.array([1, 2]), 2**70], [[1, 2], 2**70], id="array in a row"),
    ],
)
def test_any_value_becomes_one_that_json_holds(value: object, written: object) -> None:
    assert plain(value) == written


@pytest.mark.parametrize(
    "value", [numpy.float64(1.5), numpy.int64(7), numpy.str_("x")], ids=["number", "integer", "text"]
)
def test_nothing_of_another_library_is_left_in_a_plain_value(value: object) -> None:
    assert type(plain(value)).__module__ == "builtins"


@pytest.mark.parametrize(
    "value", [object(), iter([]), len, lambda: None], ids=["object", "iterator", "builtin", "function"]
)
def test_what_has_no_text_of_its_own_is_left_to_the_caller(value: object) -> None:
    """Its text would be its address in memory, which differs in every attempt."""
    assert plain({"a": [value]}, lambda unknown: "unknown") == {"a": ["unknown"]}
