"""What Airflow's own values become before the provider works with them."""

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

import pytest
from airflow import __version__ as AIRFLOW

from airflow_provider_kimi.compat import (
    alias_extra,
    keyword_arguments,
    object_storage_path,
    push_own_xcom,
)
from airflow_provider_kimi.files.locations import as_uri
from airflow_provider_kimi.rendering import Given, given, known, never_rendered
from tests.support.tasks import TaskInstanceRecord


class Reference:
    """As much of another task's output as Airflow looks for."""

    def iter_references(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    "rows",
    [[Reference()], [{"a": 1}, Reference()], (Reference(), "b")],
    ids=["in a list", "beside a row", "in a tuple"],
)
def test_a_list_that_holds_the_output_of_another_task_is_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"may not hold another task's output.*Pass that output itself"):
        never_rendered(rows)


@pytest.mark.parametrize("value", [None, Reference()], ids=["none", "another task's output"])
def test_none_and_the_output_of_another_task_are_not_wrapped(value: object) -> None:
    assert never_rendered(value) is value


@pytest.mark.parametrize("rows", [["{{ a }}"], [], ({"a": "{{ b }}"},), [["{{ a }}"]]], ids=repr)
def test_rows_are_never_rendered(rows: object) -> None:
    """Airflow asks such a value for its content instead of rendering it."""
    assert never_rendered(rows).resolve({}) is rows


@pytest.mark.parametrize(
    "value",
    ["{{ params.x }}", "{% if a %}1{% endif %}", {"missing": "{{ a }}"}, {"a": [{"b": " {{ c }}"}]}, Reference()]
    + [{"missing": Reference()}],
    ids=lambda value: f"{value!r:.25}",
)
def test_a_value_that_airflow_makes_is_not_known_while_the_dag_is_parsed(value: object) -> None:
    assert known(value) is None


@pytest.mark.parametrize("value", [5, "5", "abc", {"missing": 0}, "{'missing': 0}", None, float("inf")], ids=repr)
def test_a_value_without_a_template_is_known_while_the_dag_is_parsed(value: object) -> None:
    assert known(value) is value


class CallableReference(Reference):
    """Airflow's own kind of reference can be called, too."""

    def __call__(self) -> None: ...


def rows() -> Iterator[dict[str, int]]:
    yield {"a": 1}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param(rows, "<function rows>", id="function"),
        pytest.param(partial(rows), "<partial partial>", id="partial"),
        pytest.param(json.JSONDecoder().decode, "<method JSONDecoder.decode>", id="method"),
    ],
)
def test_a_function_is_shown_by_its_name_and_not_by_its_address(value: Any, name: str) -> None:
    """The address differs in every parse of the DAG file: each would be a new version of the DAG."""
    wrapped = never_rendered(value)
    assert repr(wrapped) == str(wrapped) == name


def test_a_function_is_shown_in_the_same_way_in_every_parse() -> None:
    first, second = (lambda row: row for _ in range(2))
    assert first is not second
    assert repr(never_rendered(first)) == repr(never_rendered(second))


@pytest.mark.parametrize("value", [rows, partial(rows)], ids=["function", "partial"])
def test_a_function_is_wrapped_so_that_airflow_does_not_call_it(value: Any) -> None:
    wrapped = never_rendered(value)
    assert isinstance(wrapped, Given)
    assert not callable(wrapped)
    assert not isinstance(wrapped, Iterable)
    assert given(wrapped) is value


def test_a_function_that_cannot_be_copied_is_copied_with_its_dag() -> None:
    wrapped = never_rendered(partial(map, Lock()))
    assert copy.deepcopy({"input": wrapped})["input"] is wrapped


def test_the_output_of_another_task_that_can_be_called_is_not_wrapped() -> None:
    reference = CallableReference()
    assert never_rendered(reference) is reference


@pytest.mark.parametrize(
    "value", [None, "{a}", [1], {"a": 1}, rows], ids=["none", "text", "list", "mapping", "function"]
)
def test_a_value_that_is_not_wrapped_is_returned_as_it_is(value: object) -> None:
    assert given(value) is value


@pytest.mark.parametrize("value", [rows(), iter([1])], ids=["generator", "iterator"])
def test_an_input_that_can_be_read_only_once_is_refused(value: Any) -> None:
    """A retry would find it empty, and Airflow cannot copy a DAG that holds one."""
    with pytest.raises(ValueError, match=r"can be read only once.*input=rows, without parentheses"):
        never_rendered(value)


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        pytest.param(Path("/data/a b.csv"), "/data/a b.csv", id="path"),
        pytest.param(Path("in.csv"), "in.csv", id="relative path"),
        pytest.param(PurePosixPath("/data/in.csv"), "/data/in.csv", id="pure path"),
    ],
)
def test_a_path_becomes_text(value: object, uri: str) -> None:
    assert as_uri(value) == uri


def test_a_path_on_object_storage_becomes_text() -> None:
    uri = as_uri(object_storage_path("file:///data/in.csv"))
    assert type(uri) is str
    assert uri == "file:///data/in.csv"


@pytest.mark.parametrize(
    "value",
    ["s3://bucket/in.csv", "/data/in.csv", "", ["a", {"b": 1}], [Path("x")], ("a",), None, Reference()],
    ids=["S3 URI", "path as text", "empty text", "list", "list of paths", "tuple", "none", "output of another task"],
)
def test_a_value_that_is_not_a_path_is_returned_as_it_is(value: object) -> None:
    assert as_uri(value) is value


@pytest.mark.parametrize(
    ("function", "names"),
    [
        pytest.param(lambda: None, set(), id="nothing"),
        pytest.param(lambda ds, limit=5: None, {"ds"}, id="names"),
        pytest.param(lambda **context: None, {"ds", "params"}, id="everything"),
    ],
)
def test_a_function_is_given_what_it_asks_of_the_context(function: Callable[..., Any], names: set[str]) -> None:
    assert set(keyword_arguments(function, {"ds": "2026-11-23", "params": {}})) == names


def test_what_is_not_there_is_pushed_wherever_airflow_can_send_it() -> None:
    ti = TaskInstanceRecord()
    push_own_xcom(ti, "output_file", "file:///x")
    push_own_xcom(ti, "error_file", None)
    assert ti.xcoms == {"output_file": "file:///x"} | ({} if AIRFLOW.startswith("3.0.") else {"error_file": None})


def test_the_extra_of_an_alias_is_what_each_airflow_can_store() -> None:
    extra = alias_extra({"status": "partial", "counts": {"total": 1}, "cost": None})
    if AIRFLOW.startswith(("2.", "3.0.")):
        assert frozenset(extra.items()) == {("status", "partial"), ("counts", '{"total": 1}'), ("cost", None)}
    else:
        assert extra == {"status": "partial", "counts": {"total": 1}, "cost": None}
