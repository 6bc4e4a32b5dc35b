"""What becomes of a batch when a user, or a restart, gets in between: the fate that the README documents."""

import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.real_airflow.conftest import World
from tests.support.real_airflow import RealAirflow, wait_for

pytestmark = pytest.mark.real_airflow


@dataclass(frozen=True)
class Run:
    """One run of the chain on a platform of its own."""

    airflow: RealAirflow
    platform: KimiSimulator
    dag_id: str
    run_id: str
    output: Path

    def calls(self, name: str) -> int:
        """How often the platform was called so."""
        return [call.name for call in self.platform.journal].count(name)

    def statuses(self) -> list[str]:
        """How the batches stand."""
        return [self.platform.status(batch_id) for batch_id in self.platform.batches]

    def trigger_log(self) -> str:
        """What the trigger logged."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return "".join(path.read_text(errors="replace") for path in folder.rglob("*.trigger.*.log"))

    def state(self, task_id: str) -> str:
        return self.airflow.task_states(self.dag_id, self.run_id).get(task_id, "-")

    def until(self, task_id: str, state: str) -> None:
        wait_for(lambda: self.state(task_id) == state, f"{task_id} is not {state}")

    def until_the_run_is(self, state: str) -> None:
        """Wait for the state of the run.

        A clear that comes just before Airflow gives the run its last state would leave the cleared tasks to nobody.
        """
        wait_for(lambda: self.airflow.run_state(self.dag_id, self.run_id) == state, f"the run is not {state}")

    def until_cancelled(self) -> None:
        """Wait until the platform is asked to cancel the batch."""
        wait_for(lambda: self.statuses()[0].startswith("cancel"), "the batch goes on")

    def until_tried_again(self, task_id: str) -> None:
        def second() -> bool:
            return bool(self.airflow.task_instance(self.dag_id, self.run_id, task_id)["try_number"] == 2)

        wait_for(second, f"{task_id} has no second try")

    def until_polled(self) -> None:
        """Wait until the triggerer itself looks at the batch."""
        before = self.calls("get_batch")
        wait_for(lambda: self.calls("get_batch") > before + 1, "nobody looks at the batch")

    def finish(self) -> None:
        """Let the platform finish, and the run after it; every row is there once."""
        self.platform.advance(8000)
        self.until("results", "success")
        self.until_the_run_is("success")
        manifest = json.loads((self.output / "manifest.json").read_text())
        assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == 3
        assert self.statuses() == ["completed"]


@pytest.fixture
def start(world: World) -> Iterator[Any]:
    """Start runs, and wait until they are deferred."""
    runs: list[Run] = []

    def started(dag_id: str = "paid_once", *, deferred: bool = True) -> Run:
        conn, platform = world.take_platform()
        run = Run(world.airflow, platform, dag_id, f"on_{conn}", world.folder / conn)
        runs.append(run)
        world.airflow.run_dag(dag_id, run.run_id, {"conn": conn, "output": str(run.output)})
        if deferred:
            run.until("wait", "deferred")
            run.until_polled()
        return run

    yield started
    for run in runs:
        with suppress(HTTPError):  # its run was deleted
            print(run.run_id, run.statuses(), run.airflow.task_states(run.dag_id, run.run_id))
        run.platform.advance(10_000)


class TestGivingTheTaskUp:
    @pytest.mark.parametrize("state", ["failed", pytest.param("success", marks=pytest.mark.slow)])
    def test_marking_a_waiting_task_cancels_the_batch(self, start: Any, state: str) -> None:
        """From Airflow 3.3 on, nothing is left to bill on."""
        run = start()
        run.airflow.mark(run.dag_id, run.run_id, "wait", state)
        run.until_cancelled()

    def test_marking_a_task_that_waits_in_its_worker_cancels_the_batch(self, start: Any) -> None:
        run = start("waits_in_worker", deferred=False)
        run.until("wait", "running")
        run.until_polled()
        run.airflow.mark(run.dag_id, run.run_id, "wait", "failed")
        run.until_cancelled()

    def test_failing_the_run_of_a_waiting_task_cancels_the_batch(self, start: Any) -> None:
        run = start()
        run.airflow.call("PATCH", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}", {"state": "failed"})
        run.until_cancelled()

    def test_a_batch_that_is_to_be_kept_is_kept_and_the_sweep_finds_it(self, start: Any) -> None:
        """Whatever was left alive is listed with its run, and cancelled on request."""
        run = start("kept_on_kill")
        run.airflow.call("PATCH", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}", {"state": "failed"})
        wait_for(lambda: "cancel_on_kill is False" in run.trigger_log(), "the trigger was not stopped")
        assert run.calls("cancel_batch") == 0
        assert self.swept(run) == "failed"
        assert run.statuses()[0].startswith("cancel")

    @pytest.mark.slow
    def test_a_batch_whose_run_is_deleted_is_left_to_a_sweep_of_unknown_runs(self, start: Any) -> None:
        run = start("kept_on_kill")
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"
        run.airflow.call("PATCH", path, {"state": "failed"})
        run.until("wait", "failed")
        run.airflow.call("DELETE", path)
        assert self.swept(run) is None, "Airflow does not know the run any more"
        assert run.statuses() == ["in_progress"], "it could be another Airflow's"

    @pytest.mark.slow
    def test_a_run_that_failed_loses_no_row_that_was_paid(self, start: Any) -> None:
        """A batch that ended after its run failed is landed by the sweep."""
        run = start("kept_on_kill")
        run.airflow.call("PATCH", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}", {"state": "failed"})
        run.until("wait", "failed")
        run.platform.advance(8000)
        assert self.swept(run, running=False) == "failed"
        (batch_id,) = run.platform.batches
        manifest = json.loads((run.output / batch_id / "manifest.json").read_text())
        assert manifest["counts"]["succeeded"] == 3

    def swept(self, run: Run, *, running: bool = True) -> Any:
        """Sweep the platform of a run, and return the state that the run of its batch is listed with."""
        run.airflow.run_dag("sweep", run.run_id, {"conn": run.run_id.removeprefix("on_"), "output": str(run.output)})
        wait_for(lambda: run.airflow.run_state("sweep", run.run_id) == "success", "the sweep did not end")
        (listed,) = run.airflow.xcom("sweep", run.run_id, "look")
        assert (listed["run_id"], listed["running"]) == (run.run_id, running)
        return listed["run_state"]


class TestClearing:
    @pytest.mark.slow
    def test_clearing_the_waiting_task_keeps_the_batch_and_waits_again(self, start: Any) -> None:
        """The old trigger's end cancels nothing, and the new attempt defers."""
        run = start()
        run.airflow.clear(run.dag_id, run.run_id, "wait")
        run.until_tried_again("wait")
        run.until("wait", "deferred")
        run.until_polled()
        assert run.calls("cancel_batch") == 0
        run.finish()

    def test_clearing_every_task_attaches_to_the_batch(self, start: Any) -> None:
        """A clear with downstream pays nothing again."""
        run = start()
        run.airflow.clear(run.dag_id, run.run_id, "create", downstream=True)
        run.until_tried_again("create")
        run.until("wait", "deferred")
        assert run.calls("create_batch") == 1
        run.finish()
        run.airflow.clear(run.dag_id, run.run_id, "create", downstream=True)
        run.until("create", "success")
        run.until("results", "success")
        assert (run.calls("create_batch"), run.calls("upload_file"), run.calls("cancel_batch")) == (1, 1, 0)

    def test_clearing_after_a_marked_failure_submits_again(self, start: Any) -> None:
        run = start()
        run.airflow.mark(run.dag_id, run.run_id, "wait", "failed")
        run.until_cancelled()
        run.until_the_run_is("failed")
        run.airflow.clear(run.dag_id, run.run_id, "create", downstream=True)
        wait_for(lambda: run.calls("create_batch") == 2, "nothing was submitted")
        run.until("wait", "deferred")
        run.platform.advance(8000)
        run.until("results", "success")
        assert sorted(run.statuses()) == ["cancelled", "completed"]


class TestAnotherTriggerer:
    def test_another_triggerer_goes_on_waiting_and_cancels_nothing(self, start: Any) -> None:
        """Everything that a wait needs is in its arguments. One that is killed: see test_many_waits."""
        run = start()
        run.airflow.kill("triggerer", signal.SIGTERM)
        run.airflow.start("triggerer")
        run.until_polled()
        assert run.calls("cancel_batch") == 0
        run.finish()
