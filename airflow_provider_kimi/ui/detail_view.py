"""What the page shows of one batch in full, and what becomes of it if somebody acts on its task, or cancels it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from airflow_provider_kimi.api.limits import MAX_METADATA_KEY_CHARS, MAX_METADATA_PAIRS
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.ui.batch_view import LONGEST_TEXT, shown, view_of

#: What an act does to a batch that stands so; the page has a text for each word. Marks are those of a task that waits.
_WHILE_RUNNING = {
    "clear": "clear_goes_on",
    "mark_failed": "mark_failed_cancels",
    "mark_success": "mark_success_goes_on",
    "cancel": "cancel_running",
    "after": "after_cancel",
}
_ENDED = {"mark_failed": "mark_ended", "mark_success": "mark_ended", "cancel": "cancel_ended"}
_OUTCOMES = {
    "finalizing": {
        "clear": "clear_goes_on",
        "mark_failed": "mark_failed_keeps",
        "mark_success": "mark_success_goes_on",
        "cancel": "cancel_finalizing",
    },
    "cancelling": {
        "clear": "clear_cancelling",
        "mark_failed": "mark_cancelling",
        "mark_success": "mark_cancelling",
        "cancel": "cancel_under_way",
        "after": "after_cancel",
    },
    "completed": {"clear": "clear_lands"} | _ENDED,
    "expired": {"clear": "clear_rest"} | _ENDED,
    "cancelled": {"clear": "clear_rest"} | _ENDED,
    "failed": {"clear": "clear_failed"} | _ENDED,
}

#: How the keys of a recipe note begin.
_OF_PROMPTS = "kimi_recipe"

#: What somebody may do, and all of these words.
ACTS = tuple(_WHILE_RUNNING)
OUTCOMES = {word for acts in (_WHILE_RUNNING, *_OUTCOMES.values()) for word in acts.values()} | {
    "cancel_uncounted",
    "clear_stranger",
}


def detail_of(
    batch: Batch, now: float, *, may_edit: bool, sizes: Mapping[str, int | None] = MappingProxyType({})
) -> dict[str, Any]:
    """Show one batch in full as plain JSON.

    :param now: Unix seconds on the platform's clock, when the batch was read.
    :param may_edit: Whether the user may edit the task instances of its DAG.
    :param sizes: Bytes of files, by their ids, as far as they are known.
    """
    tags = Tags.of(batch)
    view = view_of(batch, now)
    return view | {
        "run_path": "/".join(view["task_path"].split("/")[:4]) if view["task_path"] else None,
        "completion_window": shown(batch.completion_window),
        "is_ours": tags.is_ours,
        "may_cancel": may_edit and batch.is_cancellable,
        "outcomes": outcomes_of(batch),
        "times": times_of(batch, now),
        "expires_at": None if batch.is_terminal else _iso(batch.expires_at),
        "files": [
            {"kind": kind, "id": shown(file_id), "bytes": sizes.get(file_id)}
            for kind, file_id in files_of(batch).items()
        ],
        "metadata": _metadata(batch),
    }


def files_of(batch: Batch) -> dict[str, str]:
    """Return the ids of the files of a batch, as far as it has any."""
    ids = {"input": batch.input_file_id, "output": batch.output_file_id, "error": batch.error_file_id}
    return {kind: file_id for kind, file_id in ids.items() if file_id}


def outcomes_of(batch: Batch) -> dict[str, str]:
    """Say in one word each what a clear, marks of a task that waits, and a cancel do, and what tasks do after one."""
    outcomes = dict(_OUTCOMES.get(batch.status, _WHILE_RUNNING))
    if batch.is_cancellable and not batch.counts.total:
        outcomes["cancel"] = "cancel_uncounted"
    if not Tags.of(batch).is_ours:
        outcomes["clear"] = "clear_stranger"
    return outcomes


def times_of(batch: Batch, now: float) -> list[dict[str, Any]]:
    """Since when a batch had which status, in order, and for how many seconds; None for the last one of an ended batch.

    `created` stands for `validating`, which has no time of its own.
    """
    began = {
        "created": batch.created_at,
        "in_progress": batch.in_progress_at,
        "finalizing": batch.finalizing_at,
        "cancelling": batch.cancelling_at,
        batch.status if batch.is_terminal else "": batch.ended_at,
    }
    known = [(at, status) for status, at in began.items() if at is not None and _iso(at) is not None]
    known.sort(key=lambda each: each[0])
    ends = [at for at, _ in known[1:]] + [None if batch.is_terminal else now]
    return [
        {"status": status, "at": _iso(at), "seconds": None if end is None else max(0, round(end - at))}
        for (at, status), end in zip(known, ends, strict=False)
    ]


def _metadata(batch: Batch) -> list[list[str]]:
    """The pairs of a batch, as many and as long as the platform allows; what is not text is left out.

    So is the recipe note, which holds the prompt.
    """
    pairs = [
        (key, value)
        for key, value in (batch.metadata or {}).items()
        if isinstance(value, str) and not key.startswith(_OF_PROMPTS)
    ]
    return [
        [shown(key, MAX_METADATA_KEY_CHARS) or "", shown(value, LONGEST_TEXT) or ""]
        for key, value in sorted(pairs)[:MAX_METADATA_PAIRS]
    ]


def _iso(at: float | None) -> str | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
