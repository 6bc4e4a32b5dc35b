"""Which batches a task lands where a wait before it returned no ids, because somebody marked it success."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow_provider_kimi.api.ids import read_batch_ids, read_some_ids
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.compat import map_index_of
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.operators.create import KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor


@dataclass(frozen=True)
class _Created:
    """What a task before this one has created.

    :param waits: The waits between both that returned no ids.
    """

    task_id: str
    batch_ids: tuple[str, ...]
    waits: tuple[str, ...]


def read_landed_ids(value: object, task: Any, ti: Any, log: Log) -> list[str]:
    """Read the `batch_id` of a task that lands; ids that a wait did not return are those of its create.

    :param value: The rendered `batch_id`.
    :param task: The operator, which knows the tasks before it.
    :param ti: Its task instance, which reads what they returned.
    :raises KimiInputError: An id is missing, and it is not clear which.
    """
    there, missing = read_some_ids(value)
    given = read_batch_ids(there) if there else []
    before = _created_before(task, ti, is_missing=missing > 0)
    found = [created for created in before if not set(created.batch_ids) <= set(given)]
    if not missing:
        for created in found:
            log.warning(
                "Task %s has created batches that are not in batch_id, which a mapped wait that is marked success "
                "leaves out. To land them too, pass them: %s.",
                created.task_id,
                ", ".join(created.batch_ids),
            )
        return given
    if len(found) != missing:
        raise _unclear(value, found)
    for created in found:
        log.warning(
            "%s returned no batch ids: somebody has marked it success, or it does not push them. Landing the batches "
            "that task %s created: %s.",
            " and ".join(f"Task {wait}" for wait in created.waits) or "A task before this one",
            created.task_id,
            ", ".join(created.batch_ids),
        )
    return list(dict.fromkeys([*given, *(batch_id for created in found for batch_id in created.batch_ids)]))


def _unclear(value: object, found: list[_Created]) -> KimiInputError:
    said = f"batch_id is {value!r:.200}: a task before this one returned no ids, as a wait that is marked success does."
    now = "Nothing was landed, and nothing is lost: batches go on, or have ended and are billed as far as they ran."
    if not found:
        advice = (
            "No task before this one has created batches that are not given. Pass the ids that the log of the create "
            "names, as batch_id, then clear this task."
        )
    else:
        choices = "; ".join(f"{list(created.batch_ids)} (task {created.task_id})" for created in found)
        advice = f"Pass as batch_id those that you want to land, then clear this task: {choices}."
    return KimiInputError(f"{said} {now} {advice}")


def _created_before(task: Any, ti: Any, *, is_missing: bool) -> list[_Created]:
    """Read what the nearest creates before a task have made, on each way that does not pass a wait with all its ids.

    :param is_missing: Whether a wait has returned nothing. Otherwise only a mapped one may have returned too little,
        because Airflow leaves out the instances that returned nothing.
    """

    def may_lack(wait: Any) -> bool:
        return (_has_index(wait) and map_index_of(ti) < 0) or (is_missing and _returned(wait, ti) is None)

    found = []
    for create, waits in _ways_up(task, may_lack, (), set()):
        if is_missing or waits:
            with suppress(KimiInputError):  # it has not created anything
                found.append(_Created(create.task_id, tuple(read_batch_ids(_returned(create, ti))), waits))
    return found


def _ways_up(
    task: Any, may_lack: Callable[[Any], bool], waits: tuple[str, ...], seen: set[str]
) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield each create once, with the waits on the way to it."""
    before = sorted(task.upstream_list, key=lambda one: one.task_id) if task.has_dag() else []
    for one in (one for one in before if one.task_id not in seen):
        seen.add(one.task_id)
        kind = getattr(one, "operator_class", type(one))
        if _is_a(kind, KimiCreateBatchOperator):
            yield one, waits
        elif not _is_a(kind, KimiBatchSensor):
            yield from _ways_up(one, may_lack, waits, seen)
        elif may_lack(one):
            yield from _ways_up(one, may_lack, (*waits, one.task_id), seen)


def _is_a(kind: Any, wanted: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, wanted)


def _returned(task: Any, ti: Any) -> Any:
    """Read what a task returned: of a mapped one, the instance of this index, or all for a task without an index."""
    if not _has_index(task):
        return ti.xcom_pull(task_ids=task.task_id, map_indexes=-1)
    if map_index_of(ti) < 0:
        return ti.xcom_pull(task_ids=task.task_id)
    return ti.xcom_pull(task_ids=task.task_id, map_indexes=map_index_of(ti))


def _has_index(task: Any) -> bool:
    return hasattr(task, "expand_input") or task.get_closest_mapped_task_group() is not None
