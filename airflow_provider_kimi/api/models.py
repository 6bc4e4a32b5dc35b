"""What the platform knows, as frozen values. `replies` reads them from its answers, whatever is odd in those."""

import re
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

#: What the platform adds to a name that is taken, before the ending or behind it.
_COPY = re.compile(r" ?\([0-9]+\)(?=\.\w+$|$)")

#: Statuses that are final.
TERMINAL_STATUSES = frozenset({"completed", "failed", "expired", "cancelled"})

#: Statuses that may still change. A status in neither set is waited for too, with a warning.
ACTIVE_STATUSES = frozenset({"validating", "in_progress", "finalizing", "cancelling"})

#: Statuses of a batch that has not ended, in which a cancel is refused or loses rows that are billed.
UNCANCELLABLE_STATUSES = frozenset({"finalizing", "cancelling"})


class RequestCounts(msgspec.Struct, frozen=True):
    """Rows as the platform counts them; the rows in the result files decide."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch. Times are unix seconds of the platform's clock; what it does not say is None."""

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    completion_window: str | None = None
    created_at: int | None = None
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    cancelling_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts | None = None
    metadata: dict[str, Any] | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL_STATUSES

    @property
    def is_cancellable(self) -> bool:
        """Whether a cancel helps: the batch has not ended, as far as its status is known, and no rows are lost."""
        return not self.is_terminal and self.status not in UNCANCELLABLE_STATUSES

    @property
    def counts(self) -> RequestCounts:
        """Counts; zero where the platform sends none."""
        return self.request_counts or RequestCounts()

    @property
    def ended_at(self) -> int | None:
        """When it ended; None while it runs, or if the platform does not say."""
        own = {"completed": self.completed_at, "failed": self.failed_at, "cancelled": self.cancelled_at}
        return self.expires_at if self.status == "expired" else own.get(self.status)


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file on the platform."""

    id: str
    bytes: int | None = None
    created_at: int | None = None
    filename: str | None = None
    purpose: str | None = None

    @property
    def given_name(self) -> str:
        """The name that it was uploaded under; the platform adds a number to one that is taken."""
        return _COPY.sub("", self.filename or "")


class BatchPage(msgspec.Struct, frozen=True):
    """One page of batches.

    :param has_more: None if the platform does not say.
    :param unread: How many rows of it could not be read.
    """

    data: list[Batch]
    has_more: bool | None = None
    unread: int = 0

    @property
    def length(self) -> int:
        """How many rows the platform has sent."""
        return len(self.data) + self.unread


class FilePage(msgspec.Struct, frozen=True):
    """One page of files; `has_more` is None if the platform does not say."""

    data: list[RemoteFile]
    has_more: bool | None = None


class Envelope(msgspec.Struct, Generic[T], frozen=True):
    """What the platform wraps around lists and values."""

    data: T


class DeletedFile(msgspec.Struct, frozen=True):
    """Confirmation of a deletion."""

    id: str
    deleted: bool = False


class Completion(msgspec.Struct, frozen=True):
    """The answer of a chat call, as it came."""

    body: dict[str, Any]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the key may use; the platform does not say whether it can be batched."""

    id: str
    context_length: int | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Money left: yuan in region `cn`, US dollars in `intl`."""

    available_balance: float
    voucher_balance: float = 0.0
    cash_balance: float = 0.0


class TokenCount(msgspec.Struct, frozen=True):
    """An estimate of prompt tokens."""

    total_tokens: int
