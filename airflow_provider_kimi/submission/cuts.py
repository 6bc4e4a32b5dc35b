"""Cuts: whether the rows of a shard are in one batch or in those of its parts, as the batches that are found say."""

from collections import defaultdict
from collections.abc import Iterable

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import by_age, is_lost, may_have_answers, newest_work


class Cuts:
    """What is known of the cuts of a job.

    Whatever an attempt has seen first, it comes to the same: of the batches that live or are done, the one with the
    most rows counts; where there is none, the same of those that ended with answers.

    :param found: Batches of all rounds.
    :param job: Key of the job.
    :param fresh: Mark of an attempt that pays for fresh work: only what it made itself counts.
    """

    def __init__(self, found: Iterable[Batch], job: str, fresh: str | None) -> None:
        self._by_number: dict[int, list[tuple[ShardName, Batch]]] = defaultdict(list)
        for batch in sorted(found, key=by_age):
            tags = Tags.of(batch)
            if tags.job_key == job and fresh in (None, tags.attempt) and (name := tags.shard_name):
                self._by_number[name.number].append((name, batch))

    def is_cut(self, wanted: ShardName) -> bool | None:
        """Whether a shard, or a part of one, was cut; None if no batch says so."""
        names = {batch.id: name for name, batch in self._by_number[wanted.number] if wanted.holds(name)}
        inside = [batch for name, batch in self._by_number[wanted.number] if wanted.holds(name)]
        usable = [batch for batch in inside if not is_lost(batch)]
        counting = newest_work(usable) if usable else list(filter(may_have_answers, inside))
        return wanted not in {names[batch.id] for batch in counting} if counting else None
