"""Whether to pay: what an earlier attempt of the same work left on the platform decides."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import TaskIdentity, is_of_instance, shard_label
from airflow_provider_kimi.exceptions import KimiInputError

#: `auto` attaches to live or completed work of the same job; `never` always submits anew.
Reuse = Literal["auto", "never"]

#: `fail` sends nothing where a row cannot be sent; `skip` leaves it out.
OnInvalidRow = Literal["fail", "skip"]

#: Ends after which the work has to be done again. Any other status, known or not, is work that lives or is done.
_LOST_STATUSES = frozenset({"failed", "expired", "cancelled", "cancelling"})


class EarlierWork(NamedTuple):
    """What earlier attempts left on the platform.

    :param batches: The batch of each shard that need not be submitted again, by its `kimi_shard`.
    :param other: Live or completed work of this very task instance from another input.
    """

    batches: dict[str, Batch]
    other: list[Batch]


def earlier_work(found: Iterable[Batch], task: TaskIdentity, job: str, shards: int) -> EarlierWork:
    """Sort the batches of one account.

    Where several fit one shard, every attempt chooses the same: the oldest, then the smallest id.

    :param job: Key of the job that is wanted now.
    :param shards: Into how many it is cut.
    """
    wanted = {shard_label(number, shards) for number in range(1, shards + 1)}
    batches: dict[str, Batch] = {}
    other: list[Batch] = []
    for batch in sorted(found, key=lambda batch: (batch.created_at or 0, batch.id)):
        metadata = batch.metadata or {}
        if batch.status in _LOST_STATUSES:
            continue
        if metadata.get("kimi_job_key") == job and metadata.get("kimi_shard") in wanted:
            batches.setdefault(metadata["kimi_shard"], batch)
        elif is_of_instance(metadata, task):
            other.append(batch)
    return EarlierWork(batches, other)


def check_unchanged(earlier: EarlierWork, task: TaskIdentity) -> None:
    """Refuse to pay for a second input of one task instance without being told to.

    :raises KimiInputError: The task has work from another input, and none from this one.
    """
    if earlier.batches or not earlier.other:
        return
    ids = ", ".join(f"{batch.id} ({batch.status})" for batch in earlier.other[:5])
    more = f" and {len(earlier.other) - 5} more" if len(earlier.other) > 5 else ""
    raise KimiInputError(
        f"An earlier attempt of task {task.task_id} in run {task.run_id} submitted other requests than this one would: "
        "the input, or a parameter that requests are made from, has changed. Its batches go on or are done, and are "
        f"billed: {ids}{more}. Nothing was sent now. Give the earlier input to attach to them, or set reuse='never' to "
        "pay for the new one as well (KimiCancelBatchOperator ends what still runs)."
    )
