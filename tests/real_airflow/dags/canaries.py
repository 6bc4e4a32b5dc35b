"""The chain and the one task in each form, on rows of a file that nobody may find elsewhere afterwards."""

import csv
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

ASKED: dict[str, Any] = {
    "prompt": "Canarytemplate {text}",
    "key_column": "id",
    "poke_interval": 1,
    "metadata": {"team": "canarymeta"},
}
JOB: dict[str, Any] = {**ASKED, "max_rounds": 2, "min_batch_rows": 50, "allow_realtime": True, "report_rows": 3}


def refuse(row: Any) -> str | None:
    """Raise at each answer, which is in a local variable and in the error."""
    raise ValueError("a fault of the user's function")


def dag_of(dag_id: str) -> DAG:
    """A DAG that its test starts."""
    return DAG(
        dag_id=dag_id,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        params={"conn": "", "input": "", "output": "", "cache": ""},
        default_args={"kimi_conn_id": "{{ params.conn }}"},
    )


with dag_of("canary_successes"):
    create = KimiCreateBatchOperator(
        task_id="create", input="{{ params.input }}", **{k: v for k, v in ASKED.items() if k != "poke_interval"}
    )
    wait = KimiBatchSensor(task_id="wait", batch_id=create.output, poke_interval=1)
    KimiBatchResultsOperator(
        task_id="results", batch_id=wait.output, input="{{ params.input }}", output="{{ params.output }}/chain"
    )
    KimiBatchOperator(
        task_id="deferred",
        input="{{ params.input }}",
        output="{{ params.output }}/deferred",
        cache="{{ params.cache }}",
        **JOB,
    )
    KimiBatchOperator(
        task_id="in_worker",
        input="{{ params.input }}",
        output="{{ params.output }}/in_worker",
        deferrable=False,
        **JOB,
    )

    @task.kimi_batch(output="{{ params.output }}/decorated", **JOB)
    def decorated(params: Any = None) -> list[dict[str, str]]:
        """Return the rows."""
        with Path(params["input"]).open(encoding="utf-8") as table:
            return list(csv.DictReader(table))

    decorated()

with dag_of("canary_failures"):
    KimiBatchOperator(task_id="refused", input="{{ params.input }}", output="{{ params.output }}/refused", **ASKED)
    KimiBatchOperator(
        task_id="checked", input="{{ params.input }}", output="{{ params.output }}/checked", check=refuse, **JOB
    )
    KimiBatchOperator(
        task_id="by_chat",
        input="{{ params.input }}",
        output="{{ params.output }}/by_chat",
        max_failed_ratio=0,
        **JOB,
    )

    @task.kimi_batch(output="{{ params.output }}/broken", **ASKED)
    def broken(params: Any = None) -> list[dict[str, str]]:
        """Fail with the rows at hand."""
        rows = Path(params["input"]).read_text(encoding="utf-8").splitlines()
        raise ValueError(f"{len(rows)} rows are too few")

    broken()
