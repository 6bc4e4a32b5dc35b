"""Runs of one task at once, each in a process of its own, over one database of Airflow: prints what came of each.

`python -m tests.support.racing INPUT OUTPUT RUNS`, with `AIRFLOW_HOME` and the connection in the environment.
"""

import json
import os
import sys
import time
from pathlib import Path

from airflow import settings
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.execution_time import comms
from sqlalchemy import Engine

from airflow_provider_kimi.operators.batch import KimiBatchOperator
from tests.support.supervisor import supervised
from tests.support.tasks import TaskInstanceRecord, run_task
from tests.support.variables import VariableKeeper, airflow_tables


def engine() -> Engine:
    """The connections to Airflow's database, which no two processes may share."""
    assert settings.engine is not None
    return settings.engine


def run(table: str, output: Path, number: int, starts_at: float) -> None:
    """Run one task, and write what came of it."""
    engine().dispose(close=False)
    task = KimiBatchOperator(
        task_id="job",
        input=table,
        output=f"{output}/{number}",
        prompt="{text}",
        thinking="disabled",
        request_params={"max_completion_tokens": 100},
        budget="labels",
    )
    time.sleep(max(0.0, starts_at - time.time()))
    try:
        with supervised(VariableKeeper(states={"job": "running"})):
            attempt = run_task(task, TaskInstanceRecord(task_id="job", run_id=f"run_{number}"))
        said = "deferred" if attempt.deferred else "done"
    except AirflowFailException as refusal:
        said = str(refusal)
    (output / f"{number}.txt").write_text(said)


def main() -> None:
    """Start all runs at one time, and wait for them."""
    table, output, runs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with airflow_tables():
        defined = '{"amount": 0.25, "per": "month"}'
        VariableKeeper().send(comms.PutVariable(key="kimi_budget_labels", value=defined, description=None))
        engine().dispose()
        starts_at, children = time.time() + 2, []
        for number in range(runs):
            if not (child := os.fork()):
                try:
                    run(table, output, number, starts_at)
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
    print(json.dumps([(output / f"{number}.txt").read_text() for number in range(runs)]))


if __name__ == "__main__":
    main()
