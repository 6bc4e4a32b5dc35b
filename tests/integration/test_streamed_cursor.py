"""`@task.kimi_batch` reads a cursor row by row: memory, rendered fields and XComs do not grow with the rows."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, Timing
from tests.benchmarks.fresh_process import run_module

#: A row costs an offset and a few numbers, and never its text of 600 bytes.
MOST_BYTES_A_ROW = 100


def labelled(folder: Path, rows: int) -> Any:
    """Label so many rows of a table, and return what that took."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "reviews.sqlite")) as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany(
            "INSERT INTO reviews VALUES (?, ?)", ((number, f"{number} " + "很好 " * 85) for number in range(rows))
        )
        connection.commit()
    timing = Timing(validating_seconds=0, working_seconds=5000, finalizing_seconds=0)
    with KimiSimulator(
        speed=1000, timing=timing, responder=lambda request: Answer("positive"), api_key="sk-bench"
    ) as sim:
        base = sim.base_url.removesuffix("/v1")
        found = json.loads(run_module("stream_measured", base, folder, folder / "reviews.sqlite", folder / "out"))
    assert found["counts"]["succeeded"] == found["counts"]["total"] == rows
    return found


@pytest.mark.parametrize("rows", [20_000, pytest.param(200_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_generator_over_a_cursor_is_read_row_by_row(tmp_path: Path, rows: int) -> None:
    few, many = labelled(tmp_path / "few", 4_000), labelled(tmp_path / "many", rows)
    print(few, many)
    for before, after in zip(few["growth"], many["growth"], strict=True):
        assert after - before < (rows - 4_000) * MOST_BYTES_A_ROW + 8_000_000
    assert max(few["rendered"], many["rendered"]) < 4096
    assert many["rendered"] - few["rendered"] < 10
    assert many["xcoms"] < 4096 + 8192
    with (tmp_path / "many" / "out" / "results.jsonl").open("rb") as results:
        for number, line in enumerate(results):
            assert line.startswith(b'{"custom_id":"%d","id":%d,' % (number, number))
    assert number + 1 == rows
