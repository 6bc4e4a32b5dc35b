"""One contender of bench_land in a process of its own: imports and a small landing first, then the measured one.

Run as `python -m tests.benchmarks.land_contender CASE BATCH WARM_UP_BATCH ROWS FOLDER BASE_URL`; the last line that it
prints is its seconds, the growth of its memory, and the number of rows that it landed.
"""

import importlib
import json
import sys
from pathlib import Path

from tests.benchmarks.peak_memory import measure
from tests.benchmarks.submit_rows import MODEL


def ours(batch_id: str, rows: int, target: Path, base_url: str) -> int:
    """Run the results operator as a worker does: download, verify, reconcile, write every file."""
    from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
    from tests.support.tasks import run_task

    manifest = run_task(KimiBatchResultsOperator(task_id="land", batch_id=batch_id, output=str(target))).value
    return int(manifest["counts"]["succeeded"])


def theirs(batch_id: str, rows: int, target: Path, base_url: str) -> int:
    """Land through their adapter as their operator does; that gives no order, no join and no copy of the lines."""
    from airflow.sdk import ObjectStoragePath

    package = "airflow.providers.common.ai.batch"
    counts, _ = importlib.import_module(f"{package}.results").stream_results_to_jsonl(
        adapter=importlib.import_module(f"{package}.openai").OpenAIBatchAdapter(
            api_key="sk-bench", base_url=f"{base_url}/v1"
        ),
        batch_id=batch_id,
        output_spec=importlib.import_module(f"{package}.output_schema").build_output_spec(str),
        request_count=rows,
        custom_id_prefix="review",
        destination=ObjectStoragePath(f"file://{target}/results.jsonl"),
    )
    return int(counts["success"])


def sample(batch_id: str, rows: int, target: Path, base_url: str) -> int:
    """Do as a script in a vendor's guide does: the whole text at once, saved, then cut and parsed into a list."""
    from openai import OpenAI

    client = OpenAI(api_key="sk-bench", base_url=f"{base_url}/v1")
    output_file_id = client.batches.retrieve(batch_id).output_file_id
    assert output_file_id
    content = client.files.content(output_file_id).text
    target.mkdir(parents=True, exist_ok=True)
    (target / "output.jsonl").write_text(content, encoding="utf-8")
    results = [json.loads(line) for line in content.strip().split("\n")]
    assert results[0]["response"]["body"]["model"] == MODEL
    return len(results)


def main(case: str, batch_id: str, warm_up_id: str, rows: str, folder: str, base_url: str) -> None:
    """Measure one case and print it."""
    land = {"ours": ours, "theirs": theirs, "sample": sample}[case]
    land(warm_up_id, 100, Path(folder) / "warm-up", base_url)
    landed: list[int] = []
    found = measure(lambda: landed.append(land(batch_id, int(rows), Path(folder) / case, base_url)))
    print(json.dumps([found.seconds, found.growth, *landed]))


if __name__ == "__main__":
    main(*sys.argv[1:])
