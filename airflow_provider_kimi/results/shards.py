"""The batches of a result by shard: one, or several where a later one was asked for the rest of an earlier one."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.shard_names import ShardName, count_whole
from airflow_provider_kimi.records.tags import Tags

T = TypeVar("T")


def by_shard(items: Iterable[T], batch_of: Callable[[T], Batch]) -> list[list[T]]:
    """Bring together what is of the same shard of the same job, in the order of the first of each.

    The first of a shard was asked for every row, the last for those that no other has answered. The parts of a shard
    stand each for itself, unless its whole batch is there too.

    :param items: In the order of the input.
    """
    shards: dict[str, list[T]] = {}
    largest: dict[tuple[str | None, int | None], Tags] = {}
    for item in items:
        batch = batch_of(item)
        tags = Tags.of(batch)
        number = tags.job_key, tags.shard_number
        if number not in largest or not _holds(largest[number], tags):
            largest[number] = tags
        shards.setdefault(largest[number].work or batch.id, []).append(item)
    return list(shards.values())


def lacking_shards(batches: Iterable[Batch]) -> str:
    """Say which jobs have batches that are not among these; empty if none has, as far as their tags say."""
    names: dict[tuple[str | None, int], list[ShardName]] = defaultdict(list)
    for tags in map(Tags.of, batches):
        if tags.shard_name:
            names[tags.job_key, tags.shard_name.shards].append(tags.shard_name)
    there = {(job, count): count_whole(found) for (job, count), found in names.items()}
    return ", ".join(f"{have} of the {count} of job {job}" for (job, count), have in there.items() if have < count)


def saved_elsewhere(batches: Iterable[Batch]) -> str:
    """Say whose rows were not sent, and so are not among those of batches; empty if that is said of none."""
    tasks = {
        f"task {tags.task_id} of DAG {tags.dag_id}, run {tags.run_id}" for tags in map(Tags.of, batches) if tags.saved
    }
    return "; ".join(sorted(tasks))


def _holds(whole: Tags, tags: Tags) -> bool:
    """Whether all rows of a batch are of another one, of whatever round."""
    return bool(whole.shard_name and tags.shard_name and whole.shard_name.holds(tags.shard_name))


def batches_by_shard(batches: Iterable[Batch]) -> list[list[Batch]]:
    """Bring together the batches of the same shard."""
    return by_shard(batches, lambda batch: batch)
