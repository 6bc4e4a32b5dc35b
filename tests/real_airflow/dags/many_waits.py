"""Many waits at once; each resume leaves a line in a file."""

from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_kimi.sensors.batch import KimiBatchSensor


class CountedSensor(KimiBatchSensor):
    """Notes every resume."""

    def execute_complete(self, context: Any, event: dict[str, Any], **later: Any) -> Any:
        """Note it, then go on."""
        with Path(context["params"]["resumed"]).open("a") as record:
            record.write(f"{self.batch_id}\n")
        return super().execute_complete(context, event)


with DAG(
    dag_id="many_waits",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    max_active_tasks=64,
    params={"conn": "", "ids": [], "resumed": ""},
):

    @task
    def batch_ids(params: dict[str, Any]) -> list[str]:
        """Give the batches that are waited for."""
        return list(params["ids"])

    CountedSensor.partial(task_id="wait", kimi_conn_id="{{ params.conn }}", poke_interval=2).expand(
        batch_id=batch_ids()  # type: ignore[call-arg,misc]
    )
