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
START = pendulum.datetime(2026, 1, 1)
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


def mode(name: str) -> dict[str, Any]:
    """The parameters of all tasks that wait in this way."""
    return {
        **ASKED,
        "deferrable": name == "deferred",
        "kimi_conn_id": f"kimi_{name}",
        "output": f"{OUTPUT}/{{{{ dag.dag_id }}}}/{{{{ ti.map_index }}}}",
    }


with DAG("inputs", schedule=None, start_date=START):
    KimiBatchOperator.partial(task_id="label", check=refuse_b, **mode("deferred")).expand(
        input=[said("a"), said("b", "c"), said("a")]
    )

with DAG("schemas", schedule=None, start_date=START):
    KimiBatchOperator.partial(task_id="label", **mode("sync")).expand_kwargs(
        [
            {"input": said("a"), "output_schema": LABELS},
            {"input": said("a"), "output_schema": SHAPE, "system_prompt": "Answer in JSON"},
        ]
    )

with DAG("days", schedule=None, start_date=START):
    task.kimi_batch(task_id="label", **mode("sync"))(days).expand_kwargs([{"day": "mon", "label": "x"}, {"day": "tue"}])

with DAG("groups", schedule=None, start_date=START):

    @task_group
    def group(day: str) -> None:
        """Label a day."""
        task.kimi_batch(task_id="label", output_schema=LABELS, **mode("deferred"))(days)(day)

    group.expand(day=["mon", "tue"])


if __name__ == "__main__":
    states = {dag_id: str(dag.test().state) for dag_id, dag in sorted(DagBag(__file__).dags.items())}
    Path(OUTPUT).mkdir(exist_ok=True)
    Path(OUTPUT, "states.json").write_text(json.dumps(states))
