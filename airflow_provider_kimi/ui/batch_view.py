"""What the page shows of one batch, and in which order. Nothing in a batch is trusted: anybody may have created it."""

from collections.abc import Iterable
from typing import Any

from airflow_provider_kimi import addresses
from airflow_provider_kimi.api.limits import MAX_METADATA_VALUE_CHARS
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import Tags, TaskIdentity, shortened
from airflow_provider_kimi.waiting.pace import rows_left
from airflow_provider_kimi.waiting.progress import progress_of

#: Longest text of a cell; no tag of ours is longer.
LONGEST_TEXT = MAX_METADATA_VALUE_CHARS


def views_of(batches: Iterable[Batch], now: float) -> list[dict[str, Any]]:
    """Show batches, the newest first; those without a time are last."""
    newest_first = sorted(batches, key=lambda batch: batch.created_at or 0, reverse=True)
    return [view_of(batch, now) for batch in newest_first]


def view_of(batch: Batch, now: float) -> dict[str, Any]:
    """Show one batch as plain JSON, with the numbers of the log and of the XCom `progress`.

    :param now: Unix seconds on the platform's clock.
    """
    tags = Tags.of(batch)
    progress = progress_of([batch], now)
    end = progress.expected_end
    return {
        "id": shown(batch.id),
        "status": shown(batch.status),
        "done": progress.completed,
        "failed": progress.failed,
        "remaining": rows_left(batch),
        "total": progress.total,
        "rows_per_minute": progress.rows_per_minute,
        "expected_end": None if end is None else end.isoformat(),
        "age_seconds": None if batch.created_at is None else max(0, round(now - batch.created_at)),
        "has_ended": batch.is_terminal,
        "model": shown(tags.model),
        "dag_id": shown(tags.dag_id),
        "run_id": shown(tags.run_id),
        "task_id": shown(tags.task_id),
        "map_index": _map_index(tags),
        "task_path": task_path(tags),
    }


def task_path(tags: Tags) -> str | None:
    """The page of the task instance, below the root of the Airflow UI; None if the tags do not name it in full."""
    parts = [tags.dag_id, tags.run_id, tags.task_id]
    named = [part for part in parts if part and part not in (".", "..") and len(part) < LONGEST_TEXT]
    if not tags.is_ours or len(named) < len(parts):
        return None
    index = _map_index(tags)
    dag_id, run_id, task_id = named
    return addresses.task_path(TaskIdentity(dag_id, run_id, task_id, -1 if index is None else index))


def _map_index(tags: Tags) -> int | None:
    text = tags.map_index or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def shown(text: str | None, most: int = LONGEST_TEXT) -> str | None:
    """Cut a text to what a page can show; None if there is none."""
    return shortened(storable(text), most) if text else None
