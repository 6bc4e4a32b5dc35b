"""Taking back: what becomes of the claims of task instances that have ended without settling them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.budgets.entries import read_note, write
from airflow_provider_kimi.budgets.ledger import Claim, Ledger, owner_of
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import instance_state
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.kills.claims import FINISHED_STATES
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.records.tags import Tags


class _Left(NamedTuple):
    """A claim that somebody has left."""

    claim: Claim
    note: ClaimNote


def take_back(calls: Calls, ledger: Ledger, own: ClaimNote, now: float) -> bool:
    """Take back what is left of claims whose task instances have ended; whether anything was.

    :param own: Of the attempt that looks; what an earlier one of its task instance waited for, or has reserved for
        another job, is left too.
    :param now: Unix seconds.
    """
    taken = [_taken(calls, ledger, left, own, now) for left in _left(ledger, own)]
    return any(taken)


def release(calls: Calls, ledger: Ledger, own: ClaimNote) -> None:
    """Give back what an attempt has claimed, if it has failed before there was a batch of its job."""
    for claim in (*ledger.reserved, *ledger.waiting):
        note = read_note(claim.first)
        if note is not None and note.mark == own.mark and _billed_share(calls, note) == 0.0:
            write(claim.first._replace(kind="gone"), note)


def _left(ledger: Ledger, own: ClaimNote) -> Iterator[_Left]:
    """The claims whose task instances have ended, of all that count."""
    for claim in (*ledger.reserved, *ledger.waiting):
        note = read_note(claim.first)
        if note is None or note.mark == own.mark:
            continue
        is_taken_up = claim.is_reserved and claim.first.owner == owner_of(own.job_key, own.fresh)
        if not is_taken_up and _has_ended(note, own):
            yield _Left(claim, note)


def _has_ended(note: ClaimNote, own: ClaimNote) -> bool:
    """Whether the attempt that has claimed has ended; an earlier one of the task instance that looks has."""
    return note.task == own.task or instance_state(*note.task) in FINISHED_STATES


def _taken(calls: Calls, ledger: Ledger, left: _Left, own: ClaimNote, now: float) -> bool:
    """Take back one claim: what is billed of it stays as spent."""
    claim, note = left
    gone = claim.first._replace(kind="gone")
    owner = gone.owner
    if claim.is_reserved and not ledger.is_settled(claim):
        share = _billed_share(calls, note)
        if share is None or not _has_ended(note, own):  # it may have been cleared while the platform was asked
            return False
        if share:
            billed = max(ceil(ledger.held_by(owner) * share), ledger.spent_by.get(owner, 0))
            write(gone._replace(kind="spent", number=ledger.next_number(now), micro=billed), note)
    write(gone, note)
    calls.log.info(
        "The claim of task %s in run %s on budget %r is taken back, since that has ended.",
        *(note.task_id, note.run_id, gone.budget),
    )
    return True


def _billed_share(calls: Calls, note: ClaimNote) -> float | None:
    """Which share of the rows of a job is billed, at most; None while that is not known, so that its claim stays."""
    if note.conn_id != calls.hook.kimi_conn_id:
        return None
    try:
        search = find_batches(calls, lambda batch: _is_of(batch, note), since=note.since, is_proof=True)
    except KimiError as error:
        calls.log.info("Whether the job of task %s has batches could not be read: %s", note.task_id, error)
        return None
    return None if search.gap else billed_share(search.batches, note)


def billed_share(batches: Iterable[Batch], note: ClaimNote) -> float | None:
    """The share of a job's rows that its batches have done; None while one of them runs.

    A row that is in several batches is a row of the job once: what may be too much is safe.
    """
    found = list(batches)
    if not all(batch.is_terminal for batch in found):
        return None
    if note.is_chat and found:
        return 1.0
    return min(1.0, sum(batch.counts.completed + batch.counts.failed for batch in found) / max(note.rows, 1))


def _is_of(batch: Batch, note: ClaimNote) -> bool:
    tags = Tags.of(batch)
    return tags.job_key == note.job_key and tags.attempt == note.fresh
