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
from airflow_provider_kimi.submission.in_flight import LONGEST_RUN_SECONDS, is_used_up


class _Refused(NamedTuple):
    """A batch that found no room.

    :param is_too_large: Whether a smaller one might have.
    """

    batch: Batch
    is_too_large: bool


def take_back(
    calls: Calls, event: BatchEvent, batch_ids: Sequence[str], pending: Pending | None
) -> tuple[list[str], Pending | None, bool]:
    """Make batches that failed for lack of room ones that are still to be created.

    Return the other batches, what is to be created, and whether any was taken back.
    """
    refused = _refused_of(calls, event, batch_ids)
    if not refused:
        return list(batch_ids), pending, False
    shards = _as_shards(calls, refused)
    merged = in_order(batch_ids, pending.shards if pending else ())
    left, to_create = parted(shards.get(each, each) if isinstance(each, str) else each for each in merged)
    names = ", ".join(f"{batch_id} ({shards[batch_id].label})" for batch_id in refused)
    calls.log.warning("The platform had no room for %s, which cost nothing. It is created again later.", names)
    pending = pending or _begun([one.batch for one in refused.values()])
    return left, replace(pending, shards=to_create, has_turns=True, turn_at=None), True


def _begun(batches: Sequence[Batch]) -> Pending:
    return Pending.of((), Tags.of(batches[0]), min(batch.created_at or 0 for batch in batches))


def _refused_of(calls: Calls, event: BatchEvent, batch_ids: Sequence[str]) -> dict[str, _Refused]:
    """The batches that failed for lack of room before any of their rows was done."""
    ends = {batch_id: event.batches[batch_id] for batch_id in batch_ids if batch_id in event.batches}
    failed = {batch_id: end for batch_id, end in ends.items() if end.status == "failed" and not end.completed}
    found = {batch_id: _refused(calls, batch_id, end) for batch_id, end in failed.items()}
    return {batch_id: one for batch_id, one in found.items() if one is not None}


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
    if not (tags.is_ours and tags.shard and batch.input_file_id):
        return None
    return _Refused(batch, is_by_size(reason))


def _as_shards(calls: Calls, refused: Mapping[str, _Refused]) -> dict[str, PendingShard]:
    """Note batches as shards that are to be created, with how often that has failed so far."""
    works = {(tags.job_key, tags.label) for tags in (Tags.of(one.batch) for one in refused.values())}

    def is_failure(batch: Batch) -> bool:
        tags = Tags.of(batch)
        return batch.status == "failed" and not batch.counts.completed and (tags.job_key, tags.label) in works

    failures: Counter[str | None] = Counter()
    try:
        listed = find_batches(calls, is_failure, since=calls.now() - LONGEST_RUN_SECONDS).batches
        failures.update(Tags.of(batch).label for batch in listed)
    except KimiError as error:
        calls.log.warning("How often these batches have failed could not be read: %s", error)
    return {
        batch_id: PendingShard.of(
            str(batch.input_file_id),
            batch.counts.total,
            Tags.of(batch),
            refusals=max(1, failures[Tags.of(batch).label]) if is_too_large else 0,
        )
        for batch_id, (batch, is_too_large) in refused.items()
    }
