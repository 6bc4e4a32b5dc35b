"""The one task lands on S3, and dies at every call of the platform and before every change of the bucket."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.crash.chain import ROWS, SPEED
from tests.crash.processes import Chain, told
from tests.crash.s3_gate import Gate, gate_before
from tests.crash.test_crash_matrix import asked_by_label, failing, lines_of_result
from tests.support.s3 import Storage, s3_server


@dataclass
class Bucket:
    """A bucket behind a gate."""

    gate: Gate
    storage: Storage

    @property
    def environment(self) -> dict[str, str]:
        """What the process needs for it. Its client sends nothing again by itself."""
        connection = self.storage.connection
        extra = {**connection["extra"], "config_kwargs": {"retries": {"max_attempts": 0}}}
        return {f"AIRFLOW_CONN_{self.storage.conn_id.upper()}": json.dumps({**connection, "extra": extra})}

    def files(self, place: str) -> dict[str, bytes]:
        """What is under a key, by name."""
        keys = [key for key in self.storage.keys() if key.startswith(f"{place}/")]  # noqa: SIM118
        return {key.removeprefix(f"{place}/"): self.storage.get(key) for key in keys}

    def empty(self) -> None:
        """Delete everything, so that listings stay short."""
        for key in self.storage.keys():  # noqa: SIM118
            self.storage.delete(key)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as server, gate_before(server) as gate:
        yield Bucket(gate, Storage(gate.url, uuid4().hex))


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("calls and writes", 41),
        ("changes of the bucket", 13),
        pytest.param("calls and writes", 17, marks=pytest.mark.long),
        pytest.param("changes of the bucket", 5, marks=pytest.mark.long),
    ],
)
def test_a_death_of_the_one_task_that_lands_on_s3_costs_nothing_and_loses_no_row(
    chain: Chain, bucket: Bucket, tmp_path: Path, kind: str, step: int
) -> None:
    clean: Any = None
    for die_at in count(0, step):  # not at all the first time
        folder, place = tmp_path / str(die_at), f"{kind[0]}{step}-{die_at}"
        folder.mkdir()
        usable: list[str] = []
        job = {"output": bucket.storage.uri(place)}
        with KimiSimulator(speed=SPEED, responder=failing(usable)) as platform:
            is_gated = kind == "changes of the bucket"
            if is_gated:
                bucket.gate.set("killed", die_at, lambda folder=folder: kill(folder))  # type: ignore[misc]
            first = None if is_gated else die_at or None
            status = chain.run(platform, folder, 1, first, job=job, environment=bucket.environment)
            bucket.gate.open()
            if status == -signal.SIGKILL:
                seen = f"after a death at {die_at} of the {kind}"
                again = chain.run(platform, folder, 2, None, job=job, environment=bucket.environment)
                assert again == 0, f"the retry failed {seen}"
            found = asked_by_label(platform), lines_of_result(bucket.files(place), told(folder)["ids"])
            clean = clean or found
            assert found == clean, f"died at {die_at} of the {kind}"
            assert sorted(usable) == [f"row-{number:08}" for number in range(1, len(ROWS) + 1)], die_at
        bucket.empty()
        if status == 0 and die_at:
            break
    print(f"{die_at} {kind}")
    assert die_at > 30, "hardly any point was passed"
    assert [label for label, _ in found[0]] == ["1/2 1", "1/2 2", "2/2 1", "2/2 2", "2/2 3"]


def kill(folder: Path) -> None:
    """Kill the process that lands."""
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
