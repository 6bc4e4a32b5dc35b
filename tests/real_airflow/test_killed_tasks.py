"""What becomes of batches when Airflow itself kills their task, or a triggerer lags behind."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Connect
from tests.real_airflow.conftest import Run
from tests.support.real_airflow import wait_for
from tests.support.triggers import created

pytestmark = pytest.mark.real_airflow

Prepare = Callable[[str], Run]


def test_a_create_that_is_marked_failed_leaves_no_batch_alive_and_unknown(prepare: Prepare) -> None:
    run = prepare("six_creates")
    run.platform.inject("create_batch", hang_seconds=3, times=None)
    run.launch()
    wait_for(lambda: run.calls("create_batch") == 3, "nothing was created", pause=0.1)
    run.airflow.mark(run.dag_id, run.run_id, "create", "failed")
    wait_for(lambda: "Task killed!" in run.log(), "the task's process lives on")
    assert set(run.statuses()) <= {"cancelling", "cancelled"}
    assert run.calls("create_batch") <= 4, "the one that was under way is the last"


def test_a_create_that_its_execution_timeout_ends_cancels_what_it_made_if_asked_to(prepare: Prepare) -> None:
    run = prepare("slow_creates")
    run.platform.inject("create_batch", hang_seconds=4, times=None)
    run.launch()
    run.until("create", "failed")
    assert run.calls("create_batch") >= 2
    assert set(run.statuses()) <= {"cancelling", "cancelled"}


def test_a_run_that_times_out_while_a_wait_polls_for_the_first_time_cancels_its_batch(
    prepare: Prepare, connect: Connect
) -> None:
    run = prepare("times_out")
    (batch_id,) = created(connect(run.platform), 1)
    run.platform.inject("get_batch", hang_seconds=30)
    run.launch(first=batch_id)
    run.until("wait", "skipped")
    run.until_cancelled()


def test_a_wait_that_fail_fast_skips_keeps_its_healthy_batch(prepare: Prepare, connect: Connect) -> None:
    run = prepare("fails_fast")
    hook = connect(run.platform)
    first, second = created(hook, 2)
    run.launch(first=first, second=second)
    run.until("first", "deferred")
    run.until("second", "deferred")
    run.until_polled()
    hook.cancel_batch(first)
    run.until("second", "skipped")
    wait_for(lambda: "The task was skipped: its batches go on" in run.log(), "the trigger was not stopped")
    assert (run.calls("cancel_batch"), run.platform.status(second)) == (1, "in_progress")


def test_a_triggerer_that_lapsed_and_came_back_cancels_nothing_that_another_took_over(start: Any) -> None:
    """Airflow 3.3 kills the triggers that were taken over, as if a user had (apache/airflow#73454)."""
    run: Run = start()
    run.airflow.rename("triggerer", "lapsed triggerer")
    run.airflow.send("lapsed triggerer", signal.SIGSTOP)
    try:
        run.airflow.start("triggerer", "--skip-serve-logs")
        run.until_polled()
    finally:
        run.airflow.send("lapsed triggerer", signal.SIGCONT)
    wait_for(lambda: "The task is deferred now: its batches go on" in run.log(), "the trigger was not killed")
    run.airflow.kill("lapsed triggerer", signal.SIGTERM)
    assert run.calls("cancel_batch") == 0
    run.until_polled()
    run.finish()
