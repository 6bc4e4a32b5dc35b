"""The one task with rounds, on real Airflow processes: deferred, killed in a round, and cleared."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.real_airflow.conftest import Run, World
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


class Rounds:
    """A run of one task, of whose four rows two are refused in every round."""

    def __init__(self, run: Run) -> None:
        self.run = run
        run.launch()

    def until_it_waits(self, batches: int) -> None:
        """Wait until the task is deferred for its newest batch, and the triggerer looks at that."""
        wait_for(lambda: len(self.run.platform.batches) == batches, f"there is no batch {batches}")
        self.run.until("label", "deferred")
        self.run.until_polled()

    def goes_on(self) -> bool:
        """Let the batches end that the task waits for; whether the task has ended."""
        if self.run.state("label") == "deferred":
            self.run.platform.advance(8000)
        return self.run.state("label") == "success"

    def check(self, *statuses: str) -> None:
        """Every row is there once, and the batches have come to these ends."""
        self.run.until("label", "success")
        self.run.until_the_run_is("success")
        found = json.loads((self.run.output / "manifest.json").read_text())
        rows = [json.loads(line) for line in (self.run.output / "results.jsonl").read_text().splitlines()]
        assert [row["custom_id"] for row in rows] == ["r0", "r1", "r2", "r3"]
        assert (found["counts"]["succeeded"], found["counts"]["invalid"]) == (2, 2)
        assert self.run.statuses() == list(statuses)


@pytest.fixture
def rounds(prepare: Callable[[str], Run]) -> Rounds:
    return Rounds(prepare("three_rounds"))


@pytest.mark.long
def test_a_dead_triggerer_and_a_failed_mark_cost_nothing_and_lose_no_row(rounds: Rounds) -> None:
    """The triggerer dies in the first round, and the task is marked failed in the second."""
    run = rounds.run
    rounds.until_it_waits(1)
    run.airflow.kill("triggerer", signal.SIGKILL)
    run.airflow.start("triggerer")
    run.until_polled()
    assert run.calls("cancel_batch") == 0
    run.platform.advance(8000)
    rounds.until_it_waits(2)
    run.airflow.mark(run.dag_id, run.run_id, "label", "failed")
    wait_for(lambda: run.statuses()[1].startswith("cancel"), "the batch of the second round goes on")
    run.until_the_run_is("failed")
    run.airflow.clear(run.dag_id, run.run_id, "label")
    rounds.until_it_waits(3)
    wait_for(rounds.goes_on, "the cleared task did not end", pause=1)
    # Whether the cancelled batch counts as a round depends on whether its cancel was over when the clear came.
    rounds.check("completed", "cancelled", *["completed"] * (len(run.statuses()) - 2))
    assert len(run.statuses()) in (3, 4)
    assert run.calls("cancel_batch") == 1


@pytest.mark.long
def test_neither_a_triggerer_that_lapsed_nor_a_success_mark_nor_the_end_of_a_run_cancels_a_batch(
    rounds: Rounds,
) -> None:
    """Airflow 3.3 kills the triggers that another triggerer took over, as if a user had."""
    run = rounds.run
    rounds.until_it_waits(1)
    run.platform.advance(8000)
    rounds.until_it_waits(2)
    run.airflow.rename("triggerer", "lapsed triggerer")
    run.airflow.send("lapsed triggerer", signal.SIGSTOP)
    try:
        run.airflow.start("triggerer", "--skip-serve-logs")
        run.until_polled()
    finally:
        run.airflow.send("lapsed triggerer", signal.SIGCONT)
    wait_for(lambda: "The task is deferred now: its batches go on" in run.log(), "the trigger was not killed")
    run.airflow.kill("lapsed triggerer", signal.SIGTERM)
    run.platform.advance(8000)
    rounds.until_it_waits(3)
    run.airflow.mark(run.dag_id, run.run_id, "label", "success")
    wait_for(lambda: "The task was marked success: its batches go on" in run.trigger_log(), "the trigger goes on")
    run.until_the_run_is("success")
    run.platform.advance(8000)
    run.airflow.clear(run.dag_id, run.run_id, "label")
    run.until_tried_again("label")
    rounds.check("completed", "completed", "completed")
    run.airflow.call("DELETE", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}")
    run.launch()
    rounds.check("completed", "completed", "completed")
    assert run.calls("cancel_batch") == 0
