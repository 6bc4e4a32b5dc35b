"""Why batches that have ended did not complete."""

from collections.abc import Iterable
from tempfile import TemporaryFile
from typing import NamedTuple

from airflow_provider_kimi.api.redaction import redact
from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED, standing
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.files.line_ids import id_of
from airflow_provider_kimi.files.lines import read_lines
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.results.answer_lines import batch_error, read_row

#: Rows of an error file that a message repeats.
REPORTED_ERRORS = 3

_BALANCE = (
    "Without an error file, the most common cause is the balance: before a batch starts, the platform reserves rows x "
    "max_completion_tokens x output price. Check the balance, set a realistic max_completion_tokens in request_params, "
    "or submit smaller batches."
)


class Shortfall(NamedTuple):
    """What batches lack: in a short sentence, and what to do, how each of them ended and why, as far as is known."""

    cause: str
    details: str


def shortfall(calls: Calls, event: BatchEvent) -> Shortfall | None:
    """Say of each batch that did not complete how it ended; None if all completed.

    A batch that ended early is made good by a later one of the same work, which was asked for the rest.
    """
    last = {end.work or batch_id: batch_id for batch_id, end in event.batches.items()}
    ends = {batch_id: event.batches[batch_id] for batch_id in last.values()}
    ends = {batch_id: end for batch_id, end in ends.items() if end.status != "completed"}
    if not ends:
        return None
    advice = _BALANCE if any(map(_lacks_error_file, ends.values())) else ""
    reasons = "; ".join(_why(calls, batch_id, end) for batch_id, end in ends.items())
    now = f"None of these runs now. {COMPLETED_IS_BILLED}: {reasons}."
    cause = f"{len(ends)} of {len(last)} batches did not complete."
    return Shortfall(cause, " ".join(filter(None, (advice, event.message, now))))


def _lacks_error_file(end: BatchEnd) -> bool:
    return end.status == "failed" and end.error_file_id is None


def _why(calls: Calls, batch_id: str, end: BatchEnd) -> str:
    stands = standing(batch_id, end.status, end.counts)
    if end.status != "failed":
        return stands
    if end.error_file_id is None:
        return f"{stands}, and the platform left no error file"
    try:
        reasons = reasons_in(calls, end.error_file_id)
    except KimiError as error:
        return f"{stands}; its error file {end.error_file_id} could not be read: {error}"
    return f"{stands}: {reasons or f'its error file {end.error_file_id} names no reason'}"


def reasons_in(calls: Calls, file_id: str) -> str:
    """The first reasons that an error file names; empty if it names none."""
    with TemporaryFile() as content:

        def download() -> None:
            content.seek(0)
            content.truncate()
            calls.hook.download_file(file_id, content)

        calls.read(download)
        content.seek(0)
        return "; ".join(_reasons(read_lines(content)))


def _reasons(lines: Iterable[bytes]) -> list[str]:
    reasons: dict[str, None] = {}
    for line in lines:
        custom_id = id_of(line)
        row = batch_error(line) if custom_id is None else read_row(line)
        if row is not None:
            place = f"custom_id {custom_id[:80]!r}: " if custom_id else ""
            reasons[f"{place}{row.error_code}: {redact(row.error_message or '')}"] = None
        if len(reasons) == REPORTED_ERRORS:
            break
    return list(reasons)
