"""What Airflow stores and shows of a task's input once its fields are rendered."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.serialization.helpers import serialize_template_field

from airflow_provider_kimi.compat import BaseOperator, literal, object_storage_path
from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.rendering import given

START = datetime(2026, 11, 30, tzinfo=UTC)
SECRET = "The shop never answered my letter"
ROWS = [{"id": number, "text": SECRET} for number in range(2000)]

CLASSES: dict[Any, dict[str, Any]] = {
    KimiCreateBatchOperator: {"prompt": "Classify: {text}"},
    KimiBatchOperator: {"prompt": "Classify: {text}", "output": "out"},
    KimiBatchResultsOperator: {"batch_id": "batch-1", "output": "out"},
}


class Odd(list[Any]):
    """Rows that cannot be counted."""

    def __len__(self) -> int:
        raise RuntimeError(SECRET)


def stored(task: BaseOperator) -> dict[str, Any]:
    """What a worker stores of the fields of a task that it has rendered."""
    try:
        from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields
    except ImportError:  # Airflow 2
        from airflow.models.renderedtifields import get_serialized_template_fields as _serialize_rendered_fields
    return dict(_serialize_rendered_fields(task))


def rendered(make: Any, **parameters: Any) -> Any:
    """A task as a worker renders it."""
    with DAG("d", schedule=None, start_date=START, render_template_as_native_obj=True):
        task = make(task_id="t", **parameters)
    context: Any = {"rows": ROWS, "place": "in.jsonl", "task": task}
    task.render_template_fields(context, task.dag.get_template_env())
    return task


@pytest.mark.parametrize("make", CLASSES, ids=lambda make: str(make.__name__))
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ROWS, "list of 2,000 rows"),
        ([SECRET], "list of 1 row"),
        ([], "list of 0 rows"),
        (tuple(ROWS), "tuple of 2,000 rows"),
        ("{{ rows }}", "list of 2,000 rows"),
        (literal(ROWS), "list of 2,000 rows"),
        (pandas.DataFrame(ROWS), "DataFrame of 2,000 rows"),
        (polars.DataFrame(ROWS), "DataFrame of 2,000 rows"),
        ({"text": SECRET}, "dict"),
        (b"bytes", "bytes"),
        (Odd(ROWS), "Odd"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_of_rows_only_the_kind_and_the_number_are_stored(make: Any, value: Any, shown: str) -> None:
    task = rendered(make, input=value, **CLASSES[make])
    fields = stored(task)
    assert fields["input"] == serialize_template_field(task.input, "input") == str(task.input) == shown
    assert SECRET not in repr(fields)
    assert fields.get("prompt", "Classify: {text}") == "Classify: {text}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("in.jsonl", "in.jsonl"),
        ("s3://bucket/{{ place }}", "s3://bucket/in.jsonl"),
        (literal("in.jsonl"), "in.jsonl"),
        (Path("in.jsonl"), "in.jsonl"),
    ],
    ids=str,
)
def test_a_location_is_stored_as_it_is(value: Any, shown: str) -> None:
    for make, others in CLASSES.items():
        assert stored(rendered(make, input=value, **others))["input"] == shown


def test_a_path_on_object_storage_is_stored_as_it_is() -> None:
    task = rendered(KimiCreateBatchOperator, input=object_storage_path("file:///in.jsonl"), prompt="{text}")
    assert task.input == object_storage_path("file:///in.jsonl")


def test_an_input_that_is_left_out_is_stored_as_nothing() -> None:
    assert stored(rendered(KimiBatchResultsOperator, batch_id="batch-1", output="out"))["input"] is None


def test_a_function_is_stored_by_its_name() -> None:
    def rows() -> Iterator[Any]:
        yield from ROWS

    fields = stored(rendered(KimiCreateBatchOperator, input=rows, prompt="{text}"))
    assert fields["input"] == f"<function {rows.__qualname__}>"


def test_the_task_itself_still_has_its_rows() -> None:
    for make, others in CLASSES.items():
        task = rendered(make, input=ROWS, **others)
        assert given(task.input) is ROWS
        task.render_template_fields({"task": task}, task.dag.get_template_env())  # as dag.test() does on a resume
        assert given(task.input) is ROWS


def test_a_mapped_task_stores_as_little() -> None:
    with DAG("d", schedule=None, start_date=START) as dag:
        KimiCreateBatchOperator.partial(task_id="t", prompt="{text}").expand(input=[ROWS, ROWS[:1]])
    mapped: Any = dag.get_task("t")
    task = mapped.unmap({"input": ROWS[:1]})
    task._do_render_template_fields(task, task.template_fields, {"task": task}, dag.get_template_env(), set())
    assert stored(task)["input"] == "list of 1 row"


def test_the_dag_is_stored_as_before() -> None:
    """A change of the rows in the file is a change of the DAG, which Airflow gives a version for."""
    with DAG("d", schedule=None, start_date=START):
        task = KimiCreateBatchOperator(task_id="t", input=ROWS[:1], prompt="{text}")
    assert str(task.input) == str(literal(ROWS[:1]))
