"""The worker is killed in the middle of a call, with no chance to tidy up; the retry pays nothing again."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.simulator.faults import CallName
from tests.real_airflow.conftest import World
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow

#: The point at which a retry could pay twice; `make test-slow` has the others, and tests/crash every single one.
WORST = "the batch is created"

#: Where the process dies: the call, whether the platform had done the work by then, and calls of its kind before.
POINTS: dict[str, tuple[CallName, bool, int]] = {
    "before the input is stored": ("upload_file", False, 0),
    "the input is stored": ("upload_file", True, 0),
    "before the batch is created": ("create_batch", False, 0),
    "the batch is created": ("create_batch", True, 0),
    "the create was answered": ("list_batches", False, 1),
    "before the first look": ("get_batch", False, 0),
    "before the output is read": ("download_file", False, 0),
}


@pytest.fixture(scope="module")
def killed(world: World, request: pytest.FixtureRequest) -> dict[str, tuple[KimiSimulator, Path]]:
    """Kill one run at each point that a test names, all at the same time, and let every run end."""
    runs: dict[str, tuple[str, KimiSimulator, Path]] = {}
    items = [item for item in request.session.items if item.path == Path(__file__)]
    named = {str(item.callspec.params["point"]) for item in items if isinstance(item, pytest.Function)}
    for point in named:
        call, accepted, skip = POINTS[point]
        conn, platform = world.take_platform()
        platform.inject(call, hang_seconds=1200, accepted=accepted, skip=skip)
        runs[point] = (conn, platform, world.folder / conn)
        world.airflow.run_dag("paid_once", f"on_{conn}", {"conn": conn, "output": str(runs[point][2])})

    def step() -> bool:
        for point, (conn, platform, _) in runs.items():
            call, _, skip = POINTS[point]
            for task_id, state in world.airflow.task_states("paid_once", f"on_{conn}").items():
                if task_id == "wait" and state == "deferred":
                    platform.advance(8000)
            hanging = [arrived.name for arrived in platform.journal].count(call) == skip + 1
            if hanging and point not in dead and (pids := worker_pids(platform)):
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                dead.add(point)
        states = {world.airflow.run_state("paid_once", f"on_{conn}") for conn, _, _ in runs.values()}
        return states <= {"success", "failed"}

    dead: set[str] = set()
    try:
        wait_for(step, "the runs did not end", seconds=1200, pause=1)
    finally:
        print({point: world.airflow.task_states("paid_once", f"on_{run[0]}") for point, run in runs.items()})
    assert dead == named
    return {point: (platform, folder) for point, (_, platform, folder) in runs.items()}


def worker_pids(platform: KimiSimulator) -> list[int]:
    """The worker processes that are connected to a platform."""
    port = urlsplit(platform.base_url).port
    inodes = {
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[2] == f"0100007F:{port:04X}" and fields[3] == "01"
    }
    processes = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in processes if pid != os.getpid() and inodes & set(sockets_of(pid))]


def sockets_of(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets."""
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = os.readlink(link)
                if target.startswith("socket:["):
                    yield target[8:-1]


@pytest.mark.parametrize(
    "point", [WORST, *(pytest.param(one, marks=pytest.mark.slow) for one in POINTS if one != WORST)]
)
class TestAWorkerThatIsKilled:
    """The platform's list is the memory, and Airflow's is wiped with every attempt."""

    def test_a_killed_worker_leaves_one_paid_batch(self, killed: dict[str, Any], point: str) -> None:
        platform, _ = killed[point]
        assert [platform.status(batch_id) for batch_id in platform.batches] == ["completed"]

    def test_a_killed_worker_loses_no_row(self, killed: dict[str, Any], point: str) -> None:
        _, folder = killed[point]
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == 3
        rows = (folder / "results.jsonl").read_bytes().splitlines()
        assert [json.loads(row)["custom_id"] for row in rows] == [f"row-{n:08}" for n in (1, 2, 3)]
