"""One DAG, with the one task and the chain, which defer, resume and land; and a program that runs it to its end.

It lies in the DAGs folder of a migrated Airflow, and fails unless every label is right. `dag.test()` runs it; with the
argument `processes`, the scheduler, the triggerer and the other processes of an Airflow 3 do.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import Answer, KimiSimulator, Timing

HOME = Path(os.environ["AIRFLOW_HOME"])
FOLDER = HOME / "results"
ROWS = [{"id": f"r{number}", "text": f"review {number}"} for number in range(40)]
ASKED: dict[str, Any] = {"input": ROWS, "key_column": "id", "prompt": "Repeat: {text}"}


def repeat(line: Mapping[str, Any]) -> Answer:
    """Answer with the text of the row, so that each label says whose it is."""
    return Answer(str(line["body"]["messages"][-1]["content"]).removeprefix("Repeat: "))


with DAG("matrix", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
    KimiBatchOperator(task_id="label", output=f"{FOLDER}/one", poke_interval=1, **ASKED)
    made = KimiCreateBatchOperator(task_id="create", **ASKED)
    waited = KimiBatchSensor(task_id="wait", batch_id=made.output, poke_interval=1)
    KimiBatchResultsOperator(
        task_id="results", batch_id=waited.output, input=ROWS, key_column="id", output=f"{FOLDER}/three"
    )


def main() -> None:
    """Run it, and compare."""
    runs, seconds = (in_processes, 15) if sys.argv[1:] == ["processes"] else (by_dag_test, 3)
    with KimiSimulator(responder=repeat, timing=Timing(1, seconds, 1)) as platform:
        state = runs({"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key})
        calls = [call.name for call in platform.journal]
    assert state == "success", state
    for output in ("one", "three"):
        rows = [json.loads(line) for line in (FOLDER / output / "results.jsonl").read_text().splitlines()]
        assert {row["id"]: row["content"] for row in rows} == {row["id"]: row["text"] for row in ROWS}, output
    assert calls.count("create_batch") == 2
    print("labels of 80 rows are right, 2 batches")


def by_dag_test(connection: Mapping[str, Any]) -> str:
    """Run it in this process; returns the state of the run."""
    os.environ["AIRFLOW_CONN_KIMI_DEFAULT"] = json.dumps(connection)
    return str(dag.test().state)


def in_processes(connection: Mapping[str, Any]) -> str:
    """Run it on the processes of an Airflow; returns the state of the run."""
    from tests.support.real_airflow import RealAirflow, wait_for

    issuer = {"API_AUTH__JWT_ISSUER": "matrix"}  # newer releases of PyJWT refuse the None of Airflow 3.0
    with RealAirflow(HOME, HOME / "dags", {"kimi_default": connection}, settings=issuer) as airflow:
        airflow.run_dag("matrix", "once")
        wait_for(lambda: airflow.run_state("matrix", "once") in ("success", "failed"), "the run has no end")
        waited = {log.parent.name for log in HOME.rglob("*.trigger.*.log")}
        assert waited == {"task_id=label", "task_id=wait"}, waited
        return airflow.run_state("matrix", "once")


if __name__ == "__main__":
    main()
