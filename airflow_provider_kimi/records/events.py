"""The trigger's event: all that the resumed task needs, so that it depends on nothing else that was stored."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import msgspec

from airflow_provider_kimi.api.models import TERMINAL_STATUSES, Batch, RequestCounts
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import Tags

#: Version of the shape; an event of a later one is refused.
EVENT_VERSION = 1

Outcome = Literal["ended", "timed_out", "failed"]


class BatchEnd(msgspec.Struct, frozen=True):
    """How one batch stood when the wait was over.

    :param work: Names the work that it did a part of, if it says so: the job and the shard.
    """

    status: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    error_file_id: str | None = None
    work: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Note how a batch stands."""
        counts = batch.counts
        work = Tags.of(batch).work or msgspec.UNSET
        return cls(batch.status, counts.total, counts.completed, counts.failed, batch.error_file_id, work)

    @property
    def counts(self) -> RequestCounts:
        """Its rows."""
        return RequestCounts(self.total, self.completed, self.failed)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change again."""
        return self.status in TERMINAL_STATUSES


class BatchEvent(msgspec.Struct, frozen=True):
    """Why a wait is over.

    :param outcome: `ended`: every batch is terminal. `timed_out`: the deadline passed. `failed`: there is no use in
        waiting, and `message` says why.
    :param batches: How each batch stood when it was last read, by id; on `failed` and `timed_out`, those that could be
        read.
    :param message: For a reader; on `ended`, why batches were cancelled, as far as this wait knows.
    :param try_number: The try that waited; None where that is not known. A later try that is resumed with this event
        knows that it is not its own.
    :param retryable: On `failed`, whether another try of the task may fare better.
    :param to_come: How many batches of the task are still to be created.
    :param polled_at: When the batches were last read, in unix seconds; None where that is not known.
    """

    outcome: Outcome
    batches: dict[str, BatchEnd]
    message: str = ""
    try_number: int | None = None
    version: int = EVENT_VERSION
    retryable: bool = False
    to_come: int = 0
    polled_at: float | None = None

    def has_ended(self, batch_ids: Iterable[str]) -> bool:
        """Whether each of these batches was seen to have ended."""
        return all(batch_id in self.batches and self.batches[batch_id].is_terminal for batch_id in batch_ids)

    def is_of_try(self, number: int | None) -> bool:
        """Whether a try may have waited for it; None for one that is not known."""
        return self.try_number in (None, number or self.try_number)

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON that Airflow can store."""
        stored: dict[str, Any] = storable(msgspec.to_builtins(self))
        return stored

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Read it back.

        :raises KimiBatchError: It is of a later version, or is not such an event.
        """
        version = stored.get("version")
        if type(version) is int and 1 <= version <= EVENT_VERSION:
            try:
                return msgspec.convert(dict(stored), cls)
            except msgspec.ValidationError:
                pass
        raise KimiBatchError(
            f"This task was resumed by an event that it cannot read (version {version!r}; this is version "
            f"{EVENT_VERSION}). Run the worker and the triggerer with the same version of airflow-provider-kimi, then "
            "clear the task. The batches are not touched by this."
        )
