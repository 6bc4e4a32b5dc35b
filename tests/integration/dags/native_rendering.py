"""One DAG whose texts read as other values in Python; run as a script, it runs once, and writes down how it ended."""

import json
import os
from pathlib import Path
from typing import Any

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, task

from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

OUTPUT = os.environ["OUTPUT"]
START = pendulum.datetime(2026, 11, 30)
ASKED: dict[str, Any] = {
    "key_column": "{{ '2026' }}",
    "prompt": "'{text}'",
    "metadata": {"day": "{{ ds_nodash }}", "1": "007", "2": "None"},
    "request_params": {"stop": ["{{ ds_nodash }}", "1e3"]},
    "completion_window": "{{ 24 }}h",
}
WAITED: dict[str, Any] = {"poke_interval": 0.2, "max_cost": "12.50"}


def rows(day: str) -> list[dict[str, str]]:
    """The row of a day, whatever the day is given as."""
    return [{"2026": str(day), "text": "1_000"}]


with DAG("texts", schedule=None, start_date=START, render_template_as_native_obj=os.environ["NATIVE"] == "True"):
    create = KimiCreateBatchOperator(task_id="create", input=rows("007"), **ASKED)
    wait = KimiBatchSensor(task_id="wait", batch_id="{{ ti.xcom_pull('create') }}", poke_interval=0.2)
    results = KimiBatchResultsOperator(
        task_id="results",
        batch_id="{{ ti.xcom_pull('wait') }}",
        output=f"{OUTPUT}/{{{{ ds_nodash }}}}",
        max_failed_rows="{{ 0 }}",
    )
    create >> wait >> results
    KimiBatchOperator.partial(
        task_id="mapped", deferrable=True, output=f"{OUTPUT}/mapped{{{{ ti.map_index }}}}", **ASKED, **WAITED
    ).expand(input=[rows("1"), rows("2")])
    task.kimi_batch(task_id="function", output=f"{OUTPUT}/function", **ASKED, **WAITED)(rows)(day="{{ ds_nodash }}")


if __name__ == "__main__":
    run = DagBag(__file__).dags["texts"].test(run_after=START, logical_date=START)
    Path(OUTPUT).mkdir(exist_ok=True)
    Path(OUTPUT, "state.json").write_text(json.dumps([str(run.state), run.run_id]))
