"""The status of a batch at a moment, computed from its own times."""

from dataclasses import dataclass, field

from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.behaviour import Timing


@dataclass
class BatchRecord:
    """One batch as the platform keeps it; `created_by` is the API key of its create."""

    id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None
    created_by: str
    created_at: float
    expires_at: float
    total: int
    problems: list[tuple[str, RowError]] = field(default_factory=list)
    balance_failure: bool = False
    cancelling_at: float | None = None
    settled: bool = False
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None


@dataclass(frozen=True)
class Stage:
    """A status, since when, and the share of rows done by then."""

    status: str
    share_done: float = 0.0
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    cancelling_at: float | None = None
    cancelled_at: float | None = None


def ended_at(batch: BatchRecord, stage: Stage) -> float:
    """When a batch ended that stands in this last status."""
    return stage.completed_at or stage.failed_at or stage.cancelled_at or batch.expires_at


def stage_at(batch: BatchRecord, now: float, timing: Timing) -> Stage:
    """Compute where a batch stands at `now`."""
    started = batch.created_at + timing.validating_seconds
    worked = started + timing.working_seconds
    completed = worked + timing.finalizing_seconds
    refused = bool(batch.problems) or batch.balance_failure
    if batch.cancelling_at is not None and batch.cancelling_at <= now:
        return _cancelled(batch, batch.cancelling_at, now, timing)
    if batch.expires_at <= now and batch.expires_at < (started if refused else completed):
        return _stopped(batch, "expired", batch.expires_at, timing)
    if now < started:
        return Stage("validating")
    if refused:
        return Stage("failed", failed_at=started)
    if now < completed:
        return _stopped(batch, "in_progress" if now < worked else "finalizing", now, timing)
    return _stopped(batch, "completed", completed, timing, completed_at=completed)


def _cancelled(batch: BatchRecord, asked: float, now: float, timing: Timing) -> Stage:
    cancelled = asked + timing.cancelling_seconds
    if now < cancelled:
        return _stopped(batch, "cancelling", asked, timing, cancelling_at=asked)
    return _stopped(batch, "cancelled", asked, timing, cancelling_at=asked, cancelled_at=cancelled)


def _stopped(batch: BatchRecord, status: str, moment: float, timing: Timing, **times: float) -> Stage:
    """The work as far as it had come at `moment`."""
    started = batch.created_at + timing.validating_seconds
    worked = started + timing.working_seconds
    if moment < started:
        return Stage(status, **times)
    if moment < worked:
        return Stage(status, (moment - started) / timing.working_seconds, started, **times)
    return Stage(status, 1.0, started, worked, **times)
