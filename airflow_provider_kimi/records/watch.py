"""A wait for batches, as it is stored: the arguments of the trigger."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec
from msgspec.structs import force_setattr

from airflow_provider_kimi.exceptions import KimiInputError

#: How long a batch may stand as it does before that is worth a warning: a queue was seen to take hours.
DEFAULT_STALL_SECONDS = 6 * 3600.0

#: How long after its `expires_at` a batch is waited for by default. Its results are assembled then, which was seen to
#: take hours.
EXPIRY_GRACE_SECONDS = 6 * 3600.0

#: How long a batch is waited for that was cancelled at the deadline. A cancel was seen to take 25 minutes.
CANCEL_GRACE_SECONDS = 3600.0

#: Shortest pause between two polls, whatever is asked for.
SHORTEST_PAUSE_SECONDS = 0.1

#: What becomes of batches that have not ended in time: they go on, or they are cancelled and what was done is kept.
OnTimeout = Literal["keep", "cancel"]

#: What becomes of stalled batches: they are waited for, or cancelled, or the wait ends.
OnStall = Literal["keep", "cancel", "fail"]


class Watch(msgspec.Struct, frozen=True):
    """A wait for batches. No secret is in it.

    :param batch_ids: Each is waited for once, however often it is given.
    :param pause_seconds: Shortest pause between two polls; None for a pace that fits the batches' age.
    :param deadline: Unix seconds; absolute, so that a restarted triggerer keeps it. Six hours after the last batch's
        `expires_at` the wait ends too, if that is earlier and known. None for no other end.
    :param on_timeout: What becomes of batches that have not ended by then.
    :param stall_seconds: How long a batch may stand as it does; half an hour after its `expires_at` it is stalled too.
    :param on_stall: What becomes of a stalled batch.
    :param kimi_conn_id: Airflow connection.
    :param cancel_on_kill: Whether a task that is marked failed cancels what runs.
    :param try_number: The try that waits; None where that is not known.
    :param logged_statuses: Statuses that the task's log names already; None where that is not known.
    :param fewer_than: The wait is over already once fewer batches than this run, since more are to be created then;
        None where all have to end.
    :param look_at: Unix seconds at which the wait is over already, since the task then looks for room for more; None
        for no such time.
    :param to_come: How many batches of the task are still to be created.
    :param progress: Whether the XCom `progress` shows how far the batches are.
    :param version: Of the shape. Earlier releases store none.
    """

    batch_ids: tuple[str, ...]
    pause_seconds: float | None = msgspec.field(default=None, name="poll_interval")
    deadline: float | None = None
    on_timeout: OnTimeout = "keep"
    stall_seconds: float = msgspec.field(default=DEFAULT_STALL_SECONDS, name="stall_timeout")
    on_stall: OnStall = "keep"
    kimi_conn_id: str = "kimi_default"
    cancel_on_kill: bool = False
    try_number: int | None = None
    logged_statuses: tuple[str, ...] | None = msgspec.field(default=None, name="told")
    fewer_than: int | None = None
    look_at: float | None = None
    to_come: int = 0
    progress: bool = True
    version: int = 1

    def __post_init__(self) -> None:
        force_setattr(self, "batch_ids", tuple(dict.fromkeys(self.batch_ids)))
        if self.pause_seconds is not None:
            force_setattr(self, "pause_seconds", max(self.pause_seconds, SHORTEST_PAUSE_SECONDS))

    @property
    def first_end(self) -> float | None:
        """When the time alone may end it, in unix seconds; None if it never does."""
        return min((at for at in (self.deadline, self.look_at) if at is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in stored.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Read it back. What a later version adds is ignored.

        :raises KimiInputError: A field is missing or wrong.
        """
        try:
            return msgspec.convert(dict(stored), cls)
        except msgspec.ValidationError as error:
            raise KimiInputError(
                f"A trigger cannot read its arguments: {error}. Run the worker and the triggerer with the same version "
                "of airflow-provider-kimi, then clear the task. The batches are not touched by this."
            ) from None
