"""Settle: agree with attempts at the same time, and withdraw what the list cannot prove to be the only batch."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import cancel_batch
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import EarlierWork, earlier_work, named
from airflow_provider_kimi.submission.job import Job

#: Pause between the creates and the search for others of the same work, so that two creates differ in their second.
SETTLE_SECONDS = 1.0

#: The same where others may be submitting now: siblings of a mapped task, whose input may be equal.
SIBLINGS_SETTLE_SECONDS = 12.0

#: The same where an earlier create may still be carried out: by a predecessor that is alive, or behind a gateway that
#: gave up on it. More than twice the usual lag of the list, so that one of any two attempts sees the batches of both.
RETRY_SETTLE_SECONDS = 25.0

#: Pauses before each further look whether the list shows what was made. Until it does, it proves nothing.
PROOF_PAUSES_SECONDS = (35.0, 60.0)


class Uploaded(NamedTuple):
    """A shard whose input file is on the platform, and whose batch is still to be created.

    :param tags: Those of the batch.
    :param is_new: Whether this attempt has uploaded it.
    :param is_unsure: Whether an earlier attempt has too, and may have created its batch unseen.
    :param may_wait: Whether more money may help where too little refuses it.
    """

    file_id: str
    rows: int
    tags: Tags
    is_new: bool = False
    is_unsure: bool = False
    may_wait: bool = True


class Refusal(NamedTuple):
    """A shard that was refused, and may be taken later.

    :param label: Of its batch.
    """

    label: str
    error: KimiError


@dataclass
class Made:
    """What an attempt has come to so far; a kill or a timeout finds here what exists.

    :param job: The job, its shards cut as they are by now.
    :param batches: The batches of this job, found or made, by their label.
    :param own: Ids of those that this attempt has made.
    :param unsure: Shards of which an earlier create may have been carried out unseen.
    :param open_marks: Marks of creates whose fate is not known.
    :param ended: Batches of the same shards that ended before, and hold the answers that these were not asked for.
    :param later: Batches of further rounds of the same shards.
    :param pending: Shards that are uploaded, and whose batch is still to be created, by their label.
    :param waits: Whether what finds no room is created later.
    :param has_turns: Whether it waits for room in the account, for which others may wait too.
    :param refusal: What the platform has not taken, for lack of room; None if it has taken all so far.
    """

    job: Job
    batches: dict[str, Batch]
    unsure: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    open_marks: set[str] = field(default_factory=set)
    ended: dict[str, tuple[Batch, ...]] = field(default_factory=dict)
    later: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)
    pending: dict[str, Uploaded] = field(default_factory=dict)
    waits: bool = False
    has_turns: bool = False
    refusal: Refusal | None = None

    def is_unsure(self, label: str) -> bool:
        """Whether an earlier create of these rows may have been carried out unseen."""
        name, unsure = ShardName.of(label), map(ShardName.of, self.unsure)
        return label in self.unsure or (name is not None and any(whole and whole.holds(name) for whole in unsure))

    def in_order(self) -> list[Batch | Uploaded]:
        """All batches in the order of the input, those of each shard in the order of their rounds."""
        return [
            batch
            for label in self.job.labels
            for batch in (*self.ended.get(label, ()), self.first(label), *self.later.get(label, ()))
            if batch is not None
        ]

    def first(self, label: str) -> Batch | Uploaded | None:
        """The batch of a shard, or what is there of it."""
        return self.batches.get(label) or self.pending.get(label)

    def all(self) -> list[Batch]:
        """The batches, in no order."""
        others = (*self.ended.values(), *self.later.values())
        return [*self.batches.values(), *(batch for of_shard in others for batch in of_shard)]


def settle(job: Job, made: Made) -> None:
    """Search again after creating, and keep one batch for each shard where several attempts have made one.

    All attempts choose the same one, and each cancels only what its own task instance has made.

    :raises KimiBatchError: An earlier batch may exist, and the list does not show even the one that was made now. It
        is cancelled, because two of them would be paid.
    """
    doubtful = {batch.id for label, batch in made.batches.items() if made.is_unsure(label)} & made.own
    for pause in (RETRY_SETTLE_SECONDS, *PROOF_PAUSES_SECONDS) if doubtful else (_first_pause(job),):
        job.calls.sleep(pause)
        try:
            found = _searching(job, made).find(job.concerns).batches
        except KimiError as error:
            job.calls.log.warning("Could not check whether another attempt has submitted the same: %s", error)
            if not doubtful:
                return
            continue
        listed = {batch.id: batch for batch in found}
        if doubtful <= listed.keys():
            break
    else:
        withdrawn = [batch for batch in made.batches.values() if batch.id in doubtful]
        made.batches = {label: batch for label, batch in made.batches.items() if batch.id not in doubtful}
        raise _withdrawn(job, withdrawn)
    _agree(made, {batch.id: batch for batch in made.batches.values()} | listed)


def _agree(made: Made, known: Mapping[str, Batch]) -> None:
    """Choose the batches that count, and cancel what this task instance has made beside them."""
    for job in (made.job.cut_as(known.values()), made.job):
        earlier = earlier_work(known.values(), job.attempt.task, job.key, job.labels, job.fresh)
        batches = {**made.batches, **earlier.batches}
        if set(job.labels) <= batches.keys() | made.pending.keys():
            break  # else a batch of this attempt has failed, and another one has begun to make its halves
    cancel_duplicates(job, earlier, made.own)
    gone = set(made.job.labels) - set(job.labels)
    made.job, made.batches = job, {label: batch for label, batch in batches.items() if label not in gone}


def _searching(job: Job, made: Made) -> Job:
    """The job as it searches; not patiently where hardly anything can race with it."""
    if made.unsure or job.attempt.number > 1 or job.attempt.task.map_index >= 0:
        return job
    return replace(job, calls=replace(job.calls, is_patient=False))


def _first_pause(job: Job) -> float:
    if job.attempt.number > 1:
        return RETRY_SETTLE_SECONDS
    return SETTLE_SECONDS if job.attempt.task.map_index < 0 else SIBLINGS_SETTLE_SECONDS


def _withdrawn(job: Job, batches: Iterable[Batch]) -> KimiBatchError:
    """Cancel batches of which there may be a second one, and say why."""
    stands = []
    for batch in batches:
        try:
            stands.append(named([cancel_batch(job.calls, batch.id, batch)]))
        except KimiError as error:
            stands.append(f"{batch.id} could not be cancelled ({error})")
    return KimiBatchError(
        "An earlier create of this task may have been carried out, and the list of the account's batches cannot tell: "
        "it does not show even the batch that was made just now. So that nothing is paid twice, its cancel was asked "
        "for. A retry or a clear of this task searches again. If the list stays wrong, look on the console for a batch "
        f"with kimi_job_key={job.key} in its metadata, or set reuse='never' to pay in any case. Made just now: "
        f"{', '.join(stands)}.",
        retryable=True,
    )


def is_ours_alone(job: Job, batch: Batch) -> bool:
    """Whether this task instance has made a batch, and no sibling of a mapped task may have attached to it since."""
    return Tags.of(batch).is_of(job.attempt.task) and job.attempt.task.map_index < 0


def cancel_duplicates(job: Job, earlier: EarlierWork, own: Collection[str] = ()) -> None:
    """Cancel what this task instance has made twice, and name what others may be waiting for.

    Siblings of a mapped task with an equal input share batches. So such a task cancels only what it made just now.

    :param own: Ids of the batches that this attempt has made.
    """
    spare = [batch for batch in earlier.duplicates if batch.id in own or is_ours_alone(job, batch)]
    for batch in spare:
        job.calls.log.warning("Cancelling batch %s: there is another one for the same work.", batch.id)
        try:
            cancel_batch(job.calls, batch.id, batch)
        except KimiError as error:
            job.calls.log.warning("It could not be cancelled, and is billed: %s", error)
    if kept := [batch for batch in (*earlier.duplicates, *earlier.others_duplicates) if batch not in spare]:
        job.calls.log.warning(
            "There are more batches of the same work. They go on and are billed, because another task instance may be "
            "waiting for them: %s.",
            named(kept),
        )
