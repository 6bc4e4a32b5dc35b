"""In flight: how many batches may run, and what is created later, from files that are on the platform by then."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.records.pending import Pending, PendingShard
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import Prepared
from airflow_provider_kimi.submission.create import create_uploaded
from airflow_provider_kimi.submission.failing import failing_with
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import Made, Uploaded, settle


@dataclass(frozen=True)
class InFlight:
    """How many batches may run at a time.

    :param most: Of the task; None for no limit.
    :param is_pilot: Whether the first batch is to have ended before there is another.
    """

    most: int | None = None
    is_pilot: bool = False

    def room(self, running: int, made: int = 0) -> float:
        """How many more may be created.

        :param running: How many batches of the task run.
        :param made: How many batches of the round exist.
        """
        if self.is_pilot and made < 2:  # behind a pilot that has passed there are others
            return 1 - made
        return math.inf if self.most is None else max(0, self.most - running)


@dataclass(frozen=True, kw_only=True)
class PendingJob(Job):
    """A job whose requests were read, checked and uploaded by the same attempt, in another process perhaps.

    :param pending: What is to be created of it.
    :param others: Batches of the task that exist.
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


def parted(in_order: Iterable[Batch | Uploaded], since: int | None = None) -> tuple[list[Batch], Pending | None]:
    """Part the batches of a task from what is still to be created.

    :param in_order: Both, in the order of the input.
    :param since: Unix seconds before which no batch of this round was made; None in the first round.
    """
    batches: list[Batch] = []
    shards: list[PendingShard] = []
    tags: Tags | None = None
    for each in in_order:
        if isinstance(each, Batch):
            batches.append(each)
            continue
        shard = PendingShard.of(each.file_id, each.rows, each.tags, is_unsure=each.is_unsure)
        shards.append(msgspec.structs.replace(shard, at=len(batches)))
        tags = each.tags
    return batches, None if tags is None else Pending.of(shards, tags, since)


def create_pending(
    calls: Calls, order: Order, attempt: Attempt, pending: Pending, statuses: Mapping[str, str], room: float
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
        Prepared([], model=str(tags.model), fingerprint="", media={}, skipped=None, notes=()),
        memory=None,
        pending=pending,
        others=len(statuses),
    )
    unsure = {shard.label for shard in pending.shards if shard.is_unsure}
    known = {
        batch_id: Batch(id=batch_id, status=status, metadata=dict(pending.tags))
        for batch_id, status in statuses.items()
    }
    made = Made(job, dict(known), unsure)
    with failing_with(job, made):
        for number, shard in enumerate(pending.shards, 1):
            if number > room:
                break
            uploaded = Uploaded(shard.file_id, shard.rows, pending.tags_of(shard), shard.is_unsure)
            create_uploaded(job, uploaded, made)
            calls.stop.check()
        if made.own:
            settle(job, made)
    return _placed(pending, list(statuses), made)


def _placed(pending: Pending, batch_ids: Sequence[str], made: Made) -> tuple[list[str], Pending | None]:
    created = [made.batches[label].id if label in made.batches else None for label in map(_label, pending.shards)]
    placed, left = pending.without(created)
    ids = list(batch_ids)
    for at, batch_id in placed:
        ids.insert(at, batch_id)
    return ids, left


def _label(shard: PendingShard) -> str:
    return shard.label
