"""A batch as the API shows it at a moment, which may lie before now."""

from typing import Any

from airflow_provider_kimi.simulator import limits
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from airflow_provider_kimi.simulator.lifecycle import BatchRecord, Stage, ended_at, stage_at

#: The moments that a batch shows beside its create and its expiry.
_MOMENTS = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "cancelling_at", "cancelled_at")


def batch_shape(batch: BatchRecord, moment: float, timing: Timing, behaviour: Behaviour) -> dict[str, Any]:
    """The batch as the API shows it at `moment`; its results are stored if it had ended by then."""
    stage = stage_at(batch, moment, timing)
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": stage.status,
        "created_at": int(batch.created_at),
        "expires_at": int(batch.expires_at),
        "request_counts": None if behaviour.null_request_counts else _counts(batch, stage),
        "metadata": batch.metadata,
        **{name: None if (at := getattr(stage, name)) is None else int(at) for name in _MOMENTS},
        **_file_ids(batch, behaviour, are_shown=_files_are_shown(batch, stage, moment, behaviour)),
    }


def _counts(batch: BatchRecord, stage: Stage) -> dict[str, int]:
    """Rows by fate: zeros while the lines are validated, an estimate while they are worked on."""
    if stage.status == "validating":
        return {"total": 0, "completed": 0, "failed": 0}
    if stage.status in limits.TERMINAL_STATUSES:
        return {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
    return {"total": batch.total, "completed": int(batch.total * stage.share_done), "failed": 0}


def _files_are_shown(batch: BatchRecord, stage: Stage, moment: float, behaviour: Behaviour) -> bool:
    if stage.status not in limits.TERMINAL_STATUSES:
        return False
    return moment >= ended_at(batch, stage) + behaviour.late_file_seconds


def _file_ids(batch: BatchRecord, behaviour: Behaviour, *, are_shown: bool) -> dict[str, str | None]:
    """The ids of result files, of which some may be absent."""
    file_ids = {"output_file_id": batch.output_file_id, "error_file_id": batch.error_file_id}
    if not are_shown:
        file_ids = dict.fromkeys(file_ids)
    match behaviour.empty_file_id:
        case "null":
            return file_ids
        case "empty":
            return {name: file_id or "" for name, file_id in file_ids.items()}
        case "absent":
            return {name: file_id for name, file_id in file_ids.items() if file_id}
