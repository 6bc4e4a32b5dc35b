"""
A daily annotation that people also start from the form of the UI.

Each field says what it takes, and Airflow starts no run whose fields do not fit. ``Estimate only`` says what the run
would cost and sends nothing. ``Row limit`` tries a question out on a few rows. ``Rows`` also takes the
``dead_letter.jsonl`` of an earlier run, whose rows are then asked again.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from itertools import islice
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
        "input": Param(
            REVIEWS,
            type="string",
            pattern=r"\.(csv|jsonl)$",
            title="Rows",
            description="A CSV file with the columns review_id and text, or the dead_letter.jsonl of an earlier run.",
        ),
        "labels": Param(
            ["positive", "negative"],
            type="array",
            items={"type": "string", "pattern": r"^[^,]*[^,\s][^,]*$"},
            minItems=2,
            uniqueItems=True,
            title="Labels",
            description="Every answer is one of these. One a line, two at least, without commas.",
        ),
        "prompt": Param(
            "Which label fits this product review?",
            type="string",
            minLength=1,
            format="multiline",
            title="Question",
            description="Stands before the text of each row. Any characters; braces mean nothing.",
        ),
        "row_limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Row limit",
            description="Ask only so many rows, the first ones. Empty: all.",
        ),
        "model": Param(
            "kimi-k2.6",
            type="string",
            minLength=1,
            title="Model",
            description="One that the Batch API takes and that can answer without thinking.",
        ),
        "max_cost": Param(
            5.0,
            type="number",
            exclusiveMinimum=0,
            title="Most that it may cost",
            description="In yuan (region cn) or US dollars (intl). If it might cost more, nothing is sent.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Estimate only",
            description="Say what the run would cost, and send nothing.",
        ),
        "kimi_force_fresh": Param(
            False,
            type="boolean",
            title="Pay again",
            description="Each attempt asks all rows anew. Off: a retry and a clear go on with the batches that exist.",
        ),
        "output": Param(
            f"{gettempdir()}/example_kimi_form",
            type="string",
            minLength=1,
            title="Directory of the results",
            description="A path or URI that all workers reach. Each run has a directory of its own in it.",
        ),
    },
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task.kimi_batch(
        system_prompt="You label product reviews.",
        prompt="{question}\n\n{text}\n\nAnswer with exactly one of: {labels}",
        key_column="review_id",
        model="{{ params.model }}",
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
        check=is_one_of_the_labels,
        max_rounds=3,
        max_cost="{{ params.max_cost }}",
        dry_run="{{ params.dry_run }}",
        output="{{ params.output }}/{{ run_id }}",
        exclude="question",
    )
    def label(params: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a table, or those of dead letters."""
        chosen = params or {}
        with ObjectStoragePath(chosen["input"]).open(encoding="utf-8") as file:
            is_table = chosen["input"].endswith(".csv")
            rows = csv.DictReader(file) if is_table else (json.loads(line)["row"] for line in file)
            for row in islice(rows, chosen["row_limit"]):
                yield {**row, "question": chosen["prompt"], "labels": ", ".join(chosen["labels"])}

    label()
