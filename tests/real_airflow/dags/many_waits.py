"""Many waits at once, deferred by the scheduler itself; each resume leaves a line in a file.

What is waited for is written into a file beside this one by the test.
"""

import json
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_kimi.sensors.batch import KimiBatchSensor

PLAN = Path(__file__).with_suffix(".json")


class CountedSensor(KimiBatchSensor):
    """Begins in the triggerer, and notes every resume."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_provider_kimi.triggers.batch.KimiBatchTrigger",
            trigger_kwargs={"batch_ids": [self.batch_id], "kimi_conn_id": self.kimi_conn_id, "poll_interval": 2},
            next_method="execute_complete",
        )

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Note it, then go on."""
        with Path(plan["resumed"]).open("a") as record:
            record.write(f"{self.batch_id}\n")
        return super().execute_complete(context, event)


plan: dict[str, Any] = json.loads(PLAN.read_text()) if PLAN.exists() else {"conn": "", "ids": [], "resumed": ""}
with DAG(dag_id="many_waits", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), max_active_tasks=1000):
    for number, batch_id in enumerate(plan["ids"]):
        CountedSensor(task_id=f"wait_{number}", batch_id=batch_id, kimi_conn_id=plan["conn"])
