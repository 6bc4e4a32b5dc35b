"""The rest: what is asked again of a batch that ended before it was done. Rows that were answered are paid."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import rows_in_words
from airflow_provider_kimi.calls.fetch import fetch_file
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiInputError
from airflow_provider_kimi.files.line_ids import id_of, is_answer
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES, lines_at
from airflow_provider_kimi.requests.prepare import Shard
from airflow_provider_kimi.submission.earlier_work import named
from airflow_provider_kimi.submission.job import Job

#: How long after the end of a batch its output file may still come.
LATE_FILE_SECONDS = 3600.0


class Rest(NamedTuple):
    """What is left to do for a shard.

    :param shard: What is to be submitted; None if every row was answered.
    :param ended: The batches that hold the other answers.
    """

    shard: Shard | None
    ended: tuple[Batch, ...]


def rest_of(job: Job, shard: Shard, ended: Sequence[Batch], folder: Path) -> Rest:
    """Decide what to submit of a shard whose batches have ended with answers, as `on_ended` asks, and say so.

    :param ended: Batches of this shard that hold answers.
    :param folder: For what is downloaded and written.
    :raises KimiInputError: The task is to stop then.
    :raises KimiBatchError: One of them is still being cancelled, so that more answers may come.
    """
    stand = "; ".join(f"{named([batch])}, {rows_in_words(batch.counts) or 'rows not counted'}" for batch in ended)
    if job.order.on_ended == "fail":
        raise KimiInputError(
            "An earlier attempt of this task has paid for rows, and its batches ended before they were done. Nothing "
            "was sent now, as on_ended='fail' asks. Give their ids to a KimiBatchResultsOperator to land the answers; "
            f"set on_ended='rest' to ask only for the rows without an answer, or 'resubmit' to pay for all: {stand}."
        )
    if job.order.on_ended == "resubmit":
        job.calls.log.warning("All rows are asked and paid again, as on_ended='resubmit' asks. Paid before: %s.", stand)
        return Rest(shard, ())
    if running := [batch for batch in ended if not batch.is_terminal]:
        raise KimiBatchError(
            "An earlier batch of this task is being cancelled, and rows of it may still be answered. Nothing was sent "
            "now. Retry or clear this task when that is over: then only the rows without an answer are asked. Set "
            f"on_ended='resubmit' to pay for all rows now: {named(running)}.",
            retryable=True,
        )
    answered: set[int] = set()
    holding = tuple(batch for batch in ended if _add_answered(job, batch, folder / "answers", answered))
    left = shard.content.rewritten(
        folder / f"rest-{shard.number}.jsonl", lambda line: None if hash(id_of(line)) in answered else line
    )
    done = shard.content.rows - left.rows
    job.calls.log.warning(
        "%s of the %s rows of shard %s are answered and paid; only the others are asked now. Answered by: %s.",
        f"{done:,}",
        f"{shard.content.rows:,}",
        shard.number,
        stand,
    )
    if not done:
        return Rest(shard, ())
    return Rest(Shard(shard.number, left, left.fingerprint()) if left.rows else None, holding)


def _add_answered(job: Job, batch: Batch, path: Path, answered: set[int]) -> bool:
    """Add the rows that the output file of a batch holds; False where that is not to be had.

    :raises KimiBatchError: It is still to come, or cannot be read whole, so that paid rows would be asked again.
    """
    may_come = job.calls.now() < (batch.ended_at or 0) + LATE_FILE_SECONDS
    if batch.output_file_id is None and may_come:
        raise _cannot_tell(batch, "names no output file of it yet")
    if batch.output_file_id is None:
        job.calls.log.warning("Batch %s has no output file, so its rows are asked and paid again.", batch.id)
        return False
    try:
        file = fetch_file(job.calls, batch.output_file_id, path, expected_lines=batch.counts.completed)
    except KimiApiError as error:
        if error.status_code != 404:
            raise
        if may_come:
            raise _cannot_tell(batch, "does not give its output file yet") from error
        job.calls.log.warning(
            "Batch %s has lost its answers, so its rows are asked and paid again. %s", batch.id, error
        )
        return False
    if not file.is_whole and may_come:
        raise _cannot_tell(batch, f"gives an output file of {file.lines:,} lines")
    answered.update(hash(id_of(line)) for _, line in lines_at(path, MAX_LINE_BYTES) if is_answer(line))
    path.unlink()
    return True


def _cannot_tell(batch: Batch, what: str) -> KimiBatchError:
    return KimiBatchError(
        f"The platform counts {batch.counts.completed:,} answers of batch {batch.id}, and {what}, so it cannot be told "
        "which rows are paid. Nothing was sent now. Retry or clear this task later, or set on_ended='resubmit' to pay "
        "for all rows.",
        retryable=True,
    )
