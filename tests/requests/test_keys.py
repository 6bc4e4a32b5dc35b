"""The name of a row: safe for any service, the same on every run, and never that of another row."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy
import pandas
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.keys import custom_id_of
from airflow_provider_kimi.requests.problems import RowProblem

SAFE = re.compile(r"[A-Za-z0-9._:~-]{1,64}")

#: Text that can be encoded, and is not blank.
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


def id_of(key: object) -> str:
    return custom_id_of({"id": key}, 1, "id")


def id_of_parts(*keys: object) -> str:
    names = [f"k{number}" for number in range(len(keys))]
    return custom_id_of(dict(zip(names, keys, strict=True)), 1, names)


@pytest.mark.parametrize("key", ["a", "7", "row-00000001", "B0-12.x_y:z", "A" * 64, "0_", "a..b", "a:"])
def test_a_plain_key_is_the_custom_id_itself(key: str) -> None:
    assert id_of(key) == key


@given(key=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True))
def test_a_plain_key_of_any_type_is_the_custom_id_itself(key: str) -> None:
    assert id_of(key) == key


def test_a_row_is_named_by_its_place_if_there_is_no_key_column() -> None:
    assert custom_id_of("a prompt", 12, None) == "row-00000012"
    assert custom_id_of({}, 123_456_789_012, None) == "row-123456789012"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        pytest.param("A" * 65, "A" * 24 + "~", id="long"),
        pytest.param("评价 7", "7~", id="unicode"),
        pytest.param("😀", "key~", id="nothing plain in it"),
        pytest.param("-a", "a~", id="begins with a hyphen"),
        pytest.param("a\n", "a~", id="newline"),
        pytest.param(" a", "a~", id="blank before it"),
        pytest.param("a/b c", "a-b-c~", id="path"),
        pytest.param("{{ ds }}", "ds~", id="a key that looks like Jinja"),
        pytest.param("a~b", "a-b~", id="the mark of mapped keys"),
        pytest.param("a\x00b", "a-b~", id="null"),
    ],
)
def test_any_other_key_becomes_a_readable_stem_and_a_digest(key: str, name: str) -> None:
    stem = name.partition("~")[0]
    assert re.fullmatch(rf"{re.escape(stem)}~[0-9a-f]{{32}}", id_of(key))


def test_a_key_is_mapped_to_the_same_name_on_every_machine() -> None:
    """Results find their rows again weeks later: these digests may never change."""
    assert id_of("a b") == "a-b~c8687a08aa5d6ed2044328fa6a697ab8"
    assert id_of_parts("a b", 1) == "a-b:1~9f47a68d24782e20a6c25ffc7e7ab4a5"


@given(key=KEYS)
@example(key="a~" + "0" * 32)
@example(key="\u2028a")
def test_a_mapped_key_is_a_safe_name(key: str) -> None:
    assert SAFE.fullmatch(id_of(key))
    assert id_of(key) == id_of(key)


@given(first=KEYS, second=KEYS)
@example(first="a b", second="a-b")
@example(first="a b", second=id_of("a b"))
@example(first="A" * 65, second="A" * 66)
@example(first="é", second="e\u0301")
def test_a_mapped_key_never_has_the_name_of_a_different_one(first: str, second: str) -> None:
    assume(first != second)
    assert id_of(first) != id_of(second)


def test_a_very_long_key_gets_a_short_name() -> None:
    assert len(id_of("字" * 1_000_000)) <= 64


TYPED: list[tuple[object, str]] = [
    (7, "7"),
    (0, "0"),
    (2**70, "1180591620717411303424"),
    (1.5, "1.5"),
    (Decimal("10.50"), "10.50"),
    (date(2026, 10, 1), "2026-10-01"),
    (datetime(2026, 10, 1, 8, 30), "2026-10-01T08:30:00"),
    (time(8, 30), "08:30:00"),
    (UUID("12345678-1234-5678-1234-567812345678"), "12345678-1234-5678-1234-567812345678"),
]


@pytest.mark.parametrize(("key", "name"), TYPED, ids=[type(key).__name__ for key, _ in TYPED])
def test_a_key_that_is_not_text_is_written_in_the_usual_way(key: object, name: str) -> None:
    assert id_of(key) == name


@pytest.mark.parametrize("key", [-7, -1.5, 1.5e-300, Decimal("1E+400"), datetime(2026, 10, 1, tzinfo=UTC)])
def test_a_key_that_is_not_text_is_mapped_if_it_is_not_plain(key: object) -> None:
    text = key.isoformat() if isinstance(key, datetime) else str(key)
    assert SAFE.fullmatch(id_of(key))
    assert id_of(key) == id_of(text)


@given(number=st.integers(-(2**70), 2**70))
@example(number=0)
@example(number=10**16)
def test_a_float_with_a_whole_value_is_the_key_that_the_integer_is(number: int) -> None:
    """Pandas makes floats of a column of integers that has a gap."""
    as_float = float(number)
    for key in (as_float, numpy.float64(as_float), -0.0 if number == 0 else as_float):
        assert id_of(key) == id_of(int(as_float))
        assert id_of_parts("shop", key) == id_of_parts("shop", int(as_float))
    assert id_of(numpy.float32(7)) == "7"
    assert id_of("7.0") == "7.0", "a text is what it says"


@pytest.mark.parametrize(
    "keys",
    [
        st.integers(),
        st.floats(allow_nan=False),
        st.decimals(allow_nan=False),
        st.datetimes(),
        st.dates(),
        st.uuids(),
    ],
    ids=["int", "float", "Decimal", "datetime", "date", "UUID"],
)
def test_any_two_values_of_a_key_make_safe_names_that_differ(keys: st.SearchStrategy[Any]) -> None:
    @given(first=keys, second=keys)
    def differ(first: Any, second: Any) -> None:
        assert SAFE.fullmatch(id_of(first))
        assert first == second or id_of(first) != id_of(second)

    differ()


def test_a_key_of_several_columns_is_plain_if_all_of_it_is() -> None:
    assert id_of_parts("shop", 7, date(2026, 10, 1)) == "shop:7:2026-10-01"


@pytest.mark.parametrize("make", [lambda key: custom_id_of({"a": key}, 1, ["a"]), lambda key: id_of(key)])
@pytest.mark.parametrize("key", ["a:b", "a b", "A" * 65])
def test_a_key_of_one_listed_column_is_that_column(make: Callable[[str], str], key: str) -> None:
    assert make(key) == id_of(key)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(("a:b", "c"), ("a", "b:c"), id="colon"),
        pytest.param(("a", "b c"), ("a b", "c"), id="blank"),
        pytest.param(('a","b', "c"), ("a", 'b","c'), id="JSON"),
        pytest.param(("a", "b" * 64), ("a:" + "b" * 32, "b" * 32), id="long"),
    ],
)
def test_a_key_of_several_columns_shows_where_one_ends(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert id_of_parts(*first) != id_of_parts(*second)
    assert SAFE.fullmatch(id_of_parts(*first))


@given(
    first=st.lists(st.one_of(KEYS, st.sampled_from(["a", "b", ":", "a:b", "b:a", "a:"])), min_size=2, max_size=3),
    second=st.lists(st.one_of(KEYS, st.sampled_from(["a", "b", ":", "a:b", "b:a", "a:"])), min_size=2, max_size=3),
)
def test_a_key_of_several_columns_never_has_the_name_of_a_different_one(first: list[str], second: list[str]) -> None:
    assume(first != second)
    assert id_of_parts(*first) != id_of_parts(*second) or len(first) != len(second)


def test_a_problem_in_a_key_of_several_columns_names_the_column() -> None:
    with pytest.raises(RowProblem, match=r"^has an empty key in column 'k1'$"):
        id_of_parts("a", None)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        pytest.param("", "has an empty key in column 'id'", id="empty"),
        pytest.param(" \t\u3000", "has an empty key in column 'id'", id="blank"),
        pytest.param(None, "has an empty key in column 'id'", id="None"),
        pytest.param(True, "has a bool as its key in column 'id'; ", id="bool"),
        pytest.param(["a"], "has a list as its key in column 'id'; ", id="list"),
        pytest.param({"a": 1}, "has a dict as its key in column 'id'; ", id="dict"),
        pytest.param(b"a", "has a bytes as its key in column 'id'; ", id="bytes"),
        pytest.param(
            "a\ud800", "has half a character (a lone surrogate) in its key in column 'id'", id="lone surrogate"
        ),
    ],
)
def test_a_row_is_refused_for_a_key_that_is_missing_empty_or_of_a_wrong_type(key: object, problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        id_of(key)
    assert str(caught.value).startswith(problem)


def test_a_row_without_the_key_column_is_refused_with_the_columns_it_has() -> None:
    with pytest.raises(RowProblem, match=r"^has no key column 'id'; it has 'Id', 'text'$"):
        custom_id_of({"Id": 1, "text": "TOP SECRET"}, 1, "id")


@pytest.mark.parametrize("item", ["a prompt", ["a"], None, 7])
def test_a_row_that_is_not_a_mapping_has_no_key(item: object) -> None:
    with pytest.raises(RowProblem, match=r"^has no key column 'id'$"):
        custom_id_of(item, 1, "id")


@pytest.mark.parametrize(
    ("key", "same"),
    [
        pytest.param(numpy.int64(7), 7, id="integer"),
        pytest.param(numpy.float64(1.5), 1.5, id="number"),
        pytest.param(numpy.str_("a b"), "a b", id="text"),
        pytest.param(pandas.Timestamp("2026-01-02 03:04"), datetime(2026, 1, 2, 3, 4), id="Timestamp"),
        pytest.param(numpy.datetime64("2026-01-02T03:04", "ns"), datetime(2026, 1, 2, 3, 4), id="datetime64"),
    ],
)
def test_a_key_of_numpy_or_pandas_is_that_of_python(key: object, same: object) -> None:
    assert id_of(key) == id_of(same)


@pytest.mark.parametrize("key", [pandas.NA, pandas.NaT, numpy.float64("nan"), Decimal("sNaN")], ids=repr)
def test_a_missing_value_of_any_library_is_an_empty_key(key: object) -> None:
    with pytest.raises(RowProblem, match=r"^has an empty key in column 'id'$"):
        id_of(key)


@pytest.mark.parametrize("key", [numpy.array([1]), numpy.bool_(True)], ids=["array", "boolean"])
def test_what_is_no_key_in_python_is_none_in_numpy(key: object) -> None:
    with pytest.raises(RowProblem, match=r"^has a (list|bool) as its key in column 'id'; a key is text"):
        id_of(key)
