"""The one task with rounds, on real Airflow processes: deferred, killed in a round, and cleared."""

import json
import os
import signal
from typing import Any

import pytest

from tests.real_airflow.conftest import World
from tests.real_airflow.test_killed_workers import worker_pids
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow

TASKS = ("operator", "decorated")


def test_the_one_task_goes_on_with_its_rounds_after_its_worker_was_killed_and_after_a_clear(world: World) -> None:
    """Each of two tasks has one batch a round; what is rendered stays small."""
    conn, platform = world.take_platform()
    run_id, output = f"on_{conn}", world.folder / conn
    platform.inject("create_batch", hang_seconds=1200, accepted=True, skip=2)
    world.airflow.run_dag("one_task", run_id, {"conn": conn, "output": str(output)})
    killed: list[int] = []

    def step() -> bool:
        states = world.airflow.task_states("one_task", run_id)
        if all(states.get(name) in ("deferred", "success") for name in TASKS):
            platform.advance(8000)
        creates = [call.name for call in platform.journal].count("create_batch")
        if creates >= 3 and not killed:
            platform.advance(1)
            for pid in worker_pids(platform):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        if killed and any(states.get(name) == "deferred" for name in TASKS):
            platform.advance(8000)
        return world.airflow.run_state("one_task", run_id) in ("success", "failed")

    try:
        wait_for(step, "the run did not end", seconds=400, pause=1)
    finally:
        print(world.airflow.task_states("one_task", run_id), [call.name for call in platform.journal])
    assert killed
    check(world, output, run_id)
    made = list(platform.batches)
    assert sorted(batch.total for batch in platform.batches.values()) == [100, 100, 200, 200]
    world.airflow.clear("one_task", run_id, *TASKS)
    wait_for(lambda: world.airflow.run_state("one_task", run_id) == "success", "the cleared run did not end")
    check(world, output, run_id)
    assert list(platform.batches) == made


def check(world: World, output: Any, run_id: str) -> None:
    for name in TASKS:
        manifest = json.loads((output / name / "manifest.json").read_text())
        assert manifest["by_round"] == [{"requests": 200, "succeeded": 100}, {"requests": 100, "succeeded": 0}]
        fields = world.airflow.task_instance("one_task", run_id, name)["rendered_fields"]
        assert len(json.dumps(fields)) < 4096
