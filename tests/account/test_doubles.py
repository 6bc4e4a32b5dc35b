"""Batches whose work another one does too are found, whatever became of their run, and only idle ones are touched."""

import pytest

from airflow_provider_kimi.account.orphans import Orphan, Owner, find_doubles, find_orphans
from airflow_provider_kimi.api.models import Batch, RequestCounts
from tests.support.samples import ACTIVE, UNKNOWN, make_batch

TAGS = {
    "airflow_dag_id": "d",
    "airflow_run_id": "r",
    "airflow_task_id": "t",
    "airflow_map_index": "-1",
    "kimi_job_key": "k",
    "kimi_shard": "1/2",
}


def batch(batch_id: str, created_at: int | None, status: str = "completed", **tags: str) -> Batch:
    counts = RequestCounts(10, 10, 0)
    return make_batch(
        status, batch_id, created_at=created_at, request_counts=counts, output_file_id="o", metadata={**TAGS, **tags}
    )


def listed(batches: list[Batch], run_state: str | None) -> dict[str, Orphan]:
    return {orphan.batch_id: orphan for orphan in find_orphans(batches, {Owner("d", "r"): run_state})}


def test_a_completed_double_of_a_successful_run_is_listed_with_the_batch_that_it_doubles() -> None:
    """A create that was carried out late, after the task had made another one: paid twice, and all is green."""
    found = listed([batch("late", 900), batch("first", 100)], "success")
    assert {name: orphan.double_of for name, orphan in found.items()} == {"late": "first"}
    assert found["late"].describe() == (
        "Batch late is completed, 10 of 10 rows completed. It is a double of first: the same rows, paid twice. "
        "Its run r of d is success."
    )
    assert not found["late"].takes("harvest", False), "the run has landed the same rows"
    assert not found["late"].takes("cancel", False)


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", *UNKNOWN])
@pytest.mark.parametrize("run_state", ["queued", "running"])
def test_a_running_double_of_a_living_run_is_listed_and_left_alone(status: str, run_state: str) -> None:
    """The run may wait for either of them, and so may a mapped sibling with the same input."""
    sibling = batch("sibling", 101, status, airflow_map_index="1")
    found = listed([batch("first", 100, status), batch("own", 102, status), sibling], run_state)
    assert {name: orphan.double_of for name, orphan in found.items()} == {"own": "first", "sibling": "first"}
    assert not any(orphan.takes(action, True) for orphan in found.values() for action in ("cancel", "harvest"))


@pytest.mark.parametrize("run_state", ["success", "failed"])
def test_a_double_that_runs_although_its_run_has_ended_is_cancelled(run_state: str) -> None:
    found = listed([batch("first", 100), batch("late", 900, "in_progress")], run_state)
    assert found["late"].double_of == "first"
    assert found["late"].takes("cancel", False)


def test_a_double_of_an_unknown_run_is_touched_only_on_request() -> None:
    found = listed([batch("first", 100), batch("late", 900, "in_progress")], None)
    assert (found["late"].takes("cancel", False), found["late"].takes("cancel", True)) == (False, True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"kimi_shard": "2/2"}, id="another shard"),
        pytest.param({"kimi_job_key": "other"}, id="another job"),
        pytest.param({"kimi_attempt": "m"}, id="an attempt that paid afresh on purpose"),
    ],
)
def test_work_of_its_own_is_not_a_double(other: dict[str, str]) -> None:
    assert find_doubles([batch("first", 100), batch("second", 200, **other)]) == {}


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled", "cancelling"])
def test_a_batch_whose_rows_are_asked_again_is_not_a_double(status: str) -> None:
    for lost, done in ((100, 200), (200, 100)):
        assert find_doubles([batch("lost", lost, status), batch("done", done)]) == {}


@pytest.mark.parametrize("status", ACTIVE[:3])
def test_of_several_batches_of_one_shard_all_but_the_oldest_are_doubles_of_it(status: str) -> None:
    """Two creates of one second differ by their ids; an unknown time counts as the oldest."""
    batches = [batch("c", 100, status), batch("b", 100), batch("a", 101)]
    assert find_doubles(batches) == {"c": "b", "a": "b"}
    assert find_doubles([*batches, batch("z", None)]) == {"a": "z", "b": "z", "c": "z"}


def test_batches_of_another_program_are_not_doubles() -> None:
    assert find_doubles([make_batch("completed", "a"), make_batch("completed", "b", metadata={"x": "y"})]) == {}


def test_a_shard_and_a_part_of_it_are_doubles_of_which_the_older_one_counts() -> None:
    first, second = {"kimi_shard": "1/2 rows 1-5 of 10"}, {"kimi_shard": "1/2 rows 6-10 of 10"}
    parts = [batch("first half", 100, **first), batch("again", 101, **first), batch("second half", 100, **second)]
    assert find_doubles(parts) == {"again": "first half"}
    assert find_doubles([*parts, batch("late", 900)]) == {"again": "first half", "late": "first half"}
    doubles = find_doubles([*parts, batch("whole", 99)])
    assert doubles == {"first half": "whole", "again": "whole", "second half": "whole"}
    assert find_doubles([batch("whole", 900, kimi_attempt="x"), parts[0]]) == {}, "it was paid for on purpose"
