"""Later: batches of what this attempt has uploaded already, created as there is room for them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from msgspec.structs import replace as with_fields

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.pending import Pending, PendingShard, in_order, parted
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import Prepared
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.submission.create import create_uploaded
from airflow_provider_kimi.submission.earlier_work import earlier_work, is_lost, live, may_have_answers, named
from airflow_provider_kimi.submission.failing import failing_with
from airflow_provider_kimi.submission.halving import FEWEST_ROWS, halves_of, is_its_size
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight, Room, is_too_large
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import Made, Uploaded, settle


@dataclass(frozen=True, kw_only=True)
class PendingJob(Job):
    """A job whose requests were read, checked and uploaded by the same attempt, in another process perhaps.

    :param pending: What is to be created of it.
    :param others: How many batches of the task exist.
    """

    pending: Pending
    others: int

    @cached_property
    def key(self) -> str:
        """Name of the work."""
        return str(Tags.of_pairs(self.pending.tags).job_key)

    @property
    def labels(self) -> list[str]:
        """The label of each batch that is to be created, in order."""
        return [shard.label for shard in self.pending.shards]

    def cut_as(self, found: Iterable[Batch]) -> Self:
        """The job as it is: its lines are not here, and it was cut when they were uploaded."""
        return self

    def name(self, shard: Shard) -> ShardName:
        """Name a shard, or a part of one."""
        count = Tags(shard=self.pending.shards[0].shard).shard_count
        return ShardName(shard.number, count or len(self.pending.shards), shard.part)

    @property
    def batch_count(self) -> int:
        """How many batches it makes."""
        return self.others + len(self.pending.shards)

    def concerns(self, batch: Batch) -> bool:
        """Whether a batch is of this job, or of this task instance."""
        tags, since = Tags.of(batch), self.pending.since
        is_ours = tags.job_key == self.key or tags.is_of(self.attempt.task)
        is_new = since is None or not tags.round or (batch.created_at or math.inf) >= since
        return is_ours and is_new


def pending_of(
    merged: Sequence[Batch | Uploaded], made: Made, since: int | None = None
) -> tuple[list[Batch], Pending | None]:
    """Part the batches of a task from what is still to be created.

    :param merged: Both, in the order of the input.
    :param since: Unix seconds before which no batch of this round was made; None in the first round.
    """
    batches = [each for each in merged if isinstance(each, Batch)]
    if len(batches) == len(merged):
        return batches, None
    tags = next(each.tags for each in merged if isinstance(each, Uploaded))
    _, shards = parted(each.id if isinstance(each, Batch) else _noted(each, made) for each in merged)
    return batches, with_fields(Pending.of(shards, tags, since), has_turns=made.has_turns)


def _noted(shard: Uploaded, made: Made) -> PendingShard:
    noted = PendingShard.of(shard.file_id, shard.rows, shard.tags, is_unsure=shard.is_unsure)
    return _counted(noted, made)


def create_pending(
    calls: Calls, order: Order, attempt: Attempt, pending: Pending, statuses: Mapping[str, str], in_flight: InFlight
) -> tuple[list[str], Pending | None]:
    """Create what there is room for, in order; return the batches of the task, and what is still to be created.

    :param statuses: The batches of the task so far with their statuses, in the order of the input.
    :raises KimiError: The platform refused, or did not answer.
    """
    tags = Tags.of_pairs(pending.tags)
    job = PendingJob(
        calls,
        order,
        replace(attempt, mark=tags.attempt or attempt.mark),
        Prepared(
            [],
            model=str(tags.model),
            fingerprint="",
            media={},
            skipped=None,
            notes=(),
            preview_of=tags.preview_rows,
        ),
        memory=None,
        pending=pending,
        others=len(statuses),
    )
    unsure = {shard.label for shard in pending.shards if shard.is_unsure}
    known = {
        batch_id: Batch(id=batch_id, status=status, metadata=dict(pending.tags))
        for batch_id, status in statuses.items()
    }
    made = Made(job, dict(known), unsure, waits=True)
    with failing_with(job, made):
        _attach_to_siblings(job, made)
        running = len(live(made.batches.values()))
        just_ended = 0 if pending.has_turns or in_flight.most is None else in_flight.most - running
        pending = _halved(job, made, running)
        made.job = job = replace(job, pending=pending)
        room = in_flight.room(calls, running, just_ended=just_ended)
        _create_some(job, made, room, running)
        if made.own:
            settle(job, made)
    return _left(pending, list(statuses), made, has_turns=made.has_turns or room.has_turns)


def _attach_to_siblings(job: PendingJob, made: Made) -> None:
    """Find what another instance of a mapped task, with an equal input, has created while this one waited.

    :raises KimiBatchError: It has cut a shard in another way.
    """
    if job.attempt.task.map_index < 0:
        return
    listed = job.find(job.concerns).batches
    found = earlier_work(listed, job.attempt.task, job.key, job.labels, job.fresh)
    made.batches |= found.batches
    for batch in found.batches.values():
        job.calls.log.info("Attached to batch %s (%s): another instance has created it.", batch.id, batch.status)
    if cut := [batch for batch in listed if _is_cut_otherwise(job, batch)]:
        raise KimiBatchError(
            "Another instance of this mapped task has an equal input, and has cut a shard in another way. Nothing was "
            f"created for that now. A retry or a clear of this task attaches to its batches: {named(cut)}.",
            retryable=job.fresh is None,
        )


def _is_cut_otherwise(job: PendingJob, batch: Batch) -> bool:
    """Whether a batch lives or has answers to rows of a shard, or part of one, that is still to be created."""
    tags = Tags.of(batch)
    if tags.label in job.labels or job.fresh not in (None, tags.attempt):
        return False
    if is_lost(batch) and not may_have_answers(batch):
        return False
    return any(tags.meets(job.pending.tags_of(shard)) for shard in job.pending.shards)


def _halved(job: PendingJob, made: Made, running: int) -> Pending:
    """Put the halves of the first shard into its place, if its size is why it was refused."""
    pending = job.pending
    first, *others = pending.shards
    if not is_its_size(job, first, running):
        return pending
    return with_fields(pending, shards=(*halves_of(job, first, pending.tags_of(first), made), *others))


def _create_some(job: PendingJob, made: Made, room: Room, running: int) -> None:
    left = [shard for shard in job.pending.shards if shard.label not in made.batches]
    for number, shard in enumerate(left, 1):
        if number > room.batches or made.refusal is not None:
            return
        tags = job.pending.tags_of(shard)
        may_wait = shard.rows > FEWEST_ROWS or not is_its_size(job, shard, running)
        uploaded = Uploaded(shard.file_id, shard.rows, tags, is_unsure=shard.is_unsure, may_wait=may_wait)
        if not create_uploaded(job, uploaded, made):
            raise KimiBatchError(
                f"The platform takes no batch of the input file {shard.file_id!r} any more, which this task has "
                "uploaded. If it was deleted, a retry or a clear of this task uploads it again. If the connection has "
                "another key or region now, give it back the one it had before: else all rows are paid again.",
                retryable=job.fresh is None,
            )
        job.calls.stop.check()
        if shard.refusals:
            made.has_turns = True  # whether it is taken now is seen before the next one is tried
            return


def _left(pending: Pending, batch_ids: list[str], made: Made, *, has_turns: bool) -> tuple[list[str], Pending | None]:
    """Put the batches that exist now into their places, and note what is left."""
    merged: list[str | PendingShard] = []
    for each in in_order(batch_ids, pending.shards):
        if isinstance(each, str):
            merged.append(each)
        else:
            batch = made.batches.get(each.label)
            merged.append(_counted(each, made) if batch is None else batch.id)
    ids, shards = parted(merged)
    if not shards:
        return ids, None
    idle_since = None if made.own else pending.idle_since
    return ids, with_fields(pending, shards=shards, has_turns=has_turns, turn_at=None, idle_since=idle_since)


def _counted(shard: PendingShard, made: Made) -> PendingShard:
    """Count its refusal, if it was refused while no batch of the task ran, and a smaller one might not have been."""
    refusal = made.refusal
    if refusal is None or refusal.label != shard.label or not is_too_large(refusal.error) or live(made.all()):
        return shard
    return with_fields(shard, refusals=shard.refusals + 1)
