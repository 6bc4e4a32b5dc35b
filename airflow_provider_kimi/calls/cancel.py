"""Cancel: ask where it can help. A batch that ended first is a result, not an error."""

from collections.abc import Sequence
from typing import Protocol

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import RUNS_ON, standing
from airflow_provider_kimi.calls.patience import AtOnce, Calls, in_time
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError

#: Answers by which a cancel is refused that came too late, or once more: those of Kimi, and of other servers.
_TOO_LATE = frozenset({400, 409})

#: Cancels of all waits of a triggerer at a time: many may have the same deadline.
CANCELS = AtOnce(3)


def cancel_batch(calls: Calls, batch_id: str, seen: Batch | None = None) -> Batch:
    """Cancel one batch, patiently, and return it as it then stands.

    While results are assembled (`finalizing`) no cancel is sent: the rows are done and billed by then, and a cancel
    was seen to lose them.

    :param seen: The batch as it was listed or made just now; None to read it first. A new one may not be known yet by
        its id.
    """

    def ask() -> Batch:
        try:
            return calls.hook.cancel_batch(batch_id)
        except KimiApiError as error:
            if error.status_code not in _TOO_LATE:
                raise
            return _after_refusal(calls.hook.get_batch(batch_id), error)

    batch = seen or calls.read(lambda: calls.hook.get_batch(batch_id))
    if batch.is_cancellable:
        batch = calls.read(ask)
    if batch.status not in ("cancelling", "cancelled"):
        calls.log.info("Batch %s is %s: there is nothing to cancel.", batch_id, batch.status)
    return batch


def _after_refusal(batch: Batch, refusal: KimiApiError) -> Batch:
    """Believe a refused cancel if the batch, read again, stands so that a cancel cannot help; else it is asked again.

    A cancel is refused because it came too late, or once more; but also at times when one is needed.
    """
    if not batch.is_cancellable:
        return batch
    raise KimiBatchError(
        f"The cancel was refused (HTTP {refusal.status_code}), although "
        f"{standing(batch.id, batch.status, batch.counts)}. {RUNS_ON}. {refusal}",
        retryable=True,
    )


def cancel_batches(calls: Calls, batch_ids: Sequence[str]) -> list[Batch]:
    """Cancel every batch, whatever becomes of the others.

    :raises KimiError: The cancel of one failed; the message says which, and how the others stand.
    """
    batches: list[Batch] = []
    faults: list[KimiError] = []
    for batch_id in batch_ids:
        try:
            batches.append(cancel_batch(calls, batch_id))
        except KimiError as error:
            faults.append(error)
    if not faults:
        return batches
    others = f" The others: {', '.join(f'{batch.id} is {batch.status}' for batch in batches)}." if batches else ""
    raise KimiBatchError(
        f"{len(faults)} of {len(batch_ids)} batches could not be cancelled. {' '.join(map(str, faults))}{others} "
        "Clear this task to ask again.",
        retryable=any(error.retryable for error in faults),
    )


class AsyncPlatform(Protocol):
    """What a cancel needs of a hook in an event loop."""

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read a batch."""

    async def acancel_batch(self, batch_id: str) -> Batch:
        """Ask for a cancel."""


async def acancel_batch(hook: AsyncPlatform, batch_id: str, seen: Batch | None = None) -> Batch:
    """Cancel one batch, which may have been `seen` just now, from an event loop in the same way, each call once."""
    batch = seen or await _read(hook, batch_id)
    if not batch.is_cancellable:
        return batch
    try:
        async with CANCELS.turn():
            return await in_time(hook.acancel_batch(batch_id), f"Batch {batch_id} may be cancelling.")
    except KimiApiError as error:
        if error.status_code not in _TOO_LATE:
            raise
        refusal = error
    return _after_refusal(await _read(hook, batch_id), refusal)


async def _read(hook: AsyncPlatform, batch_id: str) -> Batch:
    async with CANCELS.turn():
        return await in_time(hook.aget_batch(batch_id))
