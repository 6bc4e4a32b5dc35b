"""Label the rows of a database cursor with `@task.kimi_batch` in a process of its own, and print what that took.

Run as `python -m tests.benchmarks.stream_measured DATABASE OUTPUT BASE_URL`. It prints JSON: by how many bytes the
memory grew while it submitted and while it landed, the size of its rendered fields and XComs, and the row counts.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task
from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields

from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.benchmarks.peak_memory import measure
from tests.support.rounds import ended
from tests.support.tasks import Attempt, resume_task, run_task


def main(path: str, output: str) -> None:
    """Measure one job."""
    os.environ["AIRFLOW_CONN_REVIEWS_DB"] = json.dumps({"conn_type": "sqlite", "host": path})

    def label() -> Iterator[dict[str, Any]]:
        database: Any = BaseHook.get_connection("reviews_db")
        with closing(database.get_hook().get_conn()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("SELECT id, text FROM reviews ORDER BY id")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    with DAG("measured", schedule=None):
        made: Any = task.kimi_batch(prompt="{text}", key_column="id", output=output, thinking="disabled")(label)()
    KimiHook().list_batches()  # what it imports is there before
    attempts: list[Attempt] = []
    submitted = measure(lambda: attempts.append(run_task(made.operator)))
    deferred = attempts[0].deferred
    assert deferred is not None
    ids = deferred.trigger.serialize()[1]["batch_ids"]
    while not all(KimiHook().get_batch(batch_id).is_terminal for batch_id in ids):
        time.sleep(0.2)
    resume = partial(resume_task, made.operator, ended(ids, 1).to_dict(), ti=attempts[0].ti, kwargs=deferred.kwargs)
    landed = measure(lambda: attempts.append(resume()))
    xcoms = {**attempts[0].ti.xcoms, "return_value": attempts[1].value}
    print(
        json.dumps(
            {
                "growth": [submitted.growth, landed.growth],
                "rendered": len(json.dumps(_serialize_rendered_fields(made.operator), default=str)),
                "xcoms": len(json.dumps(xcoms)),
                "batches": len(ids),
                "counts": attempts[1].value["counts"],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
