"""What becomes of a batch when a user, or a restart, gets in between: the fate that the README documents."""

import json
import signal
from typing import Any

import pytest

from tests.real_airflow.conftest import Run
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow


class TestGivingTheTaskUp:
    def test_marking_a_waiting_task_failed_cancels_the_batch(self, start: Any) -> None:
        """From Airflow 3.3 on, nothing is left to bill on. The log has said so before."""
        run = start()
        assert "Mark failed cancels these batches" in run.log()
        run.airflow.mark(run.dag_id, run.run_id, "wait", "failed")
        run.until_cancelled()

    def test_marking_a_waiting_task_success_keeps_the_batch_and_no_row_is_lost(self, start: Any) -> None:
        run = start()
        run.airflow.mark(run.dag_id, run.run_id, "wait", "success")
        kept = "The task was marked success: its batches go on and are billed."
        wait_for(lambda: kept in run.trigger_log(), "the trigger was not stopped")
        assert run.calls("cancel_batch") == 0
        run.platform.advance(8000)
        run.airflow.clear(run.dag_id, run.run_id, "wait", downstream=True)
        run.finish()

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
        assert "Marks and clears of this task cancel nothing: its batches go on and are billed." in run.log()
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
