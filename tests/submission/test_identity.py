"""Every attempt recognizes the same work."""

import re
from dataclasses import replace

import pytest

from airflow_provider_kimi.records.tags import TaskIdentity, digest_of
from airflow_provider_kimi.submission.identity import job_key

TASK = TaskIdentity("labels", "scheduled__2026-09-01T00:00:00+00:00", "ask", 3)
FINGERPRINT = digest_of("input")


def test_every_attempt_of_a_task_instance_has_the_same_job_key() -> None:
    assert job_key(TASK, FINGERPRINT) == job_key(TaskIdentity(TASK.dag_id, TASK.run_id, "ask", 3), FINGERPRINT)
    assert re.fullmatch(r"[0-9a-f]{32}", job_key(TASK, FINGERPRINT))


def test_a_mapped_instance_keeps_its_job_key_when_its_index_moves() -> None:
    """The input identifies the work of a mapped instance, not the map index."""
    moved = TaskIdentity(TASK.dag_id, TASK.run_id, TASK.task_id, 0)
    assert job_key(moved, FINGERPRINT) == job_key(TASK, FINGERPRINT)


@pytest.mark.parametrize(
    ("task", "fingerprint"),
    [
        pytest.param(TaskIdentity("other", TASK.run_id, TASK.task_id, 3), FINGERPRINT, id="another DAG"),
        pytest.param(TaskIdentity(TASK.dag_id, "other", TASK.task_id, 3), FINGERPRINT, id="another run"),
        pytest.param(TaskIdentity(TASK.dag_id, TASK.run_id, "other", 3), FINGERPRINT, id="another task"),
        pytest.param(TASK, digest_of("other"), id="another input"),
        pytest.param(replace(TASK, iteration=0), FINGERPRINT, id="an iteration of a loop"),
    ],
)
def test_other_work_has_another_job_key(task: TaskIdentity, fingerprint: str) -> None:
    assert job_key(task, fingerprint) != job_key(TASK, FINGERPRINT)


def test_each_iteration_of_a_loop_has_work_of_its_own_even_of_an_equal_input() -> None:
    keys = {job_key(replace(TASK, iteration=iteration), FINGERPRINT) for iteration in (None, 0, 1, 2)}
    assert len(keys) == 4
