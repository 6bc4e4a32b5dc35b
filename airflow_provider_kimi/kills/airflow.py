"""What Airflow says when it kills a task: whether the task is given up, and who else uses its batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from airflow_provider_kimi.compat import map_index_of, read_xcom, run_state, states_in_run, task_state
from airflow_provider_kimi.kills.claims import (
    Other,
    Verdict,
    kept,
    may_use_batches,
    unclaimed,
    why_given_up,
)

#: XCom key under which a waiting task notes its try, so that a trigger of an earlier one knows.
WAITING_TRY_KEY = "kimi_waiting_try"

#: XCom key under which a waiting task notes the batches that it waits for, so that others cancel none of them.
WAITING_FOR_KEY = "kimi_waiting_for"

#: XCom key under which Airflow keeps what a task has returned.
RETURNED_KEY = "return_value"


#: State of each task instance of a run, by task id and map index.
States = Mapping[tuple[str, int], str | None]

#: How long the states of a run are good for further kills of it: a thousand triggers may be killed at a time.
STATES_SECONDS = 2.0


class SharedStates:
    """Reads the states of a run once for all its tasks that are killed at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = ("", "")
        self._read_at = -STATES_SECONDS
        self._states: States = {}

    def read(self, ti: Any) -> States:
        """Read the states of the run of a task instance. Blocks."""
        with self._lock:
            if self._run != (ti.dag_id, ti.run_id) or time.monotonic() > self._read_at + STATES_SECONDS:
                self._states = states_in_run(ti)
                self._run, self._read_at = (ti.dag_id, ti.run_id), time.monotonic()
            return self._states


def judge_wait(
    ti: Any,
    batch_ids: Sequence[str],
    try_number: int | None,
    makers: Collection[str] = (),
    read_states: Callable[[Any], States] = states_in_run,
) -> Verdict:
    """Decide what the kill of a waiting task does. Blocks.

    :param try_number: The try that waits.
    :param makers: Ids of the tasks that made the batches, as far as is known: a mapped sibling that has not begun to
        wait may wait for what their instance of its index has returned.
    :param read_states: Reads the states of the run.
    """
    state, reason = _reason(ti)
    if not reason:
        return Verdict(notes=(kept(state, batch_ids),))
    if try_number != read_xcom(ti, WAITING_TRY_KEY):
        return Verdict(notes=(f"A later try of the task waits now: its batches go on ({', '.join(batch_ids)}).",))
    return _spared(ti, batch_ids, reason, partial(_waited_for, ti, makers), read_states)


def judge_create(ti: Any, batch_ids: Sequence[str], made: Collection[str]) -> Verdict:
    """Decide what the kill of a task that creates does with some of its batches. Blocks.

    A mapped sibling that has returned nothing yet may attach to any of them but those that this attempt has `made`.
    Those no other task can know yet, unless a sibling has attached to them and returned them, so little is read.
    """
    state, reason = _reason(ti)
    if not reason:
        return Verdict(notes=(kept(state, batch_ids),))
    older = set(batch_ids).difference(made)
    return _spared(
        ti,
        batch_ids,
        reason,
        lambda index: _ids(read_xcom(ti, RETURNED_KEY, ti.task_id, index)) or older,
        states_in_run if older else _states_of_returned,
    )


def _states_of_returned(ti: Any) -> States:
    """Read which instances of the same task have returned."""
    return {
        (task_id, index): state
        for (task_id, index), state in states_in_run(ti).items()
        if task_id == ti.task_id and state == "success"
    }


def _reason(ti: Any) -> tuple[str | None, str]:
    """Read the state of the task, and whether it is given up by that."""
    state = task_state(ti)
    if state != "skipped":
        return state, why_given_up(state)
    return state, why_given_up(state, run_state(ti.dag_id, ti.run_id), states_in_run(ti).values())


def _spared(
    ti: Any,
    batch_ids: Sequence[str],
    reason: str,
    ids_of_sibling: Callable[[int], set[str]],
    read_states: Callable[[Any], States] = states_in_run,
) -> Verdict:
    """Leave out what others may use; everything, where that cannot be read."""
    if not batch_ids:
        return Verdict(reason=reason)
    try:
        others = list(_others(ti, read_states(ti), ids_of_sibling))
    except Exception as error:  # whatever Airflow raises
        return Verdict((), reason, (_unread(batch_ids, error),))
    cancels, notes = unclaimed(batch_ids, others)
    return Verdict(cancels, reason, notes)


def _others(ti: Any, states: States, ids_of_sibling: Callable[[int], set[str]]) -> Iterator[Other]:
    """Read which batches the other task instances of the run use, of those that may use any."""
    own = (ti.task_id, map_index_of(ti))
    for (task_id, index), state in states.items():
        is_sibling = task_id == ti.task_id and min(index, own[1]) >= 0
        if (task_id, index) != own and may_use_batches(state, is_sibling=is_sibling):
            noted = ids_of_sibling(index) if is_sibling else _ids(read_xcom(ti, WAITING_FOR_KEY, task_id, index))
            yield Other(task_id if index < 0 else f"{task_id}[{index}]", state, noted, is_sibling)


def _waited_for(ti: Any, makers: Collection[str], index: int) -> set[str]:
    """Read what a mapped sibling waits for, or will wait for."""
    if noted := _ids(read_xcom(ti, WAITING_FOR_KEY, ti.task_id, index)):
        return noted
    return {batch_id for maker in makers for batch_id in _ids(read_xcom(ti, RETURNED_KEY, maker, index))}


def _ids(noted: object) -> set[str]:
    """Batch ids of an XCom; none of a value that is of something else."""
    values: Iterable[object] = [noted] if isinstance(noted, str) else noted if isinstance(noted, list) else []
    return {value for value in values if isinstance(value, str)}


def _unread(batch_ids: Sequence[str], error: Exception) -> str:
    return (
        f"Whether another task instance uses the batches could not be read ({type(error).__name__}). They go on and "
        "are billed. KimiOrphanBatchesOperator finds them, and KimiCancelBatchOperator cancels them: "
        f"{', '.join(batch_ids)}."
    )
