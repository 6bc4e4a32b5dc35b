"""The rest: what is asked again of a batch that ended before it was done. Rows that were answered are paid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import rows_in_words
from airflow_provider_kimi.calls.fetch import fetch_file, may_come_late
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiInputError
from airflow_provider_kimi.files.line_ids import id_of, is_answer
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES, lines_at
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.submission.earlier_work import named
from airflow_provider_kimi.submission.job import Job

#: How long a batch without counts and without an output file is taken to have answers.
UNCOUNTED_SECONDS = 900.0


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
    name, answered = job.name(shard).short, set[int]()
    for batch in ended:
        answered |= _answered(job, batch, folder / "answers")
    left = shard.content.rewritten(
        folder / f"rest-{name}.jsonl", lambda line: None if hash(id_of(line)) in answered else line
    )
    done = shard.content.rows - left.rows
    job.calls.log.warning(
        "%s of the %s rows of shard %s are answered and paid; only the others are asked now. Answered by: %s.",
        f"{done:,}",
        f"{shard.content.rows:,}",
        name,
        stand,
    )
    rest = replace(shard, content=left, fingerprint=left.fingerprint(), origin=None) if left.rows else None
    return Rest(rest, tuple(ended))


def _answered(job: Job, batch: Batch, path: Path) -> set[int]:
    """The hashes of the ids that the output file of a batch answers.

    :raises KimiBatchError: It is still to come, or is not to be had, so that paid rows would be asked again.
    """
    may_come = may_come_late(job.calls, batch)
    if batch.output_file_id is None:
        if batch.counts.completed:
            raise _cannot_tell(batch, "names no output file", may_come=may_come)
        if job.calls.now() < (batch.ended_at or 0) + UNCOUNTED_SECONDS:
            raise _cannot_tell(batch, "may not have counted them yet", may_come=True)
        return set()
    try:
        file = fetch_file(job.calls, batch.output_file_id, path, expected_lines=batch.counts.completed)
    except KimiApiError as error:
        if error.status_code != 404:
            raise
        raise _cannot_tell(batch, "no longer has its output file", may_come=may_come) from error
    if not file.is_whole and may_come:
        raise _cannot_tell(batch, f"gives an output file of {file.lines:,} lines", may_come=True)
    answered = {hash(id_of(line)) for _, line in lines_at(path, MAX_LINE_BYTES) if is_answer(line)}
    path.unlink()
    return answered


def _cannot_tell(batch: Batch, what: str, *, may_come: bool) -> KimiBatchError:
    """Refuse to ask for rows that may be paid.

    :param may_come: Whether the answers may still come. Else they were most likely landed, and deleted afterwards.
    """
    remedy = (
        "Retry or clear this task later"
        if may_come
        else "To ask only for the rows that were not answered, pass the dead_letter.jsonl of the result to another task"
    )
    return KimiBatchError(
        f"The platform counts {batch.counts.completed:,} answers of batch {batch.id} ({batch.status}), and {what}, so "
        f"it cannot be told which rows are paid. Nothing was sent now. {remedy}; or set on_ended='resubmit' to pay for "
        "all rows again.",
        retryable=may_come,
    )
