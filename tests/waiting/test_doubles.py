"""Doubles: when a wait looks for them, and which batches are some."""

import math
from typing import Any

import pytest

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.waiting.doubles import LOOKS_SECONDS, Double, find_doubles, in_words, next_look
from tests.support.samples import ACTIVE, TERMINAL, make_batch

CREATED = 1_757_000_000
FIRST, SECOND = (CREATED + seconds for seconds in LOOKS_SECONDS)
TASK = TaskIdentity("reviews", "manual__1", "label")


def made(
    batch_id: str, create: str | None, *, status: str = "in_progress", task: TaskIdentity = TASK, **tags: Any
) -> Batch:
    fields = {"job_key": "j", "shard": "1/2", "create": create, **tags}
    metadata = Tags.of_task(task, **fields).to_metadata({})
    counts = RequestCounts(10, 3)
    return make_batch(status, batch_id, created_at=CREATED, metadata=metadata, request_counts=counts)


OURS = made("ours", "1.2.abc")


def found(*listed: Batch, ours: Batch = OURS) -> list[str]:
    return [double.batch.id for double in find_doubles({ours.id: ours}, [ours, *listed])]


class TestWhenToLook:
    @pytest.mark.parametrize("create", ["1.1.abc", "1.2.abc", "2.1.abc", "2.3.abc", "odd", None])
    def test_every_batch_of_ours_is_looked_after_at_two_late_moments(self, create: str | None) -> None:
        batch = made("ours", create)
        assert next_look([batch], -math.inf) == FIRST
        assert next_look([batch], FIRST) == SECOND
        assert next_look([batch], SECOND) == math.inf

    def test_a_batch_of_somebody_else_or_of_unknown_age_is_never_looked_after(self) -> None:
        assert next_look([make_batch(created_at=CREATED)], -math.inf) == math.inf
        assert next_look([make_batch(metadata=OURS.metadata)], -math.inf) == math.inf

    def test_one_look_makes_up_for_both_that_were_missed(self) -> None:
        assert next_look([OURS], SECOND + 1) == math.inf


class TestWhichBatchesAreDoubles:
    @pytest.mark.parametrize("status", [*ACTIVE, "paused"])
    def test_a_batch_of_the_same_work_that_has_not_ended_is_one(self, status: str) -> None:
        assert found(made("double", "1.1.xyz", status=status)) == ["double"]

    @pytest.mark.parametrize("status", TERMINAL)
    def test_a_batch_that_has_ended_is_none(self, status: str) -> None:
        assert found(made("old", "1.1.xyz", status=status)) == []

    @pytest.mark.parametrize("tags", [{"job_key": "k"}, {"shard": "2/2"}, {"attempt": "a"}], ids=str)
    def test_a_batch_of_other_work_is_none(self, tags: dict[str, Any]) -> None:
        assert found(made("other", "1.1.xyz", **tags)) == []

    @pytest.mark.parametrize(
        ("ours", "listed", "is_double"),
        [
            ("1/2 rows 1-50 of 100", "1/2", True),
            ("1/2", "1/2 rows 1-50 of 100", True),
            ("1/2 rows 1-50 of 100", "1/2 rows 26-50 of 100", True),
            ("1/2 rows 1-50 of 100", "1/2 rows 51-100 of 100", False),
            ("1/2 rows 1-50 of 100", "2/2", False),
        ],
    )
    def test_a_batch_that_has_some_of_the_same_rows_is_one(self, ours: str, listed: str, is_double: bool) -> None:
        double = made("double", "1.1.xyz", shard=listed)
        assert found(double, ours=made("ours", "1.2.abc", shard=ours)) == (["double"] if is_double else [])
        assert found(made("double", "1.1.xyz", shard=listed, round="2"), ours=made("ours", "1.2.abc", shard=ours)) == []

    def test_batches_without_tags_are_none(self) -> None:
        assert found(make_batch(), make_batch(metadata={"kimi_shard": "1/2"})) == []

    def test_a_batch_that_is_waited_for_too_is_none(self) -> None:
        other = made("other", "1.1.xyz")
        assert find_doubles({"ours": OURS, "other": other}, [OURS, other]) == []

    @pytest.mark.parametrize(
        "task",
        [
            TaskIdentity("reviews", "manual__2", "label"),
            TaskIdentity("reviews", "manual__1", "label", 1),
            TaskIdentity("others", "manual__1", "label"),
        ],
        ids=["run", "index", "DAG"],
    )
    def test_a_double_of_another_task_instance_is_not_our_own(self, task: TaskIdentity) -> None:
        (double,) = find_doubles({"ours": OURS}, [made("double", "1.1.xyz", task=task)])
        assert double.is_own is False

    def test_a_double_of_a_mapped_task_is_not_our_own(self) -> None:
        """Its index may have moved to other rows, and a sibling may wait for it."""
        mapped = TaskIdentity("reviews", "manual__1", "label", 3)
        ours = made("ours", "1.2.abc", task=mapped)
        (double,) = find_doubles({"ours": ours}, [made("double", "1.1.xyz", task=mapped)])
        assert double.is_own is False


@pytest.mark.parametrize(
    ("double", "text"),
    [
        (
            Double(made("b2", "1.1.x"), "b1", True),
            "Batch b2 is in_progress, 3 of 10 rows completed: the same work as b1, made by an earlier create that was "
            "carried out late. Completed rows are billed, as are rows that are under way.",
        ),
        (
            Double(made("b2", "1.1.x", status="finalizing"), "b1", True),
            "Batch b2 is finalizing, 3 of 10 rows completed: the same work as b1, made by an earlier create that was "
            "carried out late. It can no longer be cancelled. Completed rows are billed, as are rows that are under "
            "way.",
        ),
        (
            Double(made("b2", "1.1.x"), "b1", False),
            "Batch b2 is in_progress, 3 of 10 rows completed: the same work as b1. It runs and is billed too. "
            "Cancel it if no other task waits for it.",
        ),
    ],
)
def test_the_log_says_what_a_double_costs(double: Double, text: str) -> None:
    assert in_words(double) == text
