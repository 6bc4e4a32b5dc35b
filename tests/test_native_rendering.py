"""A template gives the same text in a DAG with `render_template_as_native_obj=True` as in any other."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from jinja2 import pass_context

from airflow_provider_kimi.compat import BaseOperator, literal
from airflow_provider_kimi.decorators.kimi_batch import kimi_batch_task
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.cache import KimiPurgeCacheOperator
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.rendering import given
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

START = datetime(2026, 11, 30, tzinfo=UTC)

#: What the templates of a run may name.
CONTEXT: dict[str, Any] = {
    "ds": "2026-11-30",
    "ds_nodash": "20261130",
    "logical_date": START,
    "day": START.date(),
    "price": 12.50,
    "count": 1000,
    "yes": True,
    "nothing": None,
    "names": ["id", "shop"],
    "rows": [{"id": "007", "text": "a"}],
    "pair": {"team": "reviews"},
    "params_of_all": {"max_completion_tokens": 512},
    "hours": timedelta(hours=6),
}

#: Templates that give a value of their own, where a value may be meant.
NUMBERS = ["{{ price }}", "{{ count }}", "{{ yes }}", "{{ nothing }}"]
LISTS = ["{{ names }}", "{{ ['a'] }}{# no #}", "{{ pair }}"]

#: Texts that Python reads as another value, and templates that give them.
TEXTS = [
    "{{ ds_nodash }}",
    "{{ ds }}",
    "{{ logical_date }}",
    "{{ day }}",
    "{{ '007' }}",
    "{{ '1e3' }}",
    "{{ '0x10' }}",
    "{{ '1_000' }}",
    "{% set day %}1_000{% endset %}{{ day }}",
    "{{ count }}{{ count }}",
    "1{{ '_' }}000",
    "007",
    "1_000",
    "0x10",
    "12.50",
    "None",
    "True",
    "'quoted'",
    '"{text}"',
    "[a, b]",
    "[1, 2]",
    "{'a': 1}",
    "b'ab'",
    "(1, 2)",
]

#: The fields that may have such values.
TAKEN = {"input": LISTS, "request_params": [*NUMBERS, *LISTS]}

#: Each class, with what it needs.
CLASSES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "create": (KimiCreateBatchOperator, {"input": "in.jsonl"}),
    "whole": (KimiBatchOperator, {"input": "in.jsonl", "output": "out"}),
    "results": (KimiBatchResultsOperator, {"batch_id": "batch-1", "output": "out"}),
    "sensor": (KimiBatchSensor, {"batch_id": "batch-1"}),
    "cancel": (KimiCancelBatchOperator, {"batch_id": "batch-1"}),
    "files": (KimiDeleteFilesOperator, {"file_id": "file-1"}),
    "orphans": (KimiOrphanBatchesOperator, {}),
    "purge": (KimiPurgeCacheOperator, {"cache": "cache", "older_than": 0}),
}

#: The parameters behind the fields that have another name.
PARAMETERS = {"output_directory": "output", "is_dry_run": "dry_run"}

#: Fields that hold a value, whose texts a template may only give within it.
HOLDING = {"request_params", "metadata"}

CASES = [
    pytest.param(name, field, template, id=f"{name}-{field}-{template}")
    for name, (cls, _) in CLASSES.items()
    for field in cls.template_fields  # type: ignore[attr-defined]
    for template in (*TEXTS, *NUMBERS, *LISTS)
    if template not in TAKEN.get(field, ())
]


def built(dag_is_native: bool, make: Callable[..., Any], **parameters: Any) -> Any:
    """A task in a DAG of its own."""
    with DAG("d", schedule=None, start_date=START, render_template_as_native_obj=dag_is_native):
        return make(task_id="t", **parameters)


def rendered(task: BaseOperator) -> Any:
    """The task as a worker renders it."""
    task.render_template_fields({**CONTEXT, "task": task}, task.dag.get_template_env())  # type: ignore[typeddict-item]
    return task


def value_of(dag_is_native: bool, name: str, field: str, value: Any) -> object:
    """What a field is when the task runs; or how the parameter is refused while the DAG is parsed."""
    make, needed = CLASSES[name]
    try:
        task = built(dag_is_native, make, **(needed | {PARAMETERS.get(field, field): value}))
    except ValueError as error:
        return str(error)
    return given(getattr(rendered(task), field))


@pytest.mark.parametrize(("name", "field", "template"), CASES)
def test_a_template_gives_the_same_text_as_in_any_other_dag(name: str, field: str, template: str) -> None:
    value = {"key": template, "keys": [template]} if field in HOLDING else template
    native, usual = (value_of(is_native, name, field, value) for is_native in (True, False))
    assert (native, type(native)) == (usual, type(usual))


@pytest.mark.parametrize(
    ("field", "template", "value"),
    [
        ("input", "{{ rows }}", CONTEXT["rows"]),
        ("input", "{% if yes %}{{ names }}{% endif %}", CONTEXT["names"]),
        ("input", "{{ count }}", "1000"),
        ("request_params", "{{ params_of_all }}", {"max_completion_tokens": 512}),
        ("request_params", {"max_completion_tokens": "{{ count }}"}, {"max_completion_tokens": 1000}),
        ("request_params", {"tools": "{{ rows }}", "n": "{{ nothing }}"}, {"tools": CONTEXT["rows"], "n": None}),
        ("request_params", {"stop": ["{{ ds_nodash }}", "{{ logical_date }}"]}, {"stop": ["20261130", str(START)]}),
        ("request_params", {"user": "{{ count }} "}, {"user": "1000 "}),
        ("finish_by", "{{ hours }}", timedelta(hours=6)),
        ("finish_by", "{{ logical_date }}", "2026-11-30 00:00:00+00:00"),
    ],
    ids=str,
)
def test_where_a_value_may_be_meant_one_expression_gives_it(field: str, template: Any, value: object) -> None:
    assert value_of(True, "whole", field, template) == value


def test_a_value_of_another_task_stays_what_it_is() -> None:
    for is_native in (True, False):
        task = built(is_native, KimiBatchResultsOperator, batch_id=literal(["a", 1]), output=literal(Path("out")))
        assert rendered(task).batch_id == ["a", 1]
        assert task.output_directory == Path("out")


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "usual"])
def test_line_breaks_of_request_params_are_sent(is_native: bool) -> None:
    """Jinja takes one from the end of a text."""
    given = {"stop": ["\n", "a\n\n", "{{ ds }}\n"]}
    assert value_of(is_native, "create", "request_params", given) == {"stop": ["\n", "a\n\n", "2026-11-30\n"]}


def test_what_a_dag_has_jinja_call_for_each_expression_is_called_as_jinja_does() -> None:
    @pass_context
    def with_day(context: Any, value: object) -> str:
        return f"{value}-{context['ds']}"

    kwargs = {"finalize": with_day}
    with DAG("d", schedule=None, start_date=START, jinja_environment_kwargs=kwargs):
        task = KimiBatchOperator(task_id="t", input=["a"], output="{{ count }}", request_params={"user": "{{ count }}"})
    rendered(task)
    assert (task.output_directory, task.request_params) == ("1000-2026-11-30", {"user": "1000-2026-11-30"})


def test_the_arguments_of_a_function_come_as_in_any_other_task() -> None:
    def rows(count: object, *, day: object) -> list[object]:
        return [count, day]

    for is_native, count, day in ((True, 1000, 20261130), (False, "1000", "20261130")):
        decorated = kimi_batch_task(rows, output="{{ ds_nodash }}")
        task = built(is_native, lambda task_id, made=decorated: made("{{ count }}", day="{{ ds_nodash }}").operator)
        assert (rendered(task).op_args, task.op_kwargs) == ((count,), {"day": day})
        assert task.output_directory == "20261130"


class Model(StrEnum):
    """Names as a DAG may give them."""

    K2 = "kimi-k2.6"


class Old(str, Enum):  # noqa: UP042
    """The same as Python wrote it before 3.11."""

    K2 = "kimi-k2.6"


class Plain(Enum):
    """An Enum that is no text."""

    K2 = "kimi-k2.6"


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "usual"])
@pytest.mark.parametrize("name", [Model.K2, Old.K2], ids=["StrEnum", "str"])
def test_a_member_of_an_enum_of_texts_is_its_text(name: str, is_native: bool) -> None:
    parameters = {"model": name, "prompt": name, "kimi_conn_id": name, "output": name, "select": name}
    task = built(is_native, KimiBatchOperator, input=["a"], metadata={"a": name}, key_column=[name], **parameters)
    rendered(task)
    found = [task.model, task.prompt, task.kimi_conn_id, task.output_directory, *task.selection.named]
    found += [*task.key_column, *task.metadata.values()]
    assert {(type(each), each) for each in found} == {(str, "kimi-k2.6")}


TEXT_PARAMETERS = [
    ("create", "model"),
    ("create", "prompt"),
    ("create", "system_prompt"),
    ("create", "completion_window"),
    ("create", "key_column"),
    ("create", "image_column"),
    ("create", "encoding"),
    ("whole", "output"),
    ("whole", "select"),
    ("whole", "exclude"),
    ("whole", "output_format"),
    ("results", "output"),
    ("results", "key_column"),
    ("orphans", "output"),
    ("orphans", "dag_ids"),
    *((name, "kimi_conn_id") for name in CLASSES if name != "purge"),  # that calls nothing of the platform
]


@pytest.mark.parametrize("value", [5, 1.5, True, START.date(), Plain.K2, b"a", {"a": 1}], ids=str)
@pytest.mark.parametrize(("name", "parameter"), TEXT_PARAMETERS)
def test_a_value_that_is_no_text_is_refused_by_name_where_text_is_meant(name: str, parameter: str, value: Any) -> None:
    make, needed = CLASSES[name]
    with pytest.raises((ValueError, KimiInputError), match=re.escape(f"{parameter} is {value!r}; it must be ")):
        make(task_id="t", **(needed | {parameter: value}))


@pytest.mark.parametrize("value", [5, True, date(2026, 11, 30), Plain.K2, ["a"]], ids=str)
def test_metadata_that_is_no_text_is_refused_by_its_key(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"metadata['day'] is {value!r}; it must be text, in quotes")):
        KimiCreateBatchOperator(task_id="t", input=["a"], metadata={"day": value})
    if not isinstance(value, list):
        with pytest.raises(ValueError, match=re.escape(f"a key of metadata is {value!r}; it must be text, in quotes")):
            KimiCreateBatchOperator(task_id="t", input=["a"], metadata={value: "a"})


@pytest.mark.skipif(not hasattr(BaseOperator, "render_template_as_native_obj"), reason="Airflow below 3.3")
def test_an_operator_may_ask_for_native_objects_itself_or_decline_them() -> None:
    for dag_is_native in (True, False):
        for own, count in ((True, 1000), (False, "1000")):
            parameters = {
                "input": "1_000",
                "request_params": {"n": "{{ count }}"},
                "render_template_as_native_obj": own,
            }
            task = rendered(built(dag_is_native, KimiCreateBatchOperator, **parameters))
            assert (task.input, task.request_params) == ("1_000", {"n": count})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("create", {"model": 5}),
        ("create", {"metadata": {"day": date(2026, 11, 30)}}),
        ("create", {"key_column": 5}),
        ("orphans", {"dag_ids": 5}),
    ],
    ids=str,
)
def test_the_docs_have_these_messages(name: str, parameters: dict[str, Any]) -> None:
    make, needed = CLASSES[name]
    with pytest.raises((ValueError, KimiInputError)) as refused:
        make(task_id="t", **(needed | parameters))
    page = Path(__file__).parent.parent / "docs" / "when-it-does-not-work.md"
    assert f"`{str(refused.value).partition('. ')[0]}`" in page.read_text()
