"""The one task, mapped in every way; run as a script, it runs each DAG, and writes down how it ended."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, task, task_group

from airflow_provider_kimi.operators.batch import KimiBatchOperator

OUTPUT = os.environ["OUTPUT"]
LABELS = ["positive", "negative"]
SHAPE = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}
ASKED: dict[str, Any] = {
    "prompt": "Is this review positive or negative? {text}",
    "key_column": "id",
    "poke_interval": 0.2,
    "max_rounds": 2,
}


def said(*texts: str) -> list[dict[str, str]]:
    """Rows of these texts."""
    return [{"id": text, "text": f"{text} 很好"} for text in texts]


def refuse_b(row: Any) -> str | None:
    """Refuse each answer to one row."""
    return "say it again" if row["custom_id"] == "b" else None


def days(day: str, label: str = "") -> Iterator[dict[str, str]]:
    """Yield the rows of a day."""
    yield from said(f"{day}1{label}", f"{day}2{label}")


def dags(name: str, deferrable: bool) -> None:
    """Declare the DAGs of one mode."""
    asked = {**ASKED, "deferrable": deferrable, "kimi_conn_id": f"kimi_{name}"}
    output, start = f"{OUTPUT}/{{{{ dag.dag_id }}}}/{{{{ ti.map_index }}}}", pendulum.datetime(2026, 1, 1)

    with DAG(f"{name}_inputs", schedule=None, start_date=start):
        KimiBatchOperator.partial(task_id="label", output=output, check=refuse_b, **asked).expand(
            input=[said("a"), said("b", "c"), said("a")]
        )

    with DAG(f"{name}_schemas", schedule=None, start_date=start):
        KimiBatchOperator.partial(task_id="label", output=output, **asked).expand_kwargs(
            [
                {"input": said("a"), "output_schema": LABELS},
                {"input": said("a"), "output_schema": SHAPE, "system_prompt": "Answer in JSON"},
            ]
        )

    with DAG(f"{name}_days", schedule=None, start_date=start):
        task.kimi_batch(task_id="label", output=output, **asked)(days).expand_kwargs(
            [{"day": "mon", "label": "x"}, {"day": "tue"}]
        )

    with DAG(f"{name}_groups", schedule=None, start_date=start):

        @task_group
        def group(day: str) -> None:
            task.kimi_batch(task_id="label", output=output, output_schema=LABELS, **asked)(days)(day)

        group.expand(day=["mon", "tue"])


dags("deferred", True)
dags("sync", False)

if __name__ == "__main__":
    states = {dag_id: str(dag.test().state) for dag_id, dag in sorted(DagBag(__file__).dags.items())}
    Path(OUTPUT).mkdir(exist_ok=True)
    Path(OUTPUT, "states.json").write_text(json.dumps(states))
