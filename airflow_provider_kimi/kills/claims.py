"""Claims: who may cancel batches, by what Airflow says of the task that is killed and of others.

A failed mark cancels. A success mark and a skip keep, and so does everything else that ends an attempt. What another
live task instance may be waiting for is never cancelled.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

#: States of a task instance that does not go on by itself.
FINISHED_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Other(NamedTuple):
    """Another task instance of the run.

    :param name: For the log.
    :param state: None where it has none yet.
    :param batch_ids: Batches that it waits for or has returned, as far as is known.
    :param is_sibling: Whether it is another instance of the same mapped task.
    """

    name: str
    state: str | None
    batch_ids: Collection[str]
    is_sibling: bool = True


class Verdict(NamedTuple):
    """What a kill does.

    :param cancels: Batches to cancel.
    :param reason: Why the task is given up, for the log; empty where it is not.
    :param notes: What else to log.
    """

    cancels: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()


def may_use_batches(state: str | None, *, is_sibling: bool) -> bool:
    """Whether another task instance goes on, or is a sibling whose success others build upon."""
    return state not in FINISHED_STATES or (is_sibling and state == "success")


def why_given_up(state: str | None, run_state: str | None = None, states: Iterable[str | None] = ()) -> str:
    """Say why a killed task is given up, so that its batches are cancelled; empty where they are kept.

    Airflow skips the tasks of a run that has timed out (`dagrun_timeout`). Such a run has failed, and no task of it
    has: where a task failed, a skip may come from `fail_fast`, and keeps the batches.

    :param state: Of the task instance now; None where it is not known.
    :param run_state: Of its run.
    :param states: Of all task instances of the run.
    """
    if state == "failed":
        return "the task was marked failed"
    if state == "skipped" and run_state == "failed" and not {"failed", "upstream_failed"}.intersection(states):
        return "the run has timed out"
    return ""


def marks_in_words(*, cancels: bool) -> Sequence[str]:
    """Say, while a task waits, what becomes of its batches if somebody marks or clears it.

    In short lines: the page of a task instance cuts its log at about 90 letters, beside the buttons for marks.

    :param cancels: Whether a failed mark cancels: it is to, and there is somebody to notice it.
    """
    if not cancels:
        return ("Marks and clears of this task cancel nothing: its batches go on and are billed.",)
    return (
        "Mark failed cancels these batches, unless another task uses them. What is done is billed.",
        "Mark success and clear cancel nothing: the batches go on and are billed.",
    )


def kept(state: str | None, batch_ids: Sequence[str]) -> str:
    """Say that the batches of a killed task are kept, and what to do with them."""
    how = {"success": "was marked success", "skipped": "was skipped"}.get(state or "", f"is {state} now")
    if not batch_ids:
        return f"The task {how}: nothing is cancelled."
    return (
        f"The task {how}: its batches go on and are billed. A clear of the task goes on with them. "
        "KimiBatchResultsOperator lands them once they have ended, and KimiCancelBatchOperator cancels them: "
        f"{', '.join(batch_ids)}."
    )


def unclaimed(batch_ids: Sequence[str], others: Iterable[Other]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sort out what another task instance may use: return the batches that may be cancelled, and what to log."""
    users: Mapping[str, str] = {
        batch_id: f"{other.name}, which is {other.state or 'not scheduled yet'}"
        for other in others
        if may_use_batches(other.state, is_sibling=other.is_sibling)
        for batch_id in other.batch_ids
    }
    free = tuple(batch_id for batch_id in batch_ids if batch_id not in users)
    notes = tuple(
        f"Batch {batch_id} goes on and is billed: it may be used by {users[batch_id]}."
        for batch_id in batch_ids
        if batch_id in users
    )
    return free, notes
