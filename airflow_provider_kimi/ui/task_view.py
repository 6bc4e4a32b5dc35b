"""What the page shows of a task instance: its batches, how far they are, and the result that it has landed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_kimi.addresses import tab_path
from airflow_provider_kimi.api.ids import is_id, read_some_ids
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.ui.batch_view import shown, view_of
from airflow_provider_kimi.ui.detail_view import outcomes_of
from airflow_provider_kimi.ui.result_view import amount, manifest_of, numbers, result_of, whole

#: The operators and the sensor, by the names that Airflow stores. Subclasses are known by what they leave behind.
OPERATORS = frozenset(
    {
        *("KimiBatchOperator", "_KimiBatchDecoratedOperator", "KimiCreateBatchOperator", "KimiBatchSensor"),
        *("KimiBatchResultsOperator", "KimiCancelBatchOperator", "KimiDeleteFilesOperator"),
        "KimiOrphanBatchesOperator",
    }
)

#: XComs that may be manifests.
MANIFEST_KEYS = ("manifest", "return_value")

#: XComs that may name batches, in the order in which they are read.
_OF_IDS = (*MANIFEST_KEYS, "batch_ids", "batch_id", "kimi_waiting_for")

#: All that are read.
XCOM_KEYS = (*_OF_IDS, "progress", "_link_KimiConsoleLink")

#: Most batches that are shown of one task.
MOST_BATCHES = 1000

#: The status of a batch that is not among those of its connection that were read.
_UNKNOWN = "unknown"

#: States in which Airflow has a task that waits, or may go on waiting.
_WAITING = ("deferred", "running", "up_for_reschedule")


@dataclass(frozen=True)
class TaskRecord:
    """A task instance as Airflow's database has it. Its fields and XComs may have been edited.

    :param operator_name: What Airflow shows as the operator, such as `@task.kimi_batch`.
    :param fields: The rendered template fields; empty if the task has not run, or Airflow has dropped them.
    :param xcoms: Those of `XCOM_KEYS` that there are.
    """

    operator: str | None
    state: str | None
    try_number: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    xcoms: Mapping[str, Any] = field(default_factory=dict)
    operator_name: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is a task of this provider."""
        return self.operator in OPERATORS or "kimi_conn_id" in self.fields or "_link_KimiConsoleLink" in self.xcoms

    @property
    def conn_id(self) -> str | None:
        """The connection that it uses; None where that is not known yet, or not any more."""
        given = self.fields.get("kimi_conn_id")
        return given if isinstance(given, str) else None

    @property
    def batch_ids(self) -> list[str]:
        """The batches that the present try has named, each once."""
        named = [_ids_in(self.xcoms.get(key)) for key in _OF_IDS] + [_ids_in(self.fields.get("batch_id"))]
        return list(dict.fromkeys(batch_id for ids in named for batch_id in ids))[:MOST_BATCHES]


def read_map_index(text: str) -> int | None:
    """Read a map index as Airflow puts it into an address: `{MAP_INDEX}` for a task that is not mapped.

    None for what is no map index.
    """
    if text in ("", "-1", "{MAP_INDEX}"):
        return -1
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def batches_of(task: TaskIdentity, record: TaskRecord, listed: Mapping[str, Batch]) -> list[Batch]:
    """Find the batches of a task instance, by round and shard; what is not listed is `unknown`.

    Until a try has named any, they are those that the task instance has tagged.

    :param listed: The batches of its connection, by id.
    """
    ids = record.batch_ids or [batch.id for batch in listed.values() if Tags.of(batch).is_of(task)]
    batches = [listed.get(batch_id) or Batch(id=batch_id, status=_UNKNOWN) for batch_id in ids]
    return sorted(batches, key=_place)


def outcomes_of_task(record: TaskRecord, batches: Iterable[Batch]) -> dict[str, list[str]]:
    """Say in words of the page what a clear and, while the task waits, a mark as failed do to its batches."""
    acts = ("clear", "mark_failed") if record.state in _WAITING else ("clear",)
    outcomes = [outcomes_of(batch) for batch in batches if batch.status != _UNKNOWN]
    return {act: list(dict.fromkeys(each[act] for each in outcomes)) for act in acts}


def task_view(task: TaskIdentity, record: TaskRecord) -> dict[str, Any]:
    """Show a task instance as plain JSON, without its batches."""
    returned = manifest_of(record.xcoms.get("return_value"))
    manifest = returned or manifest_of(record.xcoms.get("manifest"))
    return {
        "dag_id": shown(task.dag_id),
        "run_id": shown(task.run_id),
        "task_id": shown(task.task_id),
        "map_index": None if task.map_index < 0 else task.map_index,
        "operator": shown(record.operator_name or record.operator),
        "state": shown(record.state),
        "try_number": whole(record.try_number),
        "is_ours": record.is_ours,
        "is_waiting": record.state in _WAITING,
        "progress": progress_in(record.xcoms.get("progress")),
        "result": None
        if manifest is None
        else result_of(manifest, record.conn_id) | {"is_whole": returned is not None},
    }


def result_with(landings: Iterable[tuple[TaskIdentity, object]], batch_id: str, conn_id: str) -> dict[str, Any] | None:
    """Show the newest result that a batch is part of, and the task that has landed it; None if there is none.

    :param landings: Tasks and values of their XComs, the newest first.
    """
    for task, value in landings:
        manifest = manifest_of(value)
        if manifest is not None and batch_id in manifest.batch_ids:
            whose = {"landed_by": shown(task.task_id), "path": tab_path(task)}
            return result_of(manifest, conn_id) | {"is_whole": True} | whose
    return None


def views_of_task(batches: Iterable[Batch], listed: Iterable[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """Show the batches of a task as the list shows them.

    :param listed: What the list shows.
    :param now: Unix seconds on the platform's clock.
    """
    by_id = {view["id"]: dict(view) for view in listed}
    return [by_id.get(shown(batch.id)) or view_of(batch, now) for batch in batches]


def progress_in(value: object) -> dict[str, Any] | None:
    """Show the XCom `progress`; None if there is none that can be read."""
    if not isinstance(value, dict):
        return None
    try:
        progress = Progress.from_dict(value)
    except msgspec.ValidationError:
        return None
    return {
        "statuses": numbers(progress.statuses),
        "total": whole(progress.total),
        "done": whole(progress.completed),
        "failed": whole(progress.failed),
        "remaining": whole(progress.total - progress.completed - progress.failed),
        "rows_per_minute": amount(progress.rows_per_minute),
        "expected_end": _iso(progress.expected_end),
        "to_come": whole(progress.to_come),
        "polled_at": _iso(progress.polled_at),
    }


def _place(batch: Batch) -> tuple[int, int, int]:
    tags = Tags.of(batch)
    try:
        return tags.round_number, tags.shard_number or 0, tags.part.start if tags.part else 0
    except ValueError:  # a number of thousands of digits
        return 0, 0, 0


def _ids_in(value: object) -> list[str]:
    """Read ids of batches in an XCom or a rendered field: a manifest, an id, or a list of ids, also as text."""
    if (manifest := manifest_of(value)) is not None:
        return [batch_id for batch_id in manifest.batch_ids if is_id(batch_id)]
    if not isinstance(value, (str, list, tuple)):
        return []
    try:
        ids, _ = read_some_ids(value)
    except RecursionError:
        return []
    return [batch_id for batch_id in ids if is_id(batch_id)]


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
