"""
Rows from a SQL query, and their labels written back into the table.

The rows of the query are read one by one, and pass through no XCom. Needs a connection of any database that
``common.sql`` knows; for SQLite, ``apache-airflow-providers-sqlite``. The query asks for the rows of one day, not for
those without a label: a clear then finds the rows that were paid, also after their labels are written.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from tempfile import gettempdir
from typing import Any

import pendulum
from airflow.sdk import DAG, BaseHook, ObjectStoragePath, task

with DAG(
    dag_id="example_kimi_sql",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn_id": "reviews_db", "day": "2026-01-01", "output": f"{gettempdir()}/example_kimi_sql"},
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task.kimi_batch(
        prompt="Is this review positive or negative? Answer with one word. {text}",
        output_schema=["positive", "negative"],
        key_column="id",
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
        max_rounds=3,
        output="{{ params.output }}/{{ run_id }}",
    )
    def label(params: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield the reviews of a day."""
        chosen = params or {}
        hook = BaseHook.get_connection(chosen["conn_id"]).get_hook()
        with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("SELECT id, text FROM reviews WHERE day = ? ORDER BY id", [chosen["day"]])
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    @task
    def write_back(manifest: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> int:
        """Write the labels into the table, and return how many there are."""
        with ObjectStoragePath(manifest["results_file"]).open("rb") as file:
            rows = [row for row in map(json.loads, file) if row["status"] == "succeeded"]
        hook = BaseHook.get_connection((params or {})["conn_id"]).get_hook()
        with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
            labels = [(row["parsed"], row["id"]) for row in rows]
            cursor.executemany("UPDATE reviews SET label = ? WHERE id = ?", labels)
            connection.commit()
        return len(rows)

    write_back(label())  # type: ignore[arg-type]
