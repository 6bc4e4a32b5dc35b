"""The process is killed at every point of submit, wait and land, and the retry finds its way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.crash.chain import ROWS, ROWS_PER_BATCH, SPEED

SHARDS = -(-len(ROWS) // ROWS_PER_BATCH)


class Chain:
    """Runs the chain in processes of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.chain"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(self, platform: KimiSimulator, folder: Path, number: int, die_at: int | None) -> int:
        """Run one attempt, and return its exit status."""
        fields = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
        command = {"connection": fields, "folder": str(folder), "number": number, "die_at": die_at}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    started = Chain()
    yield started
    started.close()


def told(folder: Path) -> Any:
    return json.loads((folder / "told.json").read_text())


def test_a_death_at_any_point_costs_nothing_and_loses_no_row(chain: Chain, tmp_path: Path) -> None:
    """The points are counted as the chain passes them, so none can be forgotten."""
    for die_at in range(1, 1000):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        with KimiSimulator(speed=SPEED) as platform:
            status = chain.run(platform, folder, 1, die_at)
            if status == -signal.SIGKILL:
                assert chain.run(platform, folder, 2, None) == 0, f"the retry failed after a death at point {die_at}"
            check(platform, folder, die_at)
        if status == 0:
            break
    assert die_at > 60, "hardly any point was passed"


def check(platform: KimiSimulator, folder: Path, die_at: int) -> None:
    """One batch for each shard, each row once, and a whole result."""
    statuses = {batch_id: platform.status(batch_id) for batch_id in platform.batches}
    alive = [batch_id for batch_id, status in statuses.items() if status not in ("cancelled", "cancelling")]
    seen = f"died at point {die_at}; then {told(folder)['points']}; batches {statuses}"
    assert sorted(alive) == sorted(told(folder)["ids"]), seen
    assert len(alive) == SHARDS, seen
    out = folder / "out"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == len(ROWS), seen
    rows = [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]
    assert [row["custom_id"] for row in rows] == [f"row-{number:08}" for number in range(1, len(ROWS) + 1)], seen
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "output.jsonl", "results.jsonl"], seen
