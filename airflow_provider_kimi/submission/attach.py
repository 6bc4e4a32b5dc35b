"""Attach to what earlier attempts submitted, and agree with those that submit at the same time."""

from collections.abc import Iterable, Mapping

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import cancel_batch, cancel_batches
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError
from airflow_provider_kimi.records.job_note import NOTE_KEY, JobNote
from airflow_provider_kimi.submission.earlier_work import (
    EarlierWork,
    changed_input,
    earlier_work,
    live,
    named,
    what_changed,
)
from airflow_provider_kimi.submission.job import Job

#: Pause between the creates and the search for others of the same work, so that two creates differ in their second.
SETTLE_SECONDS = 1.0

#: How long a batch may be missing from the list after its create. The platform promises nothing; a later try, whose
#: predecessor may have died a moment ago, searches again after this time before it creates anything.
LIST_LAG_SECONDS = 12.0

#: The pause after the creates of a later try, whose predecessor may still be alive: more than twice the lag, so that
#: one of any two attempts sees the batches of both.
RETRY_SETTLE_SECONDS = 25.0


def attach(job: Job) -> dict[str, Batch]:
    """Find the batches that need not be submitted, by their `kimi_shard`.

    :raises KimiBatchError: It cannot be told whether there are any.
    :raises KimiInputError: The task submitted another input before, and is to stop then.
    """
    noted = _recalled(job)
    if noted is not None and noted.keys() == set(job.labels):
        _log_attached(job, noted.values())
        return noted
    search = job.find(job.concerns)
    earlier = _sorted(job, search.batches)
    if job.attempt.number > 1 and job.fresh is None and len(earlier.batches) < len(job.labels):
        job.calls.sleep(LIST_LAG_SECONDS)
        search = job.find(job.concerns)
        earlier = _sorted(job, search.batches)
    missing = len(job.labels) - len(earlier.batches)
    if missing and search.gap:
        raise KimiBatchError(
            f"{missing} of this task's {len(job.labels)} batches were not found, and {search.gap}. Nothing was sent, "
            "because batches that were not seen may hold this work. Clear the task when that has changed."
        )
    _log_attached(job, earlier.batches.values())
    _cancel_duplicates(job, earlier)
    _pass_over(job, earlier)
    return dict(earlier.batches)


def _log_attached(job: Job, batches: Iterable[Batch]) -> None:
    for batch in batches:
        job.calls.log.info("Attached to batch %s (%s): it is this very work, submitted before.", batch.id, batch.status)


def _sorted(job: Job, batches: Iterable[Batch]) -> EarlierWork:
    return earlier_work(batches, job.attempt.task, job.key, job.labels, job.fresh)


def _pass_over(job: Job, earlier: EarlierWork) -> None:
    """Decide about work of this task instance that is not wanted now."""
    if job.fresh:
        if running := live(earlier.other):
            job.calls.log.warning(
                "Fresh work was asked for. Batches of earlier attempts go on and are billed: %s.", named(running)
            )
        return
    if not earlier.replaced:
        return
    task = job.attempt.task
    tags = job.tags(job.prepared.shards[0])
    changes = what_changed(earlier.replaced, tags, len(job.labels), job.prepared.request_count)
    if job.order.on_changed_input == "fail":
        raise changed_input(earlier.replaced, task, changes)
    job.calls.log.warning("The input has changed since an earlier attempt (%s): %s.", changes, named(earlier.replaced))
    if job.order.on_changed_input == "fresh":
        return
    if task.map_index >= 0:
        job.calls.log.warning("They go on: if the index of a mapped task has moved, they belong to a sibling.")
        return
    cancel_batches(job.calls, [batch.id for batch in live(earlier.replaced)])


def settle(job: Job, batches: Mapping[str, Batch]) -> dict[str, Batch]:
    """Search again after creating, and keep one batch for each shard where several attempts have made one.

    All attempts choose the same one; whoever sees another cancels it.
    """
    job.calls.sleep(SETTLE_SECONDS if job.attempt.number == 1 else RETRY_SETTLE_SECONDS)
    try:
        listed = {batch.id: batch for batch in job.find(job.concerns).batches}
    except KimiError as error:
        job.calls.log.warning("Could not check whether another attempt has submitted the same: %s", error)
        return dict(batches)
    own = {batch.id: batch for batch in batches.values()}
    earlier = _sorted(job, {**own, **listed}.values())
    _cancel_duplicates(job, earlier)
    return {**batches, **earlier.batches}


def _cancel_duplicates(job: Job, earlier: EarlierWork) -> None:
    for batch in earlier.duplicates:
        job.calls.log.warning(
            "Cancelling batch %s: an attempt at the same time has made an older one for the same work.", batch.id
        )
        try:
            cancel_batch(job.calls, batch.id)
        except KimiError as error:
            job.calls.log.warning("It could not be cancelled, and is billed: %s", error)


def remember(job: Job, batches: Mapping[str, Batch]) -> None:
    """Note the ids where later attempts find them fastest. The platform remains the record."""
    if job.memory is None:
        return
    ids = {label: batch.id for label, batch in batches.items()}
    note = JobNote(job=job.key, batches=ids, fresh=job.fresh)
    try:
        job.memory.set(NOTE_KEY, note.to_dict())
    except Exception as error:  # whatever Airflow's store raises: it only saves time
        job.calls.log.warning("The batch ids could not be noted in the task state store: %s", error)


def _recalled(job: Job) -> dict[str, Batch] | None:
    """Read the noted batches, if they are this job's and need not be submitted again."""
    note = _note(job)
    if note is None or note.job != job.key or job.fresh not in (None, note.fresh):
        return None
    return dict(_sorted(job, [_known(job, batch_id) for batch_id in note.batches.values()]).batches)


def _note(job: Job) -> JobNote | None:
    if job.memory is None:
        return None
    try:
        return JobNote.of(job.memory.get(NOTE_KEY))
    except Exception as error:  # whatever Airflow's store raises: it only saves time
        job.calls.log.warning("The task state store could not be read: %s", error)
        return None


def _known(job: Job, batch_id: str) -> Batch:
    try:
        return job.calls.read(lambda: job.calls.hook.get_batch(batch_id))
    except KimiApiError as error:
        if error.status_code != 404:
            raise
        raise KimiBatchError(
            f"Batch {batch_id}, which an earlier attempt of this task submitted, is unknown to the account of "
            f"connection {job.calls.hook.kimi_conn_id!r} at {job.calls.hook.settings.base_url}. It is most likely "
            "alive, and billed, under another key or region. Nothing was sent now. Give the connection the key it had, "
            "then clear this task; or set reuse='never' to pay for the work again."
        ) from None
