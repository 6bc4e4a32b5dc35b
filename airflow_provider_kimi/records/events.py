"""The trigger's event: all that the resumed task needs, so that it depends on nothing else that was kept."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import msgspec

from airflow_provider_kimi.api.models import TERMINAL_STATUSES, Batch
from airflow_provider_kimi.exceptions import KimiBatchError

#: Version of the event's shape; an event of a newer one is refused.
EVENT_VERSION = 1

Outcome = Literal["ended", "timed_out", "failed"]


@dataclass(frozen=True)
class BatchEnd:
    """How one batch stood when the wait was over."""

    status: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    error_file_id: str | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True)
class BatchEvent:
    """Why a wait is over.

    :param outcome: `ended`: every batch is terminal. `timed_out`: the deadline passed. `failed`: waiting on makes
        no sense, and `message` says why.
    :param batches: How each batch stood when it was last read, by id; on `failed` and `timed_out`, those that could be
        read.
    :param message: For a reader; on `ended`, why batches were cancelled, as far as this wait knows.
    :param try_number: Which try of the task waited; None where that is not known. A later try that is resumed with
        the event of an earlier one can tell.
    """

    outcome: Outcome
    batches: Mapping[str, BatchEnd]
    message: str = ""
    try_number: int | None = None

    @classmethod
    def ended(cls, batches: Mapping[str, Batch]) -> Self:
        """Every batch is terminal."""
        return cls("ended", _ends(batches))

    @classmethod
    def failed(cls, batches: Mapping[str, Batch], message: str, unread: Mapping[str, BatchEnd] | None = None) -> Self:
        """Waiting on makes no sense.

        :param unread: How batches stood that could be read before, but not now.
        """
        return cls("failed", {**(unread or {}), **_ends(batches)}, message)

    @classmethod
    def timed_out(
        cls,
        batches: Mapping[str, Batch],
        batch_ids: Sequence[str],
        errors: Sequence[str],
        cancels: Collection[str] = (),
        *,
        is_expiry: bool = False,
    ) -> Self:
        """The deadline passed.

        :param cancels: Batches whose cancel is asked for now.
        :param is_expiry: Whether it was not the task's own time, but the one that the batches' windows leave.
        """
        late = [batch_id for batch_id in batch_ids if batch_id not in batches or not batches[batch_id].is_terminal]
        cancelled = [batch_id for batch_id, batch in batches.items() if batch.status == "cancelled"]
        told = ["The time to wait is over"]
        if is_expiry:
            told[0] += " six hours after the last of its batches should have ended (expires_at)"
        if late:
            stand = "; ".join(_standing(batch_id, batches.get(batch_id)) for batch_id in late)
            told[0] += f" and {len(late)} of {len(batch_ids)} batches have not ended: {stand}"
        told[0] += "."
        if cancelled:
            stand = "; ".join(_standing(batch_id, batches[batch_id]) for batch_id in cancelled)
            told.append(f"What ran was cancelled: {stand}. Rows that were done are billed.")
        if cancels:
            told.append("What can be cancelled is asked to stop now, for the last time, and is billed until it does.")
        elif late:
            told.append("What runs goes on and is billed.")
        if errors:
            told.append(f"The last fault: {errors[-1]}")
        if late:
            told.append(
                "Ask the platform's support about them;"
                if is_expiry
                else "Clear this task to wait on, or give it a longer timeout;"
            )
            told.append("KimiCancelBatchOperator ends a batch that does not assemble its results yet.")
        return cls("timed_out", _ends(batches), " ".join(told))

    def after_cancels(self, reasons: Iterable[str]) -> Self:
        """Tell why batches were cancelled meanwhile, where the event does not say so itself."""
        return self if self.message else replace(self, message=" ".join(reasons))

    def has_ended(self, batch_ids: Iterable[str]) -> bool:
        """Whether each of these batches was seen to have ended."""
        return all(batch_id in self.batches and self.batches[batch_id].is_terminal for batch_id in batch_ids)

    def to_dict(self) -> dict[str, Any]:
        """Write the event as plain JSON."""
        return {
            "version": EVENT_VERSION,
            "outcome": self.outcome,
            "batches": msgspec.to_builtins(self.batches),
            "message": self.message,
            "try_number": self.try_number,
        }

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """Read an event back.

        :raises KimiBatchError: It is of a newer version, or no such event at all.
        """
        version = payload.get("version")
        if type(version) is int and 1 <= version <= EVENT_VERSION:
            try:
                return msgspec.convert({key: payload[key] for key in payload if key != "version"}, cls)
            except msgspec.ValidationError:
                pass
        raise KimiBatchError(
            f"This task was resumed by an event that it cannot read (version {version!r}; this is version "
            f"{EVENT_VERSION}). The batches are not touched by this. Run the worker and the triggerer with the same "
            "version of airflow-provider-kimi, then clear the task."
        )


def _standing(batch_id: str, batch: Batch | None) -> str:
    if batch is None:
        return f"{batch_id} could not be read"
    counts = batch.counts
    rows = f", {counts.completed + counts.failed:,} of {counts.total:,} rows done" if counts.total else ""
    return f"{batch_id} is {batch.status}{rows}"


def _ends(batches: Mapping[str, Batch]) -> dict[str, BatchEnd]:
    return {
        batch_id: BatchEnd(
            batch.status, batch.counts.total, batch.counts.completed, batch.counts.failed, batch.error_file_id
        )
        for batch_id, batch in batches.items()
    }
