"""The status machine: where a batch stands at a moment, computed from its own times."""

from dataclasses import dataclass, field

from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.behaviour import Timing


@dataclass
class BatchRecord:
    """One batch as the platform keeps it."""

    id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None
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


def stage_at(batch: BatchRecord, now: float, timing: Timing) -> Stage:
    """Tell where a batch stands at `now`."""
    started = batch.created_at + timing.validating_seconds
    worked = started + timing.working_seconds
    completed = worked + timing.finalizing_seconds

    def share(at: float) -> float:
        return min(1.0, max(0.0, (at - started) / (timing.working_seconds or 1.0)))

    if batch.cancelling_at is not None:
        ended = batch.cancelling_at + timing.cancelling_seconds
        begun = started if batch.cancelling_at >= started else None
        status, cancelled = ("cancelled", ended) if now >= ended else ("cancelling", None)
        done = share(batch.cancelling_at)
        return Stage(status, done, begun, cancelling_at=batch.cancelling_at, cancelled_at=cancelled)
    if now < started:
        return Stage("validating")
    if batch.problems or batch.balance_failure:
        return Stage("failed", failed_at=started)
    if now >= batch.expires_at and completed > batch.expires_at:
        return Stage("expired", share(batch.expires_at), started)
    if now < worked:
        return Stage("in_progress", share(now), started)
    if now < completed:
        return Stage("finalizing", 1.0, started, worked)
    return Stage("completed", 1.0, started, worked, completed)
