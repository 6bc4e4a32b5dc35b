"""Attach to what earlier attempts submitted, and prove that what was not found does not exist."""

from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import Search
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.records.job_note import NOTE_KEY, JobNote
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import (
    EarlierWork,
    by_age,
    changed_input,
    earlier_work,
    is_lost,
    live,
    may_have_answers,
    named,
    what_changed,
)
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import cancel_duplicates

#: How long a batch may be missing from the list after its create. The platform promises nothing; a later try, whose
#: predecessor may have died a moment ago, searches again after this time before it creates anything.
LIST_LAG_SECONDS = 12.0


class Attached(NamedTuple):
    """What a search for earlier work has come to.

    :param job: The job, cut as earlier attempts have cut it.
    :param batches: The batches that need not be submitted again, by their label.
    :param ended: Batches of the same shards that ended before they were done, with rows that were answered: those that
        one of `batches` has asked for the rest of, and those of shards that are still to be submitted.
    :param is_settled: Whether they were agreed upon with those that submitted the same at that time.
    :param later: Batches of further rounds, by the label of their shard, the oldest first.
    :param unsure: Shards that an earlier attempt has uploaded. The list shows no batch of them, but may be wrong.
    :param replaced: Batches of an earlier input that are to be cancelled, once nothing refuses this one.
    """

    job: Job
    batches: dict[str, Batch]
    ended: dict[str, tuple[Batch, ...]]
    later: Mapping[str, tuple[Batch, ...]] = MappingProxyType({})
    is_settled: bool = False
    unsure: frozenset[str] = frozenset()
    replaced: Sequence[str] = ()


def attach(job: Job) -> Attached:
    """Find the batches that need not be submitted.

    :raises KimiBatchError: It cannot be told whether there are any.
    :raises KimiInputError: The task submitted another input before, and is to stop then.
    """
    noted = None if job.order.has_rounds else _recalled(job)
    if noted is not None and noted.batches.keys() == set(noted.job.labels):
        _log_attached(job, noted.batches.values())
        return noted
    search = job.find(job.concerns)
    job = job.cut_as(search.batches)
    earlier = _sorted(job, search.batches)
    unsure = _uploaded_before(job, earlier)
    if unsure:
        search = _thorough_search(job, unsure)
        job = job.cut_as(search.batches)
        earlier = _sorted(job, search.batches)
    missing = set(job.labels) - earlier.batches.keys()
    if missing and search.gap and not _is_new(job, missing, search):
        raise _unproven(job, missing, unsure, search.gap)
    _log_attached(job, earlier.batches.values())
    cancel_duplicates(job, earlier)
    replaced = _pass_over(job, earlier)
    batches, ended = dict(earlier.batches), _answered(job, earlier)
    later = _later_rounds(job, search.batches, earlier, ended)
    for label in missing:
        if of_shard := _asked_again_in_rounds(job, label, earlier, ended, later):
            ended[label], batches[label] = of_shard[:-1], of_shard[-1]
    unseen = unsure.keys() & missing - batches.keys()
    return Attached(job, batches, ended, later, unsure=frozenset(unseen), replaced=replaced)


def _asked_again_in_rounds(
    job: Job,
    label: str,
    earlier: EarlierWork,
    ended: Mapping[str, tuple[Batch, ...]],
    later: Mapping[str, tuple[Batch, ...]],
) -> tuple[Batch, ...]:
    """Batches of a shard that ended before they were done, and are not to be submitted again: further rounds ask the
    rest. Where such rounds exist, they may have asked for every row again. Where nothing is to be submitted any more,
    or chat calls may have asked the rows, a batch without an answer counts too.
    """
    if label in later or job.order.only_attaches:
        return ended.get(label) or earlier.ended.get(label, ())[-1:]
    if not (job.order.has_rounds and job.order.on_ended == "rest"):
        return ()
    last = earlier.ended.get(label, ())[-1:] if job.order.allow_realtime else ()
    return ended.get(label) or tuple(batch for batch in last if batch.status != "failed")


def _later_rounds(
    job: Job, found: Iterable[Batch], earlier: EarlierWork, ended: Mapping[str, tuple[Batch, ...]]
) -> dict[str, tuple[Batch, ...]]:
    """The batches of further rounds that live or have answers, by the label of their shard, the oldest first.

    Of fresh work that was paid for on purpose, only the rounds count that came after it.

    :param ended: Batches of the first round that ended with answers, before they were done.
    """
    rounds: dict[str, dict[str, Batch]] = {}
    for batch in sorted(found, key=by_age):
        tags = Tags.of(batch)
        shard = str(tags.shard)
        chosen = earlier.batches.get(shard)
        first = [*ended.get(shard, ()), chosen] if chosen else earlier.ended.get(shard, ())
        is_of_job = tags.job_key == job.key and tags.round and (not is_lost(batch) or may_have_answers(batch))
        if is_of_job and first and _goes_on_with(batch, first):
            rounds.setdefault(shard, {}).setdefault(str(tags.round), batch)
    return {shard: tuple(of_shard.values()) for shard, of_shard in rounds.items()}


def _goes_on_with(batch: Batch, first: Sequence[Batch]) -> bool:
    """Whether a batch of a further round goes on with these batches of the first one."""
    is_older = bool(batch.created_at) and (batch.created_at or 0) < (first[0].created_at or 0)
    return not is_older and Tags.of(batch).attempt in (None, Tags.of(first[-1]).attempt)


def _answered(job: Job, earlier: EarlierWork) -> dict[str, tuple[Batch, ...]]:
    """The batches that ended with answers, but those of a shard that was submitted as a whole since."""
    whole = {
        job.label(shard)
        for shard in job.shards
        if (batch := earlier.batches.get(job.label(shard)))
        and Tags.of(batch).input_fingerprint == shard.input_fingerprint
    }
    return {
        label: answered
        for label, ended in earlier.ended.items()
        if label not in whole and (answered := tuple(filter(may_have_answers, _read_again(job, ended))))
    }


def _read_again(job: Job, batches: Iterable[Batch]) -> Iterable[Batch]:
    """Read batches by their ids, since the list may leave out what they hold."""
    return (job.calls.read_batch(batch.id) for batch in batches)


def _uploaded_before(job: Job, earlier: EarlierWork) -> dict[str, list[str]]:
    """Input files of shards without a batch that an earlier attempt has uploaded, by their `kimi_shard`.

    A further round counts whatever it asks for, since attempts may differ in that. Where there is no file, no earlier
    attempt came as far as a create, unless the list of files is not whole.
    """
    if job.attempt.number == 1 or job.fresh is not None or len(earlier.batches) == len(job.labels):
        return {}
    missing = {job.label(shard): shard for shard in job.shards if job.label(shard) not in earlier.batches}
    uploaded = {label: job.uploads_of(shard) for label, shard in missing.items()}
    return {label: ids for label, ids in uploaded.items() if ids or not job.uploads.is_whole}


def _is_new(job: Job, missing: Set[str], search: Search) -> bool:
    """Whether work may be submitted whatever the list leaves out: it is to be paid for in any case, or no search can
    see more, this is the first attempt, and the account keeps none of its input.
    """
    if job.fresh is not None:
        return True
    if job.attempt.number > 1 or not search.is_stuck:
        return False
    uploaded = any(job.uploads_of(shard) for shard in job.shards if job.label(shard) in missing)
    return job.uploads.is_whole and not uploaded


def _thorough_search(job: Job, uploaded: Mapping[str, list[str]]) -> Search:
    """Search again once the list has had its time, also by the input files, and leave nothing out."""
    job.calls.sleep(LIST_LAG_SECONDS)
    file_ids = {file_id for ids in uploaded.values() for file_id in ids}
    return job.find(job.concerns, file_ids=file_ids, is_proof=True)


def _unproven(job: Job, missing: set[str], uploaded: Mapping[str, list[str]], gap: str) -> KimiBatchError:
    files = ", ".join(file_id for ids in uploaded.values() for file_id in ids)
    remedy = (
        "Look on the console for a batch of one of these input files. If there is none, delete the files there and "
        f"clear this task; or set reuse='never' to pay in any case: {files}."
        if files
        else "Clear the task when that has changed; or set reuse='never' to pay in any case."
    )
    return KimiBatchError(
        f"{len(missing)} of this task's {len(job.labels)} batches were not found, and {gap}. Nothing was sent, because "
        f"batches that were not seen may hold this work. {remedy}"
    )


def _log_attached(job: Job, batches: Iterable[Batch]) -> None:
    for batch in batches:
        job.calls.log.info("Attached to batch %s (%s): it is this very work, submitted before.", batch.id, batch.status)


def _sorted(job: Job, batches: Iterable[Batch]) -> EarlierWork:
    return earlier_work(batches, job.attempt.task, job.key, job.labels, job.fresh)


def _pass_over(job: Job, earlier: EarlierWork) -> list[str]:
    """Decide about work of this task instance that is not wanted now; return what of it is to be cancelled."""
    if job.round:
        return []  # it is of the rounds before
    if job.fresh:
        if running := live(earlier.other):
            job.calls.log.warning(
                "Fresh work was asked for. Batches of earlier attempts go on and are billed: %s.", named(running)
            )
        return []
    if not earlier.replaced:
        return []
    task = job.attempt.task
    tags = job.tags(job.prepared.shards[0])
    changes = what_changed(earlier.replaced, tags, len(job.labels), job.prepared.request_count)
    if job.order.on_changed_input == "fail":
        raise changed_input(earlier.replaced, task, changes)
    job.calls.log.warning("The input has changed since an earlier attempt (%s): %s.", changes, named(earlier.replaced))
    if job.order.on_changed_input == "fresh":
        return []
    if task.map_index >= 0:
        job.calls.log.warning("They go on: if the index of a mapped task has moved, they belong to a sibling.")
        return []
    return [batch.id for batch in live(earlier.replaced)]


def warn_of_others(job: Job) -> None:
    """Say which batches of this task instance go on, where a job needs none because every answer is there."""
    found = job.find(lambda batch: Tags.of(batch).is_of(job.attempt.task)).batches
    if running := live(found):
        job.calls.log.warning(
            "Nothing is sent now. Batches of earlier attempts go on and are billed: %s.", named(running)
        )


def remember(
    job: Job, batches: Mapping[str, Batch], ended: Mapping[str, Iterable[Batch]], *, is_settled: bool = False
) -> None:
    """Note the ids where later attempts find them fastest. The platform remains the record."""
    if job.memory is None:
        return
    note = JobNote(
        job=job.key,
        batches={label: batch.id for label, batch in batches.items()},
        ended={label: [batch.id for batch in ended[label]] for label in batches if ended.get(label)},
        is_settled=is_settled,
        fresh=job.fresh,
    )
    try:
        job.memory.set(NOTE_KEY, note.to_dict())
    except Exception as error:  # whatever Airflow's store raises: it only saves time
        job.calls.log.warning("The batch ids could not be noted in the task state store: %s", error)


def _recalled(job: Job) -> Attached | None:
    """Read the noted batches, if they are this job's and need not be submitted again."""
    note = _note(job)
    if note is None or note.job != job.key or job.fresh not in (None, note.fresh):
        return None
    found = [_known(job, batch_id) for batch_id in note.batches.values()]
    job = job.cut_as(found)
    batches = _sorted(job, found).batches
    if batches.keys() != note.batches.keys():
        return None
    ended = {label: tuple(_known(job, batch_id) for batch_id in ids) for label, ids in note.ended.items()}
    return Attached(job, dict(batches), ended, is_settled=note.is_settled)


def _note(job: Job) -> JobNote | None:
    if job.memory is None:
        return None
    try:
        return JobNote.of(job.memory.get(NOTE_KEY))
    except Exception as error:  # whatever Airflow's store raises: it only saves time
        job.calls.log.warning("The task state store could not be read: %s", error)
        return None


def _known(job: Job, batch_id: str) -> Batch:
    """Read a noted batch."""
    try:
        return job.calls.read_batch(batch_id)
    except KimiApiError as error:
        if error.status_code != 404:
            raise
    raise KimiBatchError(
        f"Batch {batch_id}, which an earlier attempt of this task submitted, is unknown to the account of "
        f"connection {job.calls.hook.kimi_conn_id!r} at {job.calls.hook.settings.base_url}. It is most likely "
        "alive, and billed, under another key or region. Nothing was sent now. Give the connection the key it had, "
        "then clear this task; or set reuse='never' to pay for the work again.",
        retryable=True,
    )
