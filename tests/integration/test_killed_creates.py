"""A task that is killed while it creates: it starts nothing more, and no batch of it lives on unknown."""

from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiStoppedError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.killed import killed_once
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord

SLOW = Timing(1, 100_000, 1)


def create(**parameters: Any) -> KimiCreateBatchOperator:
    rows = ["a", "b", "c", "d", "e", "f"]
    return KimiCreateBatchOperator(task_id="create", input=rows, max_rows_per_batch=1, **parameters)


def run_killed(sim: KimiSimulator, task: KimiCreateBatchOperator, after: int, state: str, **ti: Any) -> None:
    """Run six creates of a second each, and kill the task while one of them is under way."""
    sim.inject("create_batch", hang_seconds=0.5, accepted=True, times=None)

    def is_under_way() -> bool:
        return [call.name for call in sim.journal].count("create_batch") > after

    context: Any = {"ti": TaskInstanceRecord(task_id="create", **ti)}
    task.render_template_fields(context)
    with (
        supervised(Supervisor({"create": state})),
        killed_once(task, is_under_way),
        pytest.raises(KimiStoppedError, match="Nothing more was uploaded or created"),
    ):
        task.execute(context)


@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_create_that_is_marked_failed_creates_nothing_more_and_leaves_no_batch_alive(
    connect: Connect, after: int
) -> None:
    with KimiSimulator(timing=SLOW) as sim:
        connect(sim)
        run_killed(sim, create(), after, "failed")
        assert len(sim.batches) == after + 1, "the one that was under way is the last"
        assert {sim.status(batch_id) for batch_id in sim.batches} <= {"cancelling", "cancelled"}


@pytest.mark.parametrize("state", ["running", "success", "restarting"])
def test_a_create_that_is_killed_for_another_reason_creates_nothing_more_and_keeps_what_there_is(
    connect: Connect, state: str
) -> None:
    """Its worker ends, somebody clears it or marks it success: the next attempt attaches."""
    with KimiSimulator(timing=SLOW) as sim:
        connect(sim)
        run_killed(sim, create(), 1, state)
        assert len(sim.batches) == 2
        assert "cancel_batch" not in [call.name for call in sim.journal]


def test_a_create_that_is_killed_with_cancel_on_kill_off_creates_nothing_more_and_cancels_nothing(
    connect: Connect,
) -> None:
    with KimiSimulator(timing=SLOW) as sim:
        connect(sim)
        run_killed(sim, create(cancel_on_kill=False), 1, "failed")
        assert len(sim.batches) == 2
        assert "cancel_batch" not in [call.name for call in sim.journal]


def test_a_second_attempt_that_is_marked_failed_cancels_what_the_first_has_made(connect: Connect) -> None:
    with KimiSimulator(timing=SLOW) as sim:
        connect(sim)
        run_killed(sim, create(), 1, "running")
        first = list(sim.batches)
        run_killed(sim, create(), 2, "failed")
        assert set(first) < set(sim.batches)
        assert {sim.status(batch_id) for batch_id in sim.batches} <= {"cancelling", "cancelled"}


def test_a_kill_that_comes_before_the_task_has_begun_is_not_lost(sim: KimiSimulator, hook: KimiHook) -> None:
    task = create()
    task.on_kill()
    context: Any = {"ti": TaskInstanceRecord(task_id="create")}
    task.render_template_fields(context)
    with supervised(Supervisor({"create": "failed"})), pytest.raises(KimiStoppedError):
        task.execute(context)
    assert sim.batches == {}
