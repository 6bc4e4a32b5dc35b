"""Whether to pay: what earlier attempts of the same work left on the platform decides."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_kimi.api.models import ACTIVE_STATUSES, Batch
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.tags import Tags, TaskIdentity

#: Ends after which the work has to be done again. Any other status, known or not, is work that lives or is done.
_LOST_STATUSES = frozenset({"failed", "expired", "cancelled", "cancelling"})


@dataclass(frozen=True)
class EarlierWork:
    """What earlier attempts left on the platform.

    :param batches: The batch of each shard that need not be submitted again, by its `kimi_shard`.
    :param duplicates: Batches that race with one of these and can still be cancelled: the same rows, paid twice.
    :param other: Live or completed work of this very task instance that is not wanted now.
    """

    batches: Mapping[str, Batch] = field(default_factory=dict)
    duplicates: tuple[Batch, ...] = ()
    other: tuple[Batch, ...] = ()

    @property
    def replaced(self) -> tuple[Batch, ...]:
        """Work from another input, if nothing says yet that this one is wanted as well."""
        return () if self.batches else self.other


def earlier_work(
    found: Iterable[Batch], task: TaskIdentity, job: str, labels: Collection[str], fresh: str | None = None
) -> EarlierWork:
    """Sort the batches of one account.

    Batches of one shard that were made by attempts which should have attached to each other race: every attempt
    chooses the same of them, the oldest, then the smallest id, and the others are duplicates. Batches that an attempt
    paid for again on purpose (`reuse="never"`) do not race with those it passed over; of all, the newest work counts.

    :param job: Key of the job that is wanted now.
    :param labels: The `kimi_shard` of each of its batches.
    :param fresh: Mark of this attempt where it pays for fresh work: only what it made itself is then its own.
    """
    races: dict[str, dict[str | None, list[Batch]]] = {}
    other: list[Batch] = []
    for batch in sorted(found, key=_by_age):
        tags = Tags.of(batch)
        if batch.status in _LOST_STATUSES:
            continue
        if tags.job_key == job and tags.shard in labels and fresh in (None, tags.attempt):
            races.setdefault(str(tags.shard), {}).setdefault(tags.attempt, []).append(batch)
        elif tags.is_of(task):
            other.append(batch)
    chosen = {label: max(by_mark.values(), key=lambda racing: _by_age(racing[0])) for label, by_mark in races.items()}
    return EarlierWork(
        {label: racing[0] for label, racing in chosen.items()},
        tuple(batch for racing in chosen.values() for batch in racing[1:] if batch.is_cancellable),
        tuple(other),
    )


def _by_age(batch: Batch) -> tuple[int, str]:
    return batch.created_at or 0, batch.id


def live(batches: Iterable[Batch]) -> list[Batch]:
    """Those that go on and will be billed."""
    return [batch for batch in batches if batch.status in ACTIVE_STATUSES]


def what_changed(old: Collection[Batch], new: Tags, shards: int, requests: int) -> str:
    """Name the differences between the work that was found and the one that is wanted, as far as tags say.

    :param new: The tags of the new work's first batch.
    """
    tags = list(map(Tags.of, old))
    total = sum(batch.counts.total for batch in old)
    known = {"prompt_fingerprint": "the prompt", "model": "the model", "params": "request parameters"}
    changes = [what for field, what in known.items() if _differs(field, tags, new)]
    if total and total != requests:
        changes.append(f"the number of requests ({total:,} then, {requests:,} now)")
    if len(tags) != shards:
        changes.append(f"the number of batches ({len(tags)} then, {shards} now)")
    if not changes:
        changes.append("what the rows hold, or how they are cut into batches")
    return ", ".join(changes)


def _differs(field: str, tags: Iterable[Tags], new: Tags) -> bool:
    then = {getattr(tag, field) for tag in tags} - {None}
    return bool(then) and getattr(new, field) not in then


def changed_input(other: Iterable[Batch], task: TaskIdentity, changes: str) -> KimiInputError:
    """Refuse to pay for a second input of one task instance without being told to."""
    return KimiInputError(
        f"An earlier attempt of task {task.task_id} in run {task.run_id} submitted other requests than this would. "
        f"Changed: {changes}. Nothing was sent now. Give the earlier input to attach to its batches; or set "
        "on_changed_input='fresh' to pay for the new one as well, or 'cancel_and_fresh' to cancel first what still "
        f"runs. Its batches go on or are done, and are billed: {named(other)}."
    )


def named(batches: Iterable[Batch], most: int = 5) -> str:
    """List batches with their statuses, the first ones only where they are many."""
    texts = [f"{batch.id} ({batch.status})" for batch in batches]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
