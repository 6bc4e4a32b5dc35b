"""
Answers that fit a Pydantic model, as columns of a Parquet file.

An answer that does not fit is asked for again, in up to two further rounds, with the place that did not fit.
"""

from pathlib import Path
from tempfile import gettempdir
from typing import Literal

import pendulum
from airflow.sdk import DAG
from pydantic import BaseModel, Field

from airflow_provider_kimi.operators.batch import KimiBatchOperator

REVIEWS = str(Path(__file__).parent / "data" / "reviews.csv")


class Opinion(BaseModel):
    """What a review says."""

    sentiment: Literal["positive", "neutral", "negative"]
    stars: int = Field(ge=1, le=5)
    topics: list[str]


with DAG(
    dag_id="example_kimi_pydantic",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"input": REVIEWS, "output": f"{gettempdir()}/example_kimi_pydantic"},
    tags=["example", "kimi"],
    doc_md=__doc__,
):
    KimiBatchOperator(
        task_id="label",
        input="{{ params.input }}",
        key_column="review_id",
        system_prompt="Describe the review in JSON.",
        prompt="{text}",
        thinking="disabled",
        output_schema=Opinion,
        output_format="parquet",
        parsed_columns=True,
        max_rounds=3,
        max_failed_ratio=0.05,
        output="{{ params.output }}/{{ run_id }}",
    )
