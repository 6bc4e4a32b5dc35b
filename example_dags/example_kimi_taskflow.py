"""
Functions before and behind the labels: one makes the rows, one reads the result.

``answers`` is the manifest of the result, a small dict. The rows go from function to platform to file, and through no
XCom.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

LABELS = ["positive", "negative"]

with DAG(
    dag_id="example_kimi_taskflow",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "input": str(Path(__file__).parent / "data" / "reviews.csv"),
        "output": f"{gettempdir()}/example_kimi_taskflow",
    },
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task
    def table(params: dict[str, str] | None = None) -> str:
        """Say where the rows are."""
        return (params or {})["input"]

    @task.kimi_batch(
        key_column="review_id",
        prompt="Is this review positive or negative? Answer with one word. {text}",
        output_schema=LABELS,
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
        output="{{ params.output }}/{{ run_id }}",
        max_rounds=2,
    )
    def label(path: str) -> Iterator[dict[str, str]]:
        """Yield the rows that are long enough to say something."""
        with ObjectStoragePath(path).open("rt", encoding="utf-8") as lines:
            yield from (row for row in csv.DictReader(lines) if len(row["text"]) > 3)

    @task
    def shares(answers: dict[str, Any]) -> dict[str, float]:
        """Count the labels of the rows that have one."""
        with ObjectStoragePath(answers["results_file"]).open("rt", encoding="utf-8") as lines:
            found = Counter(row["parsed"] for row in map(json.loads, lines) if row["status"] == "succeeded")
        return {name: round(found[name] / found.total(), 3) for name in LABELS}

    shares(label(table()))  # type: ignore[arg-type]
