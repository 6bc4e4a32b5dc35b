"""The whole job in one task, whose rows are asked in two rounds: as an operator, and as a decorated function."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_kimi.operators.batch import KimiBatchOperator

ROWS = [{"id": f"r{number}", "text": ("很好，喜欢", "太差，失望")[number % 2]} for number in range(200)]
ASKED: dict[str, Any] = {
    "prompt": "Is this review positive or negative? {text}",
    "key_column": "id",
    "max_rounds": 2,
    "poke_interval": 1,
    "kimi_conn_id": "{{ params.conn }}",
    "retries": 1,
    "retry_delay": timedelta(seconds=1),
}


def refuse_negative(row: Any) -> str | None:
    """Refuse every second answer."""
    return "say it in other words" if row["content"] == "negative" else None


def rows() -> Iterator[dict[str, str]]:
    """Yield the rows."""
    yield from ROWS


with DAG(
    dag_id="one_task",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
):
    KimiBatchOperator(
        task_id="operator", input=rows, output="{{ params.output }}/operator", check=refuse_negative, **ASKED
    )

    @task.kimi_batch(output="{{ params.output }}/decorated", check=refuse_negative, **ASKED)
    def decorated() -> Iterator[dict[str, str]]:
        """Yield the rows."""
        yield from rows()

    decorated()


with DAG(
    dag_id="three_rounds",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
):
    KimiBatchOperator(
        task_id="label",
        input=ROWS[:4],
        output="{{ params.output }}",
        check=refuse_negative,
        **{**ASKED, "max_rounds": 3, "retries": 0},
    )
