"""Taken back: batches that the platform has accepted and then failed for lack of room. They cost nothing."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

from msgspec.structs import replace

from airflow_provider_kimi.api.errors import is_by_size, is_full_queue, is_lack_of_money
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.fetch import fetch_file
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.jobs.reserve import is_beyond_balance
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
    failed = _failed_of(event, batch_ids)
    history = _History.read(calls) if failed else _History(None)
    refused = [one for each in failed.items() if (one := _refused(calls, *each, history)) is not None]
    shards = {one.batch.id: _shard_of(one, history) for one in refused if not _is_vain(one, history)}
    if not shards:
        return list(batch_ids), pending, False
    merged = in_order(batch_ids, pending.shards if pending else ())
    left, to_create = parted(shards.get(each, each) if isinstance(each, str) else each for each in merged)
    reasons = {one.batch.id: one.reason for one in refused}
    names = ", ".join(f"{batch_id} ({shard.label}; {reasons[batch_id]})" for batch_id, shard in shards.items())
    calls.log.warning("The platform had no room for %s, which cost nothing. It is created again later.", names)
    batches = [one.batch for one in refused]
    pending = pending or Pending.of((), Tags.of(batches[0]), min(batch.created_at or 0 for batch in batches))
    idle_since = pending.idle_since or min(map(history.idle_since, batches)) - (calls.now() - time.time())
    return left, replace(pending, shards=to_create, has_turns=True, turn_at=None, idle_since=idle_since), True


def _failed_of(event: BatchEvent, batch_ids: Sequence[str]) -> dict[str, BatchEnd]:
    """The batches that failed before any of their rows was done."""
    ends = {batch_id: event.batches[batch_id] for batch_id in batch_ids if batch_id in event.batches}
    return {batch_id: end for batch_id, end in ends.items() if end.status == "failed" and not end.completed}


def _refused(calls: Calls, batch_id: str, end: BatchEnd, history: "_History") -> _Refused | None:
    """Read why a batch failed; None if it was not for lack of room, has answers, or cannot be created from its tags.

    For lack of money, the platform leaves no error file; nor does it for a reason of another kind, perhaps.
    """
    try:
        batch = calls.read_batch(batch_id)  # its error file may have come since
        file_id = batch.error_file_id or end.error_file_id
        if file_id is None and history.is_quiet and not is_beyond_balance(calls, batch):
            return None
        reason = reasons_in(calls, file_id) if file_id else "insufficient balance, most likely"
        is_for_money = is_lack_of_money(reason)
        if not (is_full_queue(reason) or is_for_money) or (is_for_money and is_used_up(calls)):
            return None
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


def _shard_of(one: _Refused, history: "_History") -> PendingShard:
    batch = one.batch
    refusals = history.refusals(batch) if is_by_size(one.reason) else 0
    return PendingShard.of(str(batch.input_file_id), one.rows, Tags.of(batch), refusals=refusals)


def _is_vain(one: _Refused, history: "_History") -> bool:
    """Whether few rows have failed again for lack of money though nothing runs, so that waiting is of no use."""
    is_small = one.rows <= FEWEST_ROWS and is_lack_of_money(one.reason)
    return is_small and history.is_quiet and history.refusals(one.batch) >= REFUSALS


class _History:
    """What the list of the account's batches says of earlier refusals.

    :param listed: The batches of the last days; None if they could not be read.
    """

    def __init__(self, listed: Sequence[Batch] | None) -> None:
        self._listed = listed or ()
        self.is_quiet = listed is not None and all(batch.is_terminal for batch in listed)

    @classmethod
    def read(cls, calls: Calls) -> Self:
        """Read the list."""
        try:
            return cls(find_batches(calls, lambda _: True, since=calls.now() - LONGEST_RUN_SECONDS).batches)
        except KimiError as error:
            calls.log.warning("How often these batches have failed could not be read: %s", error)
            return cls(None)

    def refusals(self, batch: Batch) -> int:
        """How often the work of a batch has failed while nothing of its job ran."""
        own = self._taken(batch)
        return sum(not any(_ran_at(each, failed.created_at or 0) for each in own) for failed in self._failures(batch))

    def idle_since(self, batch: Batch) -> float:
        """Since when the same attempt makes this batch in vain, and no other one of the job has been taken."""
        attempt = _attempt(batch)
        times = [each.created_at or 0 for each in (batch, *self._failures(batch)) if _attempt(each) == attempt]
        return float(max(min(times), *(each.created_at or 0 for each in self._taken(batch)), 0))

    def _failures(self, batch: Batch) -> list[Batch]:
        work = Tags.of(batch).job_key, Tags.of(batch).label
        return [
            each
            for each in self._listed
            if _is_untouched(each) and (Tags.of(each).job_key, Tags.of(each).label) == work
        ]

    def _taken(self, batch: Batch) -> list[Batch]:
        job = Tags.of(batch).job_key
        return [each for each in self._listed if Tags.of(each).job_key == job and not _is_untouched(each)]


def _is_untouched(batch: Batch) -> bool:
    return batch.status == "failed" and not batch.counts.completed


def _ran_at(batch: Batch, moment: int) -> bool:
    return (batch.created_at or 0) <= moment and (batch.ended_at is None or moment < batch.ended_at)


def _attempt(batch: Batch) -> str:
    """The number of the attempt that made a batch."""
    return (Tags.of(batch).create or "").partition(".")[0]
