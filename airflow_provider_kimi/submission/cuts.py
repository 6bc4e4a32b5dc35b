"""Cuts: whether the rows of a shard are in one batch or in those of its parts, as the batches that are found say."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import by_age, is_lost, may_have_answers, newest_work


class _Named(NamedTuple):
    name: ShardName
    batch: Batch


class Cuts:
    """What is known of the cuts of a job.

    Every attempt comes to the same, whatever it sees first. Of batches that live or are done, what held all rows first
    counts: the whole or its parts. So whoever comes later sees that he is late. Parts that lack rows count where there
    is no whole. Where nothing lives or is done, the whole counts that ended with answers, before its parts.

    :param found: Batches of all rounds.
    :param job: Key of the job.
    :param fresh: Mark of an attempt that pays for fresh work: only what it made itself counts.
    """

    def __init__(self, found: Iterable[Batch], job: str, fresh: str | None) -> None:
        self._by_number: dict[int, list[_Named]] = defaultdict(list)
        for batch in sorted(found, key=by_age):
            tags = Tags.of(batch)
            if tags.job_key == job and fresh in (None, tags.attempt) and (name := tags.shard_name):
                self._by_number[name.number].append(_Named(name, batch))

    def is_cut(self, wanted: ShardName) -> bool | None:
        """Whether a shard, or a part of one, was cut; None if no batch says so."""
        inside = [each for each in self._by_number[wanted.number] if wanted.holds(each.name)]
        usable = {batch.id for batch in newest_work(each.batch for each in inside if not is_lost(each.batch))}
        if usable:
            return _held_first_by_parts(wanted, [each for each in inside if each.batch.id in usable])
        answered = [each for each in inside if may_have_answers(each.batch)]
        return all(each.name != wanted for each in answered) if answered else None


def _held_first_by_parts(wanted: ShardName, usable: Sequence[_Named]) -> bool:
    """Whether parts held all rows before the whole did, or there is no whole.

    :param usable: The oldest first.
    """
    whole = next((each.batch for each in usable if each.name == wanted), None)
    if whole is None:
        return True
    before = [each.name for each in usable if (each.batch.created_at or 0) < (whole.created_at or 0)]
    return wanted.consists_of(before)
