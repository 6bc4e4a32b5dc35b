"""One DAG, with the one task and the chain, which defer, resume and land; and a program that runs it to its end.

It lies in the DAGs folder of a migrated Airflow, with `RESULTS` set. It fails unless every label is right.
"""

import json
import os
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

FOLDER = Path(os.environ["RESULTS"])
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
    with KimiSimulator(responder=repeat, timing=Timing(1, 3, 1)) as platform:
        fields = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
        os.environ["AIRFLOW_CONN_KIMI_DEFAULT"] = json.dumps(fields)
        run = dag.test()
        calls = [call.name for call in platform.journal]
    assert str(run.state) == "success", run.state
    for output in ("one", "three"):
        rows = [json.loads(line) for line in (FOLDER / output / "results.jsonl").read_text().splitlines()]
        assert {row["id"]: row["content"] for row in rows} == {row["id"]: row["text"] for row in ROWS}, output
    assert calls.count("create_batch") == 2
    print("labels of 80 rows are right, 2 batches")


if __name__ == "__main__":
    main()
