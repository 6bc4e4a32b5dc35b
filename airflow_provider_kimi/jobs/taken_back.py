"""Taken back: batches that the platform has accepted and then failed for lack of room. They cost nothing."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from msgspec.structs import replace

from airflow_provider_kimi.api.errors import is_by_size, is_full_queue, is_lack_of_money
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.fetch import fetch_file
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.pending import Pending, PendingShard, in_order, parted
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.shortfall import reasons_in
from airflow_provider_kimi.submission.earlier_work import may_have_answers
from airflow_provider_kimi.submission.halving import FEWEST_ROWS, REFUSALS
from airflow_provider_kimi.submission.in_flight import LONGEST_RUN_SECONDS, is_used_up


class _Refused(NamedTuple):
    """A batch that found no room.

    :param reason: What the platform says, or is taken to mean.
    :param rows: How many requests it has.
    """

    batch: Batch
    reason: str
    rows: int


def take_back(
    calls: Calls, event: BatchEvent, batch_ids: Sequence[str], pending: Pending | None
) -> tuple[list[str], Pending | None, bool]:
    """Make batches that failed for lack of room ones that are still to be created.

    Return the other batches, what is to be created, and whether any was taken back.
    """
    refused = _all_refused(calls, event, batch_ids)
    listed = _listed(calls) if refused else []
    shards = _as_shards(refused, listed)
    if not shards:
        return list(batch_ids), pending, False
    merged = in_order(batch_ids, pending.shards if pending else ())
    left, to_create = parted(shards.get(each, each) if isinstance(each, str) else each for each in merged)
    names = ", ".join(f"{batch_id} ({shard.label})" for batch_id, shard in shards.items())
    calls.log.warning("The platform had no room for %s, which cost nothing. It is created again later.", names)
    pending = pending or _begun([one.batch for one in refused])
    idle_since = pending.idle_since or _idle_since(calls, refused, listed)
    return left, replace(pending, shards=to_create, has_turns=True, turn_at=None, idle_since=idle_since), True


def _all_refused(calls: Calls, event: BatchEvent, batch_ids: Sequence[str]) -> list[_Refused]:
    ends = {batch_id: event.batches[batch_id] for batch_id in batch_ids if batch_id in event.batches}
    failed = {batch_id: end for batch_id, end in ends.items() if end.status == "failed" and not end.completed}
    return [one for batch_id, end in failed.items() if (one := _refused(calls, batch_id, end)) is not None]


def _begun(batches: Sequence[Batch]) -> Pending:
    return Pending.of((), Tags.of(batches[0]), min(batch.created_at or 0 for batch in batches))


def _refused(calls: Calls, batch_id: str, end: BatchEnd) -> _Refused | None:
    """Read why a batch failed; None if it was not for lack of room, has answers, or cannot be created from its tags."""
    try:
        reason = reasons_in(calls, end.error_file_id) if end.error_file_id else "insufficient balance, most likely"
        is_for_money = is_lack_of_money(reason)
        if not (is_full_queue(reason) or is_for_money) or (is_for_money and is_used_up(calls)):
            return None
        batch = calls.read_batch(batch_id)
        tags = Tags.of(batch)
        if not (tags.is_ours and tags.shard and batch.input_file_id) or may_have_answers(batch):
            return None
        return _Refused(batch, reason, batch.counts.total or _count_rows(calls, batch.input_file_id))
    except KimiError as error:
        calls.log.warning("Batch %s, which failed, cannot be created again: %s", batch_id, error)
        return None


def _count_rows(calls: Calls, file_id: str) -> int:
    """Count the requests of a batch that the platform did not come to count."""
    with TemporaryDirectory(prefix="kimi-input-") as folder:
        return fetch_file(calls, file_id, Path(folder) / "input.jsonl", expected_lines=0, names_requests=True).lines


def _listed(calls: Calls) -> list[Batch]:
    """The batches of the account; none if they cannot be read."""
    try:
        return find_batches(calls, lambda _: True, since=calls.now() - LONGEST_RUN_SECONDS).batches
    except KimiError as error:
        calls.log.warning("How often these batches have failed could not be read: %s", error)
        return []


def _as_shards(refused: Sequence[_Refused], listed: Sequence[Batch]) -> dict[str, PendingShard]:
    """Note batches as shards that are to be created, but those that the balance will not allow however long one waits.

    :param listed: The batches of the account, off which it is read how often a shard has failed.
    """
    works = [_work(one.batch) for one in refused]
    failures = Counter(works) | Counter(_work(each) for each in listed if _is_failure(each))
    has_others = not listed or not all(batch.is_terminal for batch in listed)
    return {
        one.batch.id: PendingShard.of(
            str(one.batch.input_file_id),
            one.rows,
            Tags.of(one.batch),
            refusals=failures[work] if is_by_size(one.reason) else 0,
        )
        for one, work in zip(refused, works, strict=True)
        if has_others or not _is_vain(one, failures[work])
    }


def _idle_since(calls: Calls, refused: Sequence[_Refused], listed: Sequence[Batch]) -> float:
    """Since when this try has found no room, in unix seconds of this machine: each of its creates has failed since."""
    tries = {(_work(one.batch), _try_of(one.batch)) for one in refused}
    jobs = {job for (job, _), _ in tries}
    failed = [each for each in listed if _is_failure(each) and (_work(each), _try_of(each)) in tries]
    taken = [each for each in listed if each.status != "failed" and _work(each)[0] in jobs]
    first = min((each.created_at or calls.now() for each in failed), default=calls.now())
    return max(first, *(each.created_at or 0 for each in taken), 0) - (calls.now() - time.time())


def _is_failure(batch: Batch) -> bool:
    return batch.status == "failed" and not batch.counts.completed


def _try_of(batch: Batch) -> str:
    return (Tags.of(batch).create or "").partition(".")[0]


def _work(batch: Batch) -> tuple[str | None, str | None]:
    tags = Tags.of(batch)
    return tags.job_key, tags.label


def _is_vain(one: _Refused, failures: int) -> bool:
    """Whether few rows have failed again for lack of money though nothing runs."""
    return failures >= REFUSALS and one.rows <= FEWEST_ROWS and is_lack_of_money(one.reason)
