"""Taken back: batches that the platform has accepted and then failed for lack of room. They cost nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from airflow_provider_kimi.api.errors import is_by_size, is_full_queue, is_lack_of_money
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.pending import Pending, PendingShard, in_order, parted
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.shortfall import reasons_in
from airflow_provider_kimi.submission.halving import FEWEST_ROWS, REFUSALS
from airflow_provider_kimi.submission.in_flight import LONGEST_RUN_SECONDS, is_used_up


class _Refused(NamedTuple):
    """A batch that found no room.

    :param reason: What the platform says, or is taken to mean.
    """

    batch: Batch
    reason: str


def take_back(
    calls: Calls, event: BatchEvent, batch_ids: Sequence[str], pending: Pending | None
) -> tuple[list[str], Pending | None, bool]:
    """Make batches that failed for lack of room ones that are still to be created.

    Return the other batches, what is to be created, and whether any was taken back.
    """
    ends = {batch_id: event.batches[batch_id] for batch_id in batch_ids if batch_id in event.batches}
    failed = {batch_id: end for batch_id, end in ends.items() if end.status == "failed" and not end.completed}
    found = {batch_id: _refused(calls, batch_id, end) for batch_id, end in failed.items()}
    shards = _as_shards(calls, [one for one in found.values() if one is not None])
    if not shards:
        return list(batch_ids), pending, False
    merged = in_order(batch_ids, pending.shards if pending else ())
    left, to_create = parted(shards.get(each, each) if isinstance(each, str) else each for each in merged)
    calls.log.warning(
        "The platform had no room for %s, which cost nothing. It is created again later.", _names(shards, found)
    )
    pending = pending or _begun([one.batch for one in found.values() if one is not None])
    return left, replace(pending, shards=to_create, has_turns=True, turn_at=None), True


def _names(shards: Mapping[str, PendingShard], found: Mapping[str, _Refused | None]) -> str:
    """Name the batches that were taken back, each with its shard and what the platform says."""
    reasons = {batch_id: one.reason for batch_id, one in found.items() if one is not None}
    return ", ".join(f"{batch_id} ({shard.label}; {reasons[batch_id]})" for batch_id, shard in shards.items())


def _begun(batches: Sequence[Batch]) -> Pending:
    return Pending.of((), Tags.of(batches[0]), min(batch.created_at or 0 for batch in batches))


def _refused(calls: Calls, batch_id: str, end: BatchEnd) -> _Refused | None:
    """Read why a batch failed; None if it was not for lack of room, or cannot be created again from its own tags."""
    try:
        reason = reasons_in(calls, end.error_file_id) if end.error_file_id else "insufficient balance, most likely"
        is_for_money = is_lack_of_money(reason)
        if not (is_full_queue(reason) or is_for_money) or (is_for_money and is_used_up(calls)):
            return None
        batch = calls.read_batch(batch_id)
    except KimiError as error:
        calls.log.warning("Why batch %s failed could not be read: %s", batch_id, error)
        return None
    tags = Tags.of(batch)
    return _Refused(batch, reason) if tags.is_ours and tags.shard and batch.input_file_id else None


def _as_shards(calls: Calls, refused: Sequence[_Refused]) -> dict[str, PendingShard]:
    """Note batches as shards that are to be created, but those that the balance will not allow however long one waits.

    How often a shard has failed is read off the list.
    """
    if not refused:
        return {}
    works = [_work(one.batch) for one in refused]
    failures: Counter[tuple[str | None, str | None]] = Counter(works)
    has_others = True
    try:
        listed = find_batches(calls, lambda _: True, since=calls.now() - LONGEST_RUN_SECONDS).batches
        failures |= Counter(_work(each) for each in listed if each.status == "failed" and not each.counts.completed)
        has_others = not all(batch.is_terminal for batch in listed)
    except KimiError as error:
        calls.log.warning("How often these batches have failed could not be read: %s", error)
    return {
        one.batch.id: PendingShard.of(
            str(one.batch.input_file_id),
            one.batch.counts.total,
            Tags.of(one.batch),
            refusals=failures[work] if is_by_size(one.reason) else 0,
        )
        for one, work in zip(refused, works, strict=True)
        if has_others or not _is_vain(one, failures[work])
    }


def _work(batch: Batch) -> tuple[str | None, str | None]:
    tags = Tags.of(batch)
    return tags.job_key, tags.label


def _is_vain(one: _Refused, failures: int) -> bool:
    """Whether few rows have failed again for lack of money though nothing runs."""
    return failures >= REFUSALS and one.batch.counts.total <= FEWEST_ROWS and is_lack_of_money(one.reason)
