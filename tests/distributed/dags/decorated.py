"""The decorator on a budget, with texts that PostgreSQL cannot store."""

import pendulum
from airflow.sdk import DAG, task

BUCKET = "s3://shards@bucket-shards"

with DAG("decorated", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):

    @task.kimi_batch(
        output=f"{BUCKET}/decorated",
        prompt="Repeat: {text}",
        key_column="id",
        output_schema=["fine", "nul \x00"],
        gold_column="gold",
        thinking="disabled",
        request_params={"max_completion_tokens": 100},
        poke_interval=1,
        budget="shared",
        max_failed_ratio=1.0,
    )
    def label() -> list[dict[str, str]]:
        return [
            {"id": "good", "text": "fine", "gold": "nul \x00"},
            {"id": "a\x00b", "text": "nul \x00", "gold": "nul \x00"},
            {"id": "bad", "text": "refuse", "gold": "fine"},
        ]

    label()
