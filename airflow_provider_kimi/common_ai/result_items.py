"""Batches and rows in the words of common.ai."""

from collections.abc import Mapping
from typing import Any, Literal

from airflow.providers.common.ai.batch.base import BatchState, BatchStatus, ExtractedOutput, RawResultItem

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.redaction import redact
from airflow_provider_kimi.common_ai.request_lines import index_of
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.found_json import FENCE

_ItemStatus = Literal["success", "errored", "expired", "cancelled"]

_STATUSES: Mapping[str, BatchStatus] = {
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}


def state_of(batch: Batch, why_failed: str | None) -> BatchState:
    """Say how a batch stands. Rows that were never done are those of the end that the batch came to."""
    counts = None
    if batch.request_counts is not None:
        done = batch.counts
        undone = max(done.total - done.completed - done.failed, 0)
        ends = {end: undone if batch.status == end else 0 for end in ("expired", "cancelled")}
        counts = {"succeeded": done.completed, "errored": done.failed, **ends}
    return BatchState(_STATUSES.get(batch.status, "in_progress"), counts, why_failed)


def item_of(row: Row, key: str | None) -> RawResultItem:
    """Make an item of a row. Answers that are not whole are no errors: they are paid, and their text is kept.

    :param key: Of the task instance that asked; None if it is not known.
    """
    is_stopped = row.status == "filtered" and row.finish_reason is not None
    status: _ItemStatus = "errored"
    if row.status in ("succeeded", "truncated", "invalid") or is_stopped:
        status = "success"
    elif row.status == "expired" or row.status == "cancelled":
        status = row.status
    return RawResultItem(
        custom_id=row.custom_id,
        index=index_of(row.custom_id, key),
        provider_status=status,
        model=row.model,
        usage=_usage(row),
        finish_reason=row.finish_reason,
        error=None if status == "success" else _error(row, status),
        raw=row,
    )


def _usage(row: Row) -> dict[str, int] | None:
    counted = {
        "input_tokens": row.prompt_tokens,
        "output_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
    }
    return {name: tokens for name, tokens in counted.items() if tokens is not None} or None


def _error(row: Row, status: str) -> dict[str, Any]:
    return {
        "type": "provider_error" if status == "errored" else status,
        "message": redact(row.error_message or row.error_code or ""),
        "provider_code": row.error_code,
        "stage": "provider",
    }


def output_of(row: Row, *, is_structured: bool) -> ExtractedOutput:
    """Take the answer out of a row; what is cut, filtered or empty is none, and its text is kept beside it."""
    if row.status != "succeeded" or row.content is None:
        return ExtractedOutput(kind="absent", text=row.content)
    if not is_structured:
        return ExtractedOutput(kind="text", text=row.content)
    fenced = FENCE.findall(row.content) if row.content.lstrip().startswith("```") else []
    return ExtractedOutput(kind="json_text", text=fenced[0] if len(fenced) == 1 else row.content)
