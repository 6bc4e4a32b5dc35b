"""Chains whose waits somebody marks success; run as a script, it runs each, and writes down how it ended."""

import json
import os
from pathlib import Path
from typing import Any

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Context, task_group

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

OUTPUT = os.environ["OUTPUT"]
START = pendulum.datetime(2026, 1, 1)


def marked_wait(name: str = "") -> KimiBatchSensor:
    """The wait for a batch that a task before it creates."""
    create = KimiCreateBatchOperator(task_id=f"create{name}", input=[f"a{name}", f"b{name}"])
    return KimiBatchSensor(task_id=f"marked{name}", batch_id=create.output, deferrable=False, poke_interval=0.2)


with DAG("one", schedule=None, start_date=START):
    wait = marked_wait()
    KimiBatchResultsOperator(task_id="results", batch_id=wait.output, output=f"{OUTPUT}/one")

with DAG("rendered", schedule=None, start_date=START):
    wait = marked_wait()
    joined = EmptyOperator(task_id="joined")
    results = KimiBatchResultsOperator(
        task_id="results", batch_id="{{ ti.xcom_pull('marked') }}", output=f"{OUTPUT}/rendered"
    )
    wait >> joined >> results

with DAG("two", schedule=None, start_date=START):
    wait = marked_wait()
    other = KimiCreateBatchOperator(task_id="other", input=["c"])
    waited = KimiBatchSensor(task_id="waited", batch_id=other.output, deferrable=False, poke_interval=0.2)
    KimiBatchResultsOperator(task_id="results", batch_id=[waited.output, wait.output], output=f"{OUTPUT}/two")

with DAG("mapped", schedule=None, start_date=START):

    @task_group
    def label(rows: list[str]) -> None:
        create = KimiCreateBatchOperator(task_id="create", input=rows)
        wait = KimiBatchSensor(task_id="marked", batch_id=create.output, deferrable=False, poke_interval=0.2)
        KimiBatchResultsOperator(
            task_id="results", batch_id=wait.output, output=f"{OUTPUT}/mapped/{{{{ ti.map_index }}}}"
        )

    label.expand(rows=[["a"], ["b", "c"]])


class HalfMarkedSensor(KimiBatchSensor):
    """A wait of which one instance was marked success, which returns nothing."""

    def execute(self, context: Context) -> Any:
        """Wait, or be marked."""
        ids = super().execute(context)
        return None if context["ti"].map_index else ids


with DAG("partly", schedule=None, start_date=START):
    create = KimiCreateBatchOperator(task_id="create", input=["a", "b"], max_rows_per_batch=1)
    waits = HalfMarkedSensor.partial(task_id="wait", deferrable=False, poke_interval=0.2).expand(batch_id=create.output)
    KimiBatchResultsOperator(task_id="results", batch_id=waits.output, output=f"{OUTPUT}/partly")

with DAG("unclear", schedule=None, start_date=START):
    first, second = (marked_wait(name) for name in ("_1", "_2"))
    results = KimiBatchResultsOperator(task_id="results", batch_id=first.output, output=f"{OUTPUT}/unclear")
    second >> results


if __name__ == "__main__":
    states = {
        dag_id: str(dag.test(mark_success_pattern=r"(label\.)?marked.*").state)
        for dag_id, dag in sorted(DagBag(__file__).dags.items())
    }
    Path(OUTPUT).mkdir(exist_ok=True)
    Path(OUTPUT, "states.json").write_text(json.dumps(states))
