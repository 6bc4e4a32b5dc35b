"""DAGs whose creates are refused, with and without a retry policy; run as a script, it runs them all.

Callbacks write down which errors they see.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.retry_policy import KimiRetryPolicy

REPORT = Path(os.environ["REPORT"])
SEEN: list[dict[str, Any]] = []


def seen(dag_id: str, context: Any) -> None:
    error = context["exception"]
    kinds = {"is_ours": isinstance(error, KimiError), "ends_the_task": isinstance(error, AirflowFailException)}
    facts = {"name": type(error).__name__, "kind": getattr(error, "kind", None), **kinds}
    SEEN.append({"dag": dag_id, "try": context["ti"].try_number, **facts})


def create(dag_id: str, policy: KimiRetryPolicy | None, prompt: str = "{text}") -> DAG:
    """A DAG that reads its own connection, so that each has a platform of its own."""

    def note(context: Any) -> None:
        seen(dag_id, context)

    with DAG(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
        KimiCreateBatchOperator(
            task_id="create",
            input=[{"text": "good"}],
            prompt=prompt,
            kimi_conn_id=f"kimi_{dag_id}",
            retries=2,
            retry_delay=timedelta(0),
            on_failure_callback=note,
            on_retry_callback=note,
            retry_policy=policy,
        )
    return dag


SOON = KimiRetryPolicy(soon=timedelta(0), later=timedelta(0))
DAGS = [
    create("no_policy", None),
    create("balance", SOON),
    create("passing", SOON),
    create("wrong_input", SOON, prompt="{no_such_column}"),
]

if __name__ == "__main__":
    states = {dag.dag_id: str(dag.test().state) for dag in DAGS}
    REPORT.write_text(json.dumps({"states": states, "seen": SEEN}))
