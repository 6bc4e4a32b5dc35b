"""Which batches are orphans, and which action applies to them."""

import pytest

from airflow_provider_kimi.account.orphans import Owner, find_orphans, owner_of
from airflow_provider_kimi.api.models import Batch
from tests.support.samples import ACTIVE, TERMINAL, make_batch

TAGS = {"airflow_dag_id": "d", "airflow_run_id": "r", "airflow_task_id": "t", "kimi_job_key": "k"}


def is_orphan(batch: Batch, run_state: str | None) -> bool:
    return bool(find_orphans([batch], {Owner("d", "r"): run_state}))


@pytest.mark.parametrize("status", ACTIVE)
@pytest.mark.parametrize("run_state", ["failed", "success", None], ids=["failed run", "successful run", "unknown run"])
def test_a_batch_that_runs_although_its_run_has_ended_is_an_orphan(status: str, run_state: str | None) -> None:
    assert is_orphan(make_batch(status, metadata=TAGS), run_state)


@pytest.mark.parametrize("status", TERMINAL)
@pytest.mark.parametrize("run_state", ["failed", None], ids=["failed run", "unknown run"])
def test_a_batch_with_answers_of_a_run_that_did_not_succeed_is_an_orphan(status: str, run_state: str | None) -> None:
    assert is_orphan(make_batch(status, metadata=TAGS, output_file_id="file_o"), run_state)
    assert not is_orphan(make_batch(status, metadata=TAGS), run_state)


@pytest.mark.parametrize("status", [*ACTIVE, *TERMINAL])
@pytest.mark.parametrize("run_state", ["queued", "running"])
def test_a_batch_is_not_an_orphan_while_its_run_is_queued_or_running(status: str, run_state: str) -> None:
    assert not is_orphan(make_batch(status, metadata=TAGS, output_file_id="file_o"), run_state)


@pytest.mark.parametrize("metadata", [None, {}, {"kimi_job_key": "k"}, {**TAGS, "airflow_run_id": ""}], ids=str)
def test_a_batch_of_another_program_is_not_an_orphan(metadata: dict[str, str] | None) -> None:
    batch = make_batch(metadata=metadata)
    assert owner_of(batch) is None
    assert find_orphans([batch], {}) == []


def test_running_orphans_are_cancelled_and_ended_ones_are_harvested() -> None:
    running, ended = (
        find_orphans([make_batch(status, metadata=TAGS, output_file_id="o")], {Owner("d", "r"): "failed"})[0]
        for status in ("in_progress", "completed")
    )
    assert (running.takes("cancel", False), running.takes("harvest", False)) == (True, False)
    assert (ended.takes("cancel", False), ended.takes("harvest", False)) == (False, True)


def test_an_orphan_of_an_unknown_run_is_touched_only_on_request() -> None:
    (orphan,) = find_orphans([make_batch(metadata=TAGS)], {Owner("d", "r"): None})
    assert (orphan.takes("cancel", False), orphan.takes("cancel", True)) == (False, True)
    assert "is unknown here" in orphan.describe()
    assert "A clear of task" not in orphan.describe()
