"""Create: upload one input file and make its batch, each once, whatever becomes of the answers."""

import secrets
from collections.abc import Mapping

from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Patience
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.records.tags import CREATE_KEY, Tags
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.submission.earlier_work import choose, is_lost
from airflow_provider_kimi.submission.identity import create_mark
from airflow_provider_kimi.submission.in_flight import only_means_later
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import Made, Refusal, Uploaded

#: Pauses before each search for a batch whose create was not answered; the list may lag behind.
SEARCH_PAUSES_SECONDS = (2.0, 10.0, 30.0)

#: Answers by which the platform refuses an input file: it is not known yet, or belongs to another key.
_FILE_REFUSED = frozenset({400, 403, 404})


def upload_shard(job: Job, shard: Shard, content: Slice, tags: Tags, made: Made) -> Uploaded:
    """Upload a shard, unless an earlier attempt did, and note it as one whose batch is still to be created.

    :param content: Its lines, with the ids of uploaded media in them.
    :raises KimiError: It was refused.
    """
    kept = _kept_input(job, shard, content)
    file_id, is_new = (kept, False) if kept else _upload(job, shard, content)
    uploaded = Uploaded(file_id, content.rows, tags, is_new=is_new, is_unsure=made.is_unsure(job.label(shard)))
    made.pending[job.label(shard)] = uploaded
    return uploaded


def submit_shard(job: Job, shard: Shard, content: Slice, tags: Tags, made: Made) -> None:
    """Upload a shard, unless an earlier attempt did, and make its batch.

    :param content: Its lines, with the ids of uploaded media in them.
    :raises KimiError: It was refused, or its fate is unknown.
    """
    uploaded = upload_shard(job, shard, content, tags, made)
    if not create_uploaded(job, uploaded, made):
        file_id, _ = _upload(job, shard, content)
        uploaded = uploaded._replace(file_id=file_id, is_new=True)
        made.pending[job.label(shard)] = uploaded
        create_uploaded(job, uploaded, made)


def create_uploaded(job: Job, shard: Uploaded, made: Made) -> bool:
    """Make the batch of a shard that is on the platform, unless there is no room for it and the task can wait.

    Return whether the platform takes the file, which may be of another key, or deleted.

    :raises KimiError: It was refused, or its fate is unknown.
    """
    label = str(shard.tags.label)
    try:
        batch = _create(job, shard, made) if shard.is_new else _create_from_kept(job, shard, made)
    except KimiApiError as error:
        is_vain = error.kind == "balance" and not shard.may_wait
        if not made.waits or made.open_marks or is_vain or not only_means_later(job.calls, error):
            raise
        made.refusal, made.has_turns = Refusal(label, error), True
        job.calls.log.warning("There is no room for shard %s now, so it is created later: %s", label, error)
        return True
    if batch is None:
        return False
    made.batches[label] = batch
    made.own.add(batch.id)
    made.pending.pop(label, None)
    job.calls.stop.note(batch.id)
    job.calls.log.info("Created batch %s (%s) from file %s: %s requests.", batch.id, label, shard.file_id, shard.rows)
    return True


def _create_from_kept(job: Job, shard: Uploaded, made: Made) -> Batch | None:
    """Create a batch from a file that an earlier attempt has uploaded; None if it has to be uploaded again."""
    try:
        batch = _create(job, shard, made)
    except KimiApiError as error:
        if error.retryable or error.status_code not in _FILE_REFUSED or made.open_marks:
            raise
        job.calls.log.warning("%s File %s may belong to another key.", error, shard.file_id)
        return None
    if not is_lost(batch):
        return batch
    job.calls.log.warning(
        "The platform answers a create from file %s with batch %s (%s).", shard.file_id, batch.id, batch.status
    )
    return None


def _kept_input(job: Job, shard: Shard, content: Slice) -> str | None:
    """Id of the file that an earlier attempt has uploaded for a shard; None where its media have other ids by now."""
    if job.attempt.number == 1 or content is not shard.content:
        return None
    known = job.uploads.newest(job.file_name(shard), content.size)
    if known is not None:
        job.calls.log.info("Input file %s (%s) is on the platform from before.", known, job.file_name(shard))
    return known


def _upload(job: Job, shard: Shard, content: Slice) -> tuple[str, bool]:
    """Upload an input file. It costs nothing but room, so it is repeated where it failed and the file is not there.

    Return its id, and whether it is known to be of this very call.
    """
    name, patience = job.file_name(shard), job.calls.patience()
    while True:
        job.calls.stop.check()
        try:
            with content.open() as lines:
                return job.calls.hook.upload_file(lines, name).id, True
        except KimiError as error:
            if (pause := patience.pause_after(error)) is None:
                raise
            job.calls.pause_after(error, pause)
            is_lost = not isinstance(error, (KimiApiError, KimiNoAnswerError)) or error.outcome_unknown
        if is_lost and (known := job.read_uploads().newest(name, content.size)):
            return known, False


def _create(job: Job, shard: Uploaded, made: Made) -> Batch:
    """Create a batch from an uploaded file.

    A create is sent once. If its answer is lost, the batch with the mark of this very call is searched for. Only if it
    has not turned up long after is another create sent, with a mark of its own, and `settle` then keeps one.
    """
    patience = job.calls.patience()
    lost: list[Mapping[str, str]] = []
    for call in (1, 2):
        mark = create_mark(job.attempt, call, secrets.token_hex(4))
        metadata = replace(shard.tags, create=mark).to_metadata(job.order.metadata)
        made.open_marks.add(mark)
        try:
            batch = _send(job, shard, metadata, patience, waits=made.waits)
        except (KimiApiError, KimiNoAnswerError) as error:
            if not error.outcome_unknown:
                made.open_marks.discard(mark)
                raise _refused(job, shard, error, lost, waits=made.waits) from error.__cause__
            lost.append(metadata)
            if (found := _search_for(job, shard, lost, error)) is None and call == 2:
                raise _unknown(job, shard, error) from None
            if found is None:
                job.calls.log.warning("No such batch has turned up. Another create is sent.")
                made.unsure.add(str(shard.tags.label))
                continue
            batch = found
        made.open_marks.discard(str(Tags.of(batch).create))
        return batch
    raise AssertionError("unreachable")


def _send(job: Job, shard: Uploaded, metadata: Mapping[str, str], patience: Patience, *, waits: bool) -> Batch:
    """Send a create, again if it was refused for the time being or never sent, and so exists nowhere; raise any other
    fault.

    :param waits: Whether one for which there is no room is sent later, from another process.
    """
    while True:
        job.calls.stop.check()
        try:
            batch = job.calls.hook.create_batch(
                shard.file_id, completion_window=job.order.completion_window, metadata=metadata
            )
            if _is_of_another_file(batch, shard, metadata):
                raise _other_answer(batch, shard)
            return batch
        except (KimiApiError, KimiNoAnswerError) as error:
            if error.outcome_unknown or (waits and error.kind == "queue"):
                raise
            may_pass = error.retryable or (shard.is_new and _is_file_unknown(error))
            if (pause := patience.pause_after(error, may_pass=may_pass)) is None:
                raise
            job.calls.pause_after(error, pause)


def _is_of_another_file(batch: Batch, shard: Uploaded, metadata: Mapping[str, str]) -> bool:
    """Whether an answer to a create shows another call's batch, of other rows; a gateway may have kept it."""
    mark = (batch.metadata or {}).get(CREATE_KEY)
    return batch.input_file_id not in (None, shard.file_id) and mark not in (None, metadata.get(CREATE_KEY))


def _other_answer(batch: Batch, shard: Uploaded) -> KimiApiError:
    return KimiApiError(
        f"The create of a batch from file {shard.file_id!r} was answered with batch {batch.id}, which another call "
        f"made from file {batch.input_file_id!r}. Whether a batch was made, and is billed, is unknown. A gateway in "
        "between must not keep answers.",
        status_code=None,
        retryable=True,
        kind="fault",
    )


def _is_file_unknown(error: KimiError) -> bool:
    """Whether the platform does not know a file yet that it has just taken."""
    return isinstance(error, KimiApiError) and error.status_code in (400, 404) and "not found" in str(error).lower()


def _search_for(job: Job, shard: Uploaded, lost: list[Mapping[str, str]], error: KimiError) -> Batch | None:
    """Search for a batch of these calls until it can be taken for not made; raise if that cannot be known."""
    job.calls.log.warning("%s Searching for it.", error)
    failed: KimiError | None = None
    for pause in SEARCH_PAUSES_SECONDS:
        job.calls.sleep(pause)
        try:
            search = job.find(lambda batch: any(_is_made_by(batch, call) for call in lost), file_ids=(shard.file_id,))
        except KimiError as fault:
            job.calls.log.warning("%s", fault)
            failed = fault
            continue
        failed = error if search.gap else None
        if search.batches:
            return choose(search.batches)
    if failed is not None:
        raise _unknown(job, shard, error)
    return _without_metadata(job, shard, error)


def _without_metadata(job: Job, shard: Uploaded, error: KimiError) -> Batch | None:
    """A batch of a file that this very attempt has uploaded, on a platform that keeps no metadata."""
    if not shard.is_new:
        return None
    try:
        found = job.find(lambda batch: batch.input_file_id == shard.file_id and not batch.metadata).batches
        read = [job.calls.read_batch(batch.id) for batch in found]
    except KimiError as fault:
        job.calls.log.warning("%s", fault)
        raise _unknown(job, shard, error) from None
    return choose(bare) if (bare := [batch for batch in read if not batch.metadata]) else None


def _is_made_by(batch: Batch, metadata: Mapping[str, str]) -> bool:
    """Whether a batch was made by a create.

    The mark of the call says so. Where the user's own pairs leave no room for it, all pairs have to be equal, and work
    that is lost is none of this call.
    """
    own = batch.metadata or {}
    if CREATE_KEY in metadata:
        return own.get(CREATE_KEY) == metadata[CREATE_KEY]
    return not is_lost(batch) and all(own.get(key) == value for key, value in metadata.items())


def _refused(job: Job, shard: Uploaded, error: KimiError, lost: list[Mapping[str, str]], *, waits: bool) -> KimiError:
    """Clean up after a create that was refused for good, and say what is uncertain.

    :param waits: Whether one that lacks money is sent later.
    """
    if lost:
        return error.saying(
            f"{error} An earlier create of this shard was not answered, and may have been accepted: whether its batch "
            f"exists, and is billed, is unknown. {_remedy(job)} It would have the input file {shard.file_id!r}."
        )
    is_final = isinstance(error, KimiApiError) and not error.retryable
    if shard.is_new and is_final and not (waits and only_means_later(job.calls, error)):
        _delete_unused(job, shard)
    return error


def _delete_unused(job: Job, shard: Uploaded) -> None:
    """Delete the input that a refused create leaves behind, since the account keeps 1,000 files. Where a batch may name
    it, as of an attempt at the same time, it is left to KimiDeleteFilesOperator.
    """
    try:
        search = job.find(lambda batch: batch.input_file_id == shard.file_id)
        if not search.batches and not search.gap:
            job.calls.hook.delete_file(shard.file_id)
    except KimiError as fault:
        job.calls.log.warning("The input file %s of the refused batch stays on the platform: %s", shard.file_id, fault)


def _unknown(job: Job, shard: Uploaded, lost: KimiError) -> KimiBatchError:
    how = "no answer"
    if isinstance(lost, KimiApiError):
        how = f"HTTP {lost.status_code}" if lost.status_code else "what is not Kimi's"
    return KimiBatchError(
        f"The create of a batch was answered by {how}, and no such batch was found in the following "
        f"{sum(SEARCH_PAUSES_SECONDS):g} s. Whether it exists, and is billed, is unknown. {_remedy(job)} It would have "
        f"the input file {shard.file_id!r}, and kimi_job_key={job.key} in its metadata.",
        retryable=job.fresh is None,
    )


def _remedy(job: Job) -> str:
    if job.fresh is None:
        return "A retry or a clear of this task searches for it first, attaches if it is there, and submits it if not."
    return (
        "With reuse='never' another attempt would pay again, so the task is not retried. Set reuse='auto' and clear "
        "it: then it attaches to the batch if there is one."
    )
