"""
A daily annotation that people also start from the form of the UI.

The form asks for the rows, the labels, the model, and the most that a run may cost. ``Estimate only`` says what the run
would cost and sends nothing. ``Rows`` also takes the ``dead_letter.jsonl`` of an earlier run, whose rows are then asked
again. ``Pay again`` asks all rows anew, although an earlier attempt of the run has asked them.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, Param, task

REVIEWS = str(Path(__file__).parent / "data" / "reviews.csv")


def is_one_of_the_labels(row: Mapping[str, Any]) -> str | None:
    """Check an answer: None if it is usable, else the reason, which is told to the model in the next round."""
    return None if row["content"].strip() in row["labels"].split(", ") else "it is not one of the labels"


with DAG(
    dag_id="example_kimi_form",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={
        "input": Param(REVIEWS, type="string", title="Rows", description="A CSV file, or a dead_letter.jsonl."),
        "labels": Param(["positive", "negative"], type="array", title="Labels"),
        "model": Param("kimi-k2.6", type="string", title="Model"),
        "max_cost": Param(5.0, type="number", exclusiveMinimum=0, title="Most that it may cost, in yuan"),
        "dry_run": Param(False, type="boolean", title="Estimate only"),
        "kimi_force_fresh": Param(False, type="boolean", title="Pay again"),
        "output": Param(f"{gettempdir()}/example_kimi_form", type="string", title="Directory of the results"),
    },
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task.kimi_batch(
        system_prompt="You label product reviews.",
        prompt="{text}\n\nAnswer with exactly one of: {labels}",
        key_column="review_id",
        model="{{ params.model }}",
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
        check=is_one_of_the_labels,
        max_rounds=3,
        max_cost="{{ params.max_cost }}",
        dry_run="{{ params.dry_run }}",
        output="{{ params.output }}/{{ run_id }}",
    )
    def label(params: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a table, or those of dead letters."""
        chosen = params or {}
        with ObjectStoragePath(chosen["input"]).open(encoding="utf-8") as file:
            is_table = chosen["input"].endswith(".csv")
            for row in csv.DictReader(file) if is_table else (json.loads(line)["row"] for line in file):
                yield {**row, "labels": ", ".join(chosen["labels"])}

    label()
