"""Reading, checking and cutting an input takes the same memory whatever its size."""

import json
import tracemalloc
from pathlib import Path

import pytest

from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import prepare
from airflow_provider_kimi.requests.recipe import Recipe
from tests.support.logs import LogRecord
from tests.support.requests import request

#: A row costs an offset and a hash: 18 bytes at most, and a few megabytes are in flight.
BYTES_A_ROW = 24


def peak_of(order: Order, workshop: Path) -> int:
    """The most memory that preparing an order took at once."""
    workshop.mkdir()
    tracemalloc.start()
    try:
        prepare(order, workshop, LogRecord())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ready", [True, False], ids=["ready requests", "table"])
def test_ten_times_the_rows_take_no_more_memory(tmp_path: Path, ready: bool) -> None:
    peaks: dict[int, int] = {}
    for rows in (2_000, 2_000, 20_000):  # the first one warms up
        path = tmp_path / f"{rows}.jsonl"
        text = "很好 " * 250
        with path.open("w", encoding="utf-8") as target:
            for number in range(rows):
                body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": text}]}
                row = request(f"r{number}", body=body) if ready else {"id": f"r{number}", "text": text}
                target.write(json.dumps(row, ensure_ascii=False) + "\n")
        recipe = Recipe("kimi-k2.6") if ready else Recipe("kimi-k2.6", prompt="{text}", key_column="id")
        peaks[rows] = peak_of(Order(str(path), recipe), tmp_path / f"{rows}-{len(peaks)}-{path.stat().st_mtime_ns}")
    assert peaks[20_000] - peaks[2_000] < 18_000 * BYTES_A_ROW + 1_000_000
