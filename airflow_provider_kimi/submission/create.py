"""Create: upload one input file and make its batch, each once, whatever becomes of the answers."""

from collections.abc import Iterator, Mapping

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import PAUSES_SECONDS
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.requests.prepare import Shard
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.submission.job import Job

#: Pauses before each search for a batch whose create was not answered; the list may lag behind.
SEARCH_PAUSES_SECONDS = (2.0, 10.0, 30.0)


def upload_input(job: Job, shard: Shard, content: Slice) -> str:
    """Upload an input file, unless an earlier attempt did, and return its id.

    An upload costs nothing but room, so one that failed is repeated if the file is not there.
    """
    name = job.file_name(shard)
    asked_before = job.attempt.number > 1
    for pause in (*PAUSES_SECONDS, None):
        if asked_before and content is shard.content and (known := job.kept_files().get((name, content.size))):
            job.calls.log.info("Input file %s (%s) is on the platform from before.", known, name)
            return known
        try:
            with content.open() as lines:
                return job.calls.hook.upload_file(lines, name).id
        except KimiError as error:
            if not error.retryable or pause is None:
                raise
            job.calls.pause_after(error, pause)
        asked_before = True
    raise AssertionError("unreachable")


def create_batch(job: Job, file_id: str, metadata: Mapping[str, str]) -> Batch:
    """Create a batch from an uploaded file.

    A create is sent once. If its answer is lost, a batch of this very file is searched for. Only if it has not turned
    up long after is the create sent a second time, and `settle` then keeps one, should both exist.

    :raises KimiError: It was refused, or its fate is unknown.
    """
    pauses = iter(PAUSES_SECONDS)
    for is_last in (False, True):
        try:
            return _send(job, file_id, metadata, pauses)
        except (KimiApiError, KimiNoAnswerError) as error:
            if not error.outcome_unknown:
                raise
            if (found := _search_for(job, file_id, error)) is not None:
                return found
            if is_last:
                raise _unknown(job, file_id, error) from None
            job.calls.log.warning("No such batch has turned up. The create is sent once more.")
    raise AssertionError("unreachable")


def _send(job: Job, file_id: str, metadata: Mapping[str, str], pauses: Iterator[float]) -> Batch:
    """Send a create, again if it was refused for the time being, and so exists nowhere; raise any other fault."""
    while True:
        try:
            return job.calls.hook.create_batch(
                file_id, completion_window=job.order.completion_window, metadata=metadata
            )
        except KimiApiError as error:
            if error.outcome_unknown:
                raise
            pause = next(pauses, None) if error.retryable or _is_file_unknown(error) else None
            if pause is None:
                _remove_refused_input(job, file_id, error)
                raise
            job.calls.pause_after(error, pause)


def _is_file_unknown(error: KimiApiError) -> bool:
    """Whether the platform does not know a file yet that it has just taken."""
    return error.status_code in (400, 404) and "not found" in str(error).lower()


def _search_for(job: Job, file_id: str, lost: KimiError) -> Batch | None:
    """Search for a batch of this file until it can be taken for not made; raise if that cannot be known."""
    job.calls.log.warning("%s Searching for it.", lost)
    failed: KimiError | None = None
    for pause in SEARCH_PAUSES_SECONDS:
        job.calls.sleep(pause)
        try:
            search = job.find(lambda batch: batch.input_file_id == file_id)
        except KimiError as error:
            job.calls.log.warning("%s", error)
            failed = error
            continue
        failed = lost if search.gap else None
        if search.batches:
            return min(search.batches, key=lambda batch: (batch.created_at or 0, batch.id))
    if failed is not None:
        raise _unknown(job, file_id, lost)
    return None


def _unknown(job: Job, file_id: str, lost: KimiError) -> KimiBatchError:
    how = f"HTTP {lost.status_code}" if isinstance(lost, KimiApiError) else "no answer"
    remedy = (
        "A retry or a clear of this task searches for it first, attaches if it is there, and submits it if not."
        if job.fresh is None
        else "With reuse='never' another attempt would pay again, so the task is not retried. Set reuse='auto' and "
        "clear it: then it attaches to the batch if there is one."
    )
    return KimiBatchError(
        f"The create of a batch was answered by {how}, and no such batch was found in the following "
        f"{sum(SEARCH_PAUSES_SECONDS):g} s. Whether it exists, and is billed, is unknown. {remedy} It would have the "
        f"input file {file_id!r}, and kimi_job_key={job.key} in its metadata.",
        retryable=job.fresh is None,
    )


def _remove_refused_input(job: Job, file_id: str, error: KimiError) -> None:
    """A create that is refused for good leaves its input behind, which counts towards the account's 1,000 files."""
    if error.retryable:
        return
    try:
        job.calls.hook.delete_file(file_id)
    except KimiError as fault:
        job.calls.log.warning("The input file %s of the refused batch stays on the platform: %s", file_id, fault)
