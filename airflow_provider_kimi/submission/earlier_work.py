"""Whether to pay: what earlier attempts of the same work left on the platform decides."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags, TaskIdentity

#: Ends after which the work has to be done again. Any other status, known or not, is work that lives or is done.
_LOST_STATUSES = frozenset({"failed", "expired", "cancelled", "cancelling"})


@dataclass(frozen=True)
class EarlierWork:
    """What earlier attempts left on the platform.

    Batches are listed by their label: their `kimi_shard`, with the round where it is not the first.

    :param batches: Those that need not be submitted again.
    :param duplicates: Batches of this very task instance that race with one of these and can still be cancelled: the
        same rows, paid twice.
    :param others_duplicates: The same of other task instances, which may be waiting for them.
    :param ended: Batches of this job that ended before they were done, the oldest first.
    :param other: Live or completed work of this very task instance that is not wanted now.
    """

    batches: Mapping[str, Batch] = field(default_factory=dict)
    duplicates: tuple[Batch, ...] = ()
    others_duplicates: tuple[Batch, ...] = ()
    ended: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)
    other: tuple[Batch, ...] = ()

    @property
    def replaced(self) -> tuple[Batch, ...]:
        """Work from another input, if nothing says yet that this one is wanted as well."""
        return () if self.batches else self.other


def earlier_work(
    found: Iterable[Batch], task: TaskIdentity, job: str, labels: Collection[str], fresh: str | None = None
) -> EarlierWork:
    """Sort out the batches that a search has found.

    Of the batches of one shard, every attempt chooses the same, whenever it searches: the oldest. Batches that an
    attempt paid for again on purpose (`reuse="never"`) do not race with those it passed over; of all, the newest work
    counts.

    :param job: Key of the job that is wanted now.
    :param labels: Those of its batches.
    :param fresh: Mark of this attempt where it pays for fresh work: only what it made itself is then its own.
    """
    oldest_first = sorted(found, key=by_age)
    own_rounds, unwanted = _parted(oldest_first, lambda batch: _is_of_job(Tags.of(batch), job, labels, fresh))
    wanted = [batch for batch in own_rounds if Tags.of(batch).label in labels]
    lost, usable = _parted(wanted, is_lost)
    chosen = {label: choose(newest_work(made)) for label, made in _by_label(usable).items()}
    own, others = _parted(_spare(oldest_first, chosen.values()), lambda batch: Tags.of(batch).is_of(task))
    ended = {label: tuple(batches) for label, batches in _by_label(lost).items()}
    other = [
        batch
        for batch in unwanted
        if (tags := Tags.of(batch)).is_of(task) and not is_lost(batch) and (fresh or tags.job_key != job)
    ]
    return EarlierWork(chosen, tuple(own), tuple(others), ended, tuple(other))


def _spare(found: Iterable[Batch], chosen: Collection[Batch]) -> list[Batch]:
    """Those that race with batches that are chosen: they have the same rows, or some of them, or came after them."""
    ids = {batch.id for batch in chosen}
    return [batch for batch in found if batch.is_cancellable and batch.id not in ids and _races(batch, chosen)]


def _races(batch: Batch, chosen: Iterable[Batch]) -> bool:
    tags = Tags.of(batch)
    name, parts = tags.shard_name, list[ShardName]()
    for other in chosen:
        others = Tags.of(other)
        if tags.attempt != others.attempt or not tags.meets(others):
            continue
        if name is None or others.shard_name is None or others.shard_name.holds(name):
            return True
        if (other.created_at or 0) < (batch.created_at or 0):
            parts.append(others.shard_name)
    return name is not None and name.consists_of(parts)


def _parted(batches: Iterable[Batch], belongs: Callable[[Batch], bool]) -> tuple[list[Batch], list[Batch]]:
    """Those that belong, and the others."""
    parts: tuple[list[Batch], list[Batch]] = ([], [])
    for batch in batches:
        parts[not belongs(batch)].append(batch)
    return parts


def _is_of_job(tags: Tags, job: str, labels: Collection[str], fresh: str | None) -> bool:
    """Whether a batch is wanted, or is of a further round of this job."""
    return tags.job_key == job and fresh in (None, tags.attempt) and (tags.label in labels or tags.round is not None)


def _by_label(batches: Iterable[Batch]) -> dict[str, list[Batch]]:
    found: dict[str, list[Batch]] = {}
    for batch in batches:
        found.setdefault(str(Tags.of(batch).label), []).append(batch)
    return found


def newest_work(racing: Iterable[Batch]) -> list[Batch]:
    """Of the batches of one shard, or of parts of it, those that were paid for on purpose last, the oldest first."""
    by_mark: dict[str | None, list[Batch]] = {}
    for batch in racing:
        by_mark.setdefault(Tags.of(batch).attempt, []).append(batch)
    return max(by_mark.values(), key=lambda made: by_age(made[0]), default=[])


def choose(racing: Iterable[Batch]) -> Batch:
    """Choose the batch of a shard that counts, of several that race: the oldest, then the smallest id."""
    return min(racing, key=by_age)


def by_age(batch: Batch) -> tuple[int, str]:
    """Sorts batches, the oldest first, in the same order for everybody."""
    return batch.created_at or 0, batch.id


def may_have_answers(batch: Batch) -> bool:
    """Whether rows of a batch that ended early were done, or may still be, which are paid."""
    if not batch.is_terminal or batch.output_file_id is not None or batch.counts.completed > 0:
        return True
    return batch.status != "failed" and batch.request_counts is None


def is_untouched(batch: Batch) -> bool:
    """Whether a batch runs and no row of it is done, as in the minute after its create."""
    return not batch.is_terminal and not batch.counts.completed and not batch.counts.failed


def is_lost(batch: Batch) -> bool:
    """Whether the work of a batch has to be done again."""
    return batch.status in _LOST_STATUSES


def live(batches: Iterable[Batch]) -> list[Batch]:
    """Those that go on and will be billed; a status that is not documented counts as one of them."""
    return [batch for batch in batches if not batch.is_terminal]


def what_changed(old: Collection[Batch], new: Tags, shards: int, requests: int) -> str:
    """Name the differences between the work that was found and the one that is wanted, as far as tags say.

    :param new: The tags of the new work's first batch.
    """
    old = [batch for batch in old if not Tags.of(batch).round]
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
    """Refuse to pay for a second input of one task instance that was not asked for."""
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
