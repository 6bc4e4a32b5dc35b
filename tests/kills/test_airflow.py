"""What Airflow is asked when it kills a task, and what is decided by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("airflow.sdk.execution_time", reason="Airflow 2 answers from its database")

from airflow.sdk.execution_time import comms

from airflow_provider_kimi.kills.airflow import (
    WAITING_FOR_KEY,
    WAITING_TRY_KEY,
    SharedStates,
    judge_create,
    judge_wait,
)
from airflow_provider_kimi.kills.claims import Verdict
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord

FAILED = "the task was marked failed"


def instance(task_id: str = "wait", map_index: int = -1) -> TaskInstanceRecord:
    return TaskInstanceRecord(task_id=task_id, map_index=map_index)


def judged(
    states: Mapping[str, str | None], noted: Mapping[tuple[str, int], Any], *batch_ids: str, index: int = 0, **more: Any
) -> Verdict:
    """Judge the kill of `wait`, which has noted its try; `noted` is what others have."""
    xcoms = {(task_id, number, WAITING_FOR_KEY): ids for (task_id, number), ids in noted.items()}
    supervisor = Supervisor(states, xcoms | {("wait", index, WAITING_TRY_KEY): 1} | more.pop("xcoms", {}), **more)
    with supervised(supervisor):
        return judge_wait(instance(map_index=index), batch_ids, 1, {"create"})


def test_a_wait_that_was_marked_failed_cancels_what_nobody_else_waits_for() -> None:
    states = {"wait_0": "failed", "wait_1": "deferred", "create_0": "success"}
    assert judged(states, {("wait", 1): ["b"]}, "a") == Verdict(("a",), FAILED)


def test_a_wait_that_was_marked_failed_keeps_what_its_sibling_waits_for() -> None:
    """Mapped siblings with equal input share a batch."""
    verdict = judged({"wait_0": "failed", "wait_1": "deferred"}, {("wait", 1): ["a"]}, "a")
    assert verdict.cancels == ()
    assert verdict.notes == ("Batch a goes on and is billed: it may be used by wait[1], which is deferred.",)


def test_a_wait_keeps_what_its_sibling_has_waited_for_and_was_marked_success() -> None:
    assert judged({"wait_0": "failed", "wait_1": "success"}, {("wait", 1): ["a"]}, "a").cancels == ()


def test_a_wait_cancels_what_its_sibling_waited_for_that_was_marked_failed_too() -> None:
    assert judged({"wait_0": "failed", "wait_1": "failed"}, {("wait", 1): ["a"]}, "a").cancels == ("a",)


def test_a_wait_keeps_what_another_task_waits_for() -> None:
    """One batch, two sensors."""
    states = {"wait": "failed", "watch": "up_for_reschedule", "create": "success"}
    verdict = judged(states, {("watch", -1): ["a", "b"]}, "a", "c", index=-1)
    assert verdict.cancels == ("c",)
    assert "it may be used by watch, which is up_for_reschedule" in verdict.notes[0]


def test_a_wait_keeps_what_a_sibling_that_has_not_begun_will_wait_for() -> None:
    """Its own note is missing; what the task that made the batch has returned to it is there."""
    returned = {("create", 1, "return_value"): ["a"], ("create", 2, "return_value"): ["b"]}
    states = {"wait_0": "failed", "wait_1": "queued", "wait_2": None}
    assert judged(states, {}, "a", "c", xcoms=returned).cancels == ("c",)


def test_a_wait_keeps_everything_where_others_cannot_be_read() -> None:
    supervisor = Supervisor({"wait_0": "failed", "wait_1": "deferred"}, {("wait", 0, WAITING_TRY_KEY): 1})

    class Broken(Supervisor):
        def send(self, msg: Any) -> Any:
            if getattr(msg, "map_index", None) == 1:
                raise ConnectionError("the API server is away")
            return super().send(msg)

    with supervised(Broken(supervisor.states, supervisor.xcoms)):
        verdict = judge_wait(instance(map_index=0), ["a"], 1)
    assert (verdict.cancels, verdict.reason) == ((), FAILED)
    assert "could not be read (ConnectionError). They go on and are billed." in verdict.notes[0]


@pytest.mark.parametrize("state", ["success", "skipped", "deferred", "scheduled"])
def test_a_wait_that_ends_otherwise_keeps_its_batches(state: str) -> None:
    verdict = judged({"wait": state, "other": "failed"}, {}, "a", index=-1)
    assert verdict.cancels == ()
    assert "its batches go on and are billed" in verdict.notes[0]


def test_a_run_that_has_timed_out_cancels() -> None:
    states = {"create": "success", "wait": "skipped", "results": "skipped"}
    verdict = judged(states, {}, "a", index=-1, run_state="failed")
    assert verdict == Verdict(("a",), "the run has timed out")


def test_a_skip_by_fail_fast_keeps_though_the_run_has_failed_meanwhile() -> None:
    states = {"wait_0": "failed", "wait_1": "skipped"}
    assert judged(states, {}, "a", index=1, run_state="failed").cancels == ()


def test_a_trigger_of_an_earlier_try_cancels_nothing() -> None:
    with supervised(Supervisor({"wait": "failed"}, {("wait", -1, WAITING_TRY_KEY): 2})):
        verdict = judge_wait(instance(), ["a"], 1)
    assert verdict.cancels == ()
    assert "A later try of the task waits now" in verdict.notes[0]


# Create


def created(states: Mapping[str, str | None], returned: dict[int, Any], made: tuple[str, ...], *found: str) -> Verdict:
    xcoms = {("create", index, "return_value"): ids for index, ids in returned.items()}
    with supervised(Supervisor(states, xcoms)):
        return judge_create(instance("create", 0), [*made, *found], made)


def test_a_create_that_was_marked_failed_cancels_what_it_made() -> None:
    with supervised(Supervisor({"create": "failed"})):
        assert judge_create(instance("create"), ["a", "b"], ["a"]) == Verdict(("a", "b"), FAILED)


def test_a_create_that_was_marked_success_keeps_what_it_made_and_says_so() -> None:
    with supervised(Supervisor({"create": "success"})):
        verdict = judge_create(instance("create"), ["a"], ["a"])
    assert (verdict.cancels, verdict.reason) == ((), "")
    assert verdict.notes[0].startswith("The task was marked success: its batches go on and are billed.")


def test_a_create_keeps_what_a_sibling_has_attached_to_and_returned() -> None:
    """The indices of a mapped task have moved: this instance made what is another one's work now."""
    verdict = created({"create_0": "failed", "create_1": "success"}, {1: ["b"]}, ("a",), "b")
    assert verdict.cancels == ("a",)


def test_a_create_keeps_older_work_while_a_sibling_may_still_attach_to_it() -> None:
    verdict = created({"create_0": "failed", "create_1": "running"}, {}, ("a",), "b")
    assert verdict.cancels == ("a",)
    assert "it may be used by create[1], which is running" in verdict.notes[0]


def test_a_create_cancels_older_work_that_no_sibling_can_attach_to_any_more() -> None:
    verdict = created({"create_0": "failed", "create_1": "failed", "create_2": "success"}, {2: ["c"]}, ("a",), "b")
    assert verdict.cancels == ("a", "b")


def test_a_create_that_was_cleared_alone_keeps_what_the_wait_still_waits_for() -> None:
    states = {"create": "failed", "wait": "deferred"}
    with supervised(Supervisor(states, {("wait", -1, WAITING_FOR_KEY): ["a"]})):
        assert judge_create(instance("create"), ["a", "b"], []).cancels == ("b",)


# Many at a time


def test_the_states_of_a_run_are_read_once_for_all_its_tasks_that_are_killed_at_a_time() -> None:
    states = SharedStates()
    with supervised(Counting({"wait_0": "failed", "wait_1": "failed"})) as supervisor:
        assert states.read(instance(map_index=0)) == states.read(instance(map_index=1))
        assert len(supervisor.asked) == 1
        other = TaskInstanceRecord(task_id="wait", run_id="another")
        states.read(other)
        assert len(supervisor.asked) == 2


def test_a_create_reads_no_xcom_of_the_tasks_behind_it_before_it_cancels_what_it_made() -> None:
    """A worker has 5 seconds, and nobody can wait for what was not returned yet."""
    states = {"create": "failed"} | {f"label_{number}": None for number in range(300)}
    with supervised(Counting(states)) as supervisor:
        assert judge_create(instance("create"), ["a"], ["a"]).cancels == ("a",)
    assert supervisor.read == []


def test_a_create_reads_only_what_siblings_have_returned_before_it_cancels_what_it_made() -> None:
    states = {"create_0": "failed", "create_1": "success", "create_2": "running", "create_3": None, "wait_1": "running"}
    with supervised(Counting(states, {("create", 1, "return_value"): ["b"]})) as supervisor:
        assert judge_create(instance("create", 0), ["a", "b"], ["a", "b"]).cancels == ("a",)
    assert supervisor.read == [("create", 1)]


def test_a_mapped_wait_reads_each_sibling_once() -> None:
    """Airflow 3 names a mapped instance as it would name a task of its own."""
    states = {"wait_0": "failed"} | {f"wait_{number}": "deferred" for number in range(1, 500)}
    xcoms = {("wait", 0, WAITING_TRY_KEY): 1, **{("wait", number, WAITING_FOR_KEY): ["b"] for number in range(1, 500)}}
    with supervised(Counting(states, xcoms)) as supervisor:
        assert judge_wait(instance(map_index=0), ["a"], 1).cancels == ("a",)
    assert len(supervisor.read) == 1 + 499


def test_a_wait_asks_tasks_that_are_named_like_its_mapped_instances() -> None:
    states = {"wait": "failed", "wait_1": "deferred", "watch_1": "deferred"}
    xcoms = {("wait", -1, WAITING_TRY_KEY): 1, ("wait_1", -1, WAITING_FOR_KEY): ["a"]}
    with supervised(Counting(states, xcoms | {("watch_1", -1, WAITING_FOR_KEY): ["b"]})) as supervisor:
        assert judge_wait(instance(), ["a", "b", "c"], 1).cancels == ("c",)
    assert ("wait", 1) not in supervisor.read


@dataclass
class Counting(Supervisor):
    """Keeps what it is asked."""

    asked: list[Any] = field(default_factory=list)

    @property
    def read(self) -> list[tuple[str, int | None]]:
        """Of which task instances XComs were read."""
        return [(msg.task_id, msg.map_index) for msg in self.asked if isinstance(msg, comms.GetXCom)]

    def send(self, msg: Any) -> Any:
        self.asked.append(msg)
        return super().send(msg)
