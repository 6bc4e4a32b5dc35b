"""
Images of a directory, each with a question.

``media="base64"`` puts an image into its request. For images that many runs ask about, ``media="upload"`` stores each
once on the platform.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import gettempdir

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

with DAG(
    dag_id="example_kimi_images",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "input": str(Path(__file__).parent / "data" / "images"),
        "output": f"{gettempdir()}/example_kimi_images",
    },
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task.kimi_batch(
        prompt="Which colour does this image show? Answer with exactly one of: red, green, blue",
        image_column="image",
        media="base64",
        key_column="name",
        output_schema=["red", "green", "blue"],
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
        output="{{ params.output }}/{{ run_id }}",
    )
    def label(params: Mapping[str, str] | None = None) -> Iterator[Mapping[str, str]]:
        """Yield the name and the address of each image."""
        for path in sorted(ObjectStoragePath((params or {})["input"]).iterdir()):
            yield {"name": path.name, "image": str(path)}

    label()
