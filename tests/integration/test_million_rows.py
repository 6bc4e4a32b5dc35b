"""A million rows are landed in input order, in a process whose memory stays small."""

import json
from pathlib import Path

from tests.benchmarks.drain_server import running_drain
from tests.benchmarks.fresh_process import run_module

BATCHES = 2
ROWS_PER_BATCH = 500_000

#: Shares no factor with the rows of a batch, so that each is answered once, far from its place.
STRIDE = 271_829

MOST_GROWTH = 40_000_000


def write_batch(folder: Path, number: int) -> None:
    """Write the files of one batch, small lines of which the answers are in another order."""
    begin = number * ROWS_PER_BATCH
    batch = {
        **{"id": f"batch-{number}", "status": "completed", "created_at": 1, "completed_at": 2},
        **{"input_file_id": f"input-{number}", "output_file_id": f"output-{number}"},
        "request_counts": {"total": ROWS_PER_BATCH, "completed": ROWS_PER_BATCH, "failed": 0},
        "metadata": {"kimi_job_key": "job", "kimi_shard": f"{number + 1}/{BATCHES}"},
    }
    (folder / f"batch-{number}.json").write_text(json.dumps(batch))
    with (folder / f"input-{number}").open("w") as requests:
        for row in range(begin, begin + ROWS_PER_BATCH):
            requests.write(
                f'{{"custom_id":"r{row}","method":"POST","url":"/v1/chat/completions","body":{{"model":"m"}}}}\n'
            )
    with (folder / f"output-{number}").open("w") as answers:
        for place in range(ROWS_PER_BATCH):
            row = begin + place * STRIDE % ROWS_PER_BATCH
            answers.write(
                f'{{"custom_id":"r{row}","response":{{"status_code":200,"body":{{"choices":'
                f'[{{"message":{{"content":"to {row}"}},"finish_reason":"stop"}}]}}}}}}\n'
            )


def test_a_million_rows_are_in_input_order_and_memory_stays_flat(tmp_path: Path) -> None:
    for number in range(BATCHES):
        write_batch(tmp_path, number)
    ids = json.dumps([f"batch-{number}" for number in range(BATCHES)])
    with running_drain(tmp_path) as base_url:
        growth = int(run_module("land_measured", base_url, tmp_path, ids, tmp_path / "out"))
    with (tmp_path / "out" / "results.jsonl").open("rb") as results:
        for row, line in enumerate(results):
            if not line.startswith(b'{"custom_id":"r%d","status":"succeeded","content":"to %d",' % (row, row)):
                raise AssertionError(f"row {row} is {line!r}")
    assert row + 1 == BATCHES * ROWS_PER_BATCH
    assert growth < MOST_GROWTH, f"memory grew by {growth:,} bytes"
