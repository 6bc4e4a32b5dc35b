"""What next? The one decision of every wait, sync or async: it takes what was seen and a time, and touches nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_kimi.api.models import ACTIVE_STATUSES, Batch
from airflow_provider_kimi.batch.events import BatchEvent
from airflow_provider_kimi.exceptions import KimiApiError, KimiError

#: Shortest time between deferring and the first check. An event that fires at once can overtake the end of the
#: process that deferred, and the executor then takes the resumed task for a failed one.
FIRST_CHECK_SECONDS = 5.0
#: Longest pause that the platform can ask for; a wait must not sleep through the end of its batch.
MAX_RETRY_AFTER_SECONDS = 900.0

#: What was seen of one batch: the batch, or why it could not be read.
Seen = Batch | KimiError


@dataclass(frozen=True)
class Wait:
    """Look again later.

    :param seconds: How much later.
    :param notes: What is worth a line in the log.
    """

    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finish:
    """Stop waiting."""

    event: BatchEvent


def decide_next(
    seen: Mapping[str, Seen], *, now: float, deadline: float | None, poll_interval_seconds: float
) -> Wait | Finish:
    """Decide after one look at every batch of a wait.

    A permanent fault ends the wait at once; a passing one, and a status that nobody knows, only delay it; the
    deadline ends it in any case.

    :param seen: What was seen of each batch, by id.
    :param now: Unix seconds.
    :param deadline: Unix seconds after which nobody waits any more; None for no end.
    :param poll_interval_seconds: Time between two looks.
    """
    errors = {batch_id: error for batch_id, error in seen.items() if isinstance(error, KimiError)}
    batches = {batch_id: batch for batch_id, batch in seen.items() if isinstance(batch, Batch)}
    for error in errors.values():
        if not error.retryable:
            return Finish(BatchEvent.failed(batches, str(error)))
    if not errors and all(batch.is_terminal for batch in batches.values()):
        return Finish(BatchEvent.ended(batches))
    if deadline is not None and now >= deadline:
        return Finish(BatchEvent.timed_out(batches, tuple(seen), [str(error) for error in errors.values()]))
    asked = [error.retry_after_seconds or 0.0 for error in errors.values() if isinstance(error, KimiApiError)]
    seconds = max(poll_interval_seconds, min(max(asked, default=0.0), MAX_RETRY_AFTER_SECONDS))
    if deadline is not None:
        seconds = min(seconds, deadline - now)
    return Wait(seconds, tuple(_notes(errors, batches)))


def _notes(errors: Mapping[str, KimiError], batches: Mapping[str, Batch]) -> list[str]:
    notes = [f"Could not look at batch {batch_id}: {error}" for batch_id, error in errors.items()]
    for batch in batches.values():
        if not batch.is_terminal and batch.status not in ACTIVE_STATUSES:
            notes.append(f"Batch {batch.id} has the status {batch.status!r}, which is not documented.")
    return notes


def progress_line(batch: Batch) -> str:
    """Say in one line where a batch stands."""
    counts = batch.counts
    rows = f", {counts.completed + counts.failed:,} of {counts.total:,} rows done" if counts.total else ""
    failed = f" ({counts.failed:,} failed)" if counts.failed else ""
    return f"Batch {batch.id}: {batch.status}{rows}{failed}"
