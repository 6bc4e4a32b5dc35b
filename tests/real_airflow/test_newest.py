"""What Airflow 3.4 adds, on its real processes: views of some tasks only, task loops, and retries that use up none."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.real_airflow.conftest import Run, World
from tests.support.real_airflow import wait_for
from tests.support.versions import needs_airflow

pytestmark = [pytest.mark.real_airflow, needs_airflow(3, 4, "applies_to, task loops and rescheduling retry policies")]

REFUSED = {"status": 429, "error_type": "exceeded_current_quota_error", "message": "no balance"}


def iterations(run: Run) -> dict[int, dict[str, Any]]:
    """The task instances of a loop, by iteration."""
    found = run.airflow.call("GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances")["task_instances"]
    return {ti["loop_iteration"]["iteration"]: ti for ti in found if ti["task_id"] == "twice.label"}


def until_deferred(run: Run, iteration: int) -> None:
    """Wait until an iteration has a batch of its own, and the triggerer looks at it."""

    def waits() -> bool:
        return len(run.platform.batches) == iteration + 1 and iterations(run)[iteration]["state"] == "deferred"

    wait_for(waits, f"iteration {iteration} does not wait")
    run.until_polled()


def test_airflow_keeps_the_tab_for_tasks_with_a_connection_of_ours(world: World) -> None:
    world.airflow.unpause("tab")  # waits until it is parsed
    plugins = world.airflow.call("GET", "/api/v2/plugins")["plugins"]
    (ours,) = (plugin for plugin in plugins if plugin["name"] == "kimi")
    _, tab = ours["external_views"]
    assert tab["applies_to"] == {"task.template_fields": ["kimi_conn_id"]}
    fields = {
        task_id: world.airflow.call("GET", f"/api/v2/dags/tab/tasks/{task_id}")["template_fields"]
        for task_id in ("label", "other")
    }
    assert {task_id for task_id, names in fields.items() if "kimi_conn_id" in names} == {"label"}


def test_airflow_lists_the_provider(world: World) -> None:
    providers = world.airflow.call("GET", "/api/v2/providers?limit=200")["providers"]
    assert "airflow-provider-kimi" in {provider["package_name"] for provider in providers}


def test_each_iteration_of_a_loop_waits_for_a_batch_of_its_own(prepare: Callable[[str], Run]) -> None:
    run = prepare("loop")
    run.launch()
    for iteration in (0, 1):
        until_deferred(run, iteration)
        run.platform.advance(8000)
    run.until_the_run_is("success")
    assert run.statuses() == ["completed"] * 2
    counts = [json.loads((run.output / str(n) / "manifest.json").read_text())["counts"] for n in (0, 1)]
    assert [found["succeeded"] for found in counts] == [1, 1]


def test_failing_the_run_of_a_loop_cancels_the_batch_of_its_last_iteration(prepare: Callable[[str], Run]) -> None:
    run = prepare("loop")
    run.launch()
    until_deferred(run, 0)
    run.platform.advance(8000)
    until_deferred(run, 1)
    run.airflow.call("PATCH", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}", {"state": "failed"})
    wait_for(lambda: run.statuses()[1].startswith("cancel"), "the batch goes on")
    assert run.statuses()[0] == "completed"


def test_a_refusal_for_lack_of_balance_uses_up_no_retry(prepare: Callable[[str], Run]) -> None:
    run = prepare("rescheduled")
    run.platform.inject("create_batch", times=3, **REFUSED)
    run.launch()
    run.until_the_run_is("success")
    task = run.airflow.task_instance(run.dag_id, run.run_id, "create")
    assert (task["try_number"], task["max_tries"]) == (1, 1)
    assert run.calls("create_batch") == 4
    assert len(run.platform.batches) == 1
