"""How a wait ends, as the event that its task resumes with: the cause, what to do, then the batches."""

from collections.abc import Collection, Iterable, Mapping

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED, RUNS_ON, standing
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.waiting.doubt import Doubt
from airflow_provider_kimi.waiting.known import Known, just_read
from airflow_provider_kimi.waiting.stalls import MAX_NOTES

#: Cause and remedy of a wait that timed out: at the task's own deadline, or long after the batches' windows.
_TIMED_OUT = ("The wait timed out", "Clear this task to wait on, or set a longer timeout")
_EXPIRED = (
    "The wait timed out six hours after its batches should have ended (expires_at)",
    "Ask Kimi's support about them",
)
_CANCELLED_NOW = "What can be cancelled is cancelled now, for the last time, and is billed until it ends"


def ended(batches: Mapping[str, Batch]) -> BatchEvent:
    """Every batch is terminal."""
    return BatchEvent("ended", _ends(batches))


def failed(known: Mapping[str, Known], message: str, *, retryable: bool = False) -> BatchEvent:
    """There is no use in waiting; batches stand as they were last read, if not by the last poll then by one before.

    :param retryable: Whether another try of the task may fare better.
    """
    ends = _ends({batch_id: what.batch for batch_id, what in known.items()})
    return BatchEvent("failed", ends, message, retryable=retryable)


def timed_out(
    known: Mapping[str, Known],
    batch_ids: Collection[str],
    cancels: Collection[str] = (),
    *,
    is_expiry: bool = False,
    to_come: int = 0,
) -> BatchEvent:
    """The deadline has passed.

    :param cancels: Batches whose cancel is asked for now.
    :param is_expiry: Whether it is not the task's own deadline, but the one that the batches' windows set.
    :param to_come: How many batches were still to be created.
    """
    read = just_read(known)
    late = [batch_id for batch_id in batch_ids if batch_id not in read or not read[batch_id].is_terminal]
    cancelled = [batch_id for batch_id, batch in read.items() if batch.status == "cancelled"]
    sentences = []
    if late:
        cause, remedy = _EXPIRED if is_expiry else _TIMED_OUT
        sentences.append(f"{cause}: {len(late)} of {len(batch_ids)} batches have not ended.")
        sentences.append(f"{remedy}; KimiCancelBatchOperator ends a batch that does not assemble its results yet.")
        sentences.append(f"{_CANCELLED_NOW if cancels else RUNS_ON}: {_standings(late, read)}.")
    if to_come:
        sentences.append(f"{to_come} more were not created yet, and cost nothing; a clear of this task creates them.")
    if cancelled:
        sentences.append("What ran was cancelled when the wait timed out.")
        sentences.append(f"{COMPLETED_IS_BILLED}: {_standings(cancelled, read)}.")
    if faults := [what.fault for what in known.values() if what.fault is not None]:
        sentences.append(f"The last fault: {faults[-1]}")
    return BatchEvent("timed_out", _ends(read), " ".join(sentences))


def unread(batch_ids: Collection[str], total: int, error: KimiError) -> str:
    """Say that batches could not be read, and why."""
    which = f"Batch {next(iter(batch_ids))}" if total == 1 else f"{len(batch_ids)} of {total} batches"
    return f"{which} could not be read: {error}"


def doubted(doubt: Doubt, batch_ids: Collection[str], error: KimiError) -> str:
    """Say that a fault looks permanent, and until when that can be put right."""
    minutes = f"{doubt.patience / 60:g} minute{'s' if doubt.patience > 60 else ''}"
    if doubt.scope == "connection":
        return f"No batch can be read. The wait goes on for {minutes}: put it right by then, and it goes on. {error}"
    which = ", ".join(list(batch_ids)[:MAX_NOTES]) + (" and others" if len(batch_ids) > MAX_NOTES else "")
    return f"The platform refuses to show {which}. The wait goes on for {minutes}, in case that passes. {error}"


def _standings(batch_ids: Iterable[str], read: Mapping[str, Batch]) -> str:
    return "; ".join(
        standing(batch_id, read[batch_id].status, read[batch_id].counts)
        if batch_id in read
        else f"{batch_id} could not be read"
        for batch_id in batch_ids
    )


def _ends(batches: Mapping[str, Batch | None]) -> dict[str, BatchEnd]:
    return {batch_id: BatchEnd.of(batch) for batch_id, batch in batches.items() if batch is not None}
