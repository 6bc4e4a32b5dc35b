"""Calls of the API as values: the blocking and the async methods of the hook send the same ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from airflow_provider_kimi.api import models
from airflow_provider_kimi.api.errors import decode, odd_answer
from airflow_provider_kimi.api.ids import in_path
from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.exceptions import KimiApiError

T = TypeVar("T")

#: What is true after a call that changes nothing, and got no answer.
UNCHANGED = "Nothing was changed by this call."

#: Lists that a host without them does not know.
_LISTS = frozenset({"/batches", "/files", "/models"})

#: How Kimi says that an id is unknown to it. A host that does not know a call says it in another way.
UNKNOWN_ID = "resource_not_found_error"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API, whichever of the SDK's two clients sends it.

    :param reply: What the answer is read into.
    :param unanswered: What is true if no answer comes.
    :param is_poll: Whether it is repeated soon, so that it may be given up early.
    :param batch_id: The batch that the answer has to be about; None for whatever it is about.
    :param seconds: How long the platform may take, if that is longer than the connection's timeout; None if not.
    """

    method: Literal["get", "post", "delete"]
    path: str
    action: str
    reply: type[T]
    unanswered: str = UNCHANGED
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    is_poll: bool = False
    batch_id: str | None = None
    seconds: float | None = None

    def read(self, settings: ConnectionSettings, answer: bytes) -> T:
        """Read the answer.

        :raises KimiApiError: It is not what the API documents, or about another batch.
        """
        reply = decode(settings, self.action, answer, self.reply)
        if self.batch_id is not None and getattr(reply, "id", None) != self.batch_id:
            raise odd_answer(settings, self.action)
        return reply

    @property
    def messages(self) -> object:
        """The chat messages that it sends; None if it sends none."""
        return (self.body or {}).get("messages")

    def is_unknown_list(self, error: KimiApiError) -> bool:
        """Whether an answer says that the host does not have this list at all; a 404 may be about `after` instead."""
        is_404 = error.status_code == 404 and error.error_type != UNKNOWN_ID and "after" not in self.params
        return self.method == "get" and self.path in _LISTS and (is_404 or error.status_code in (405, 501))


@contextmanager
def knowing_lists(call: Call[Any], settings: ConnectionSettings) -> Iterator[None]:
    """Say of a host without a list that it has none; what it answers speaks of ids that were never sent."""
    try:
        yield
    except KimiApiError as error:
        if not call.is_unknown_list(error):
            raise
        absent = error.saying(
            f"{settings.base_url} has no list of {call.path[1:]}: it answers GET {call.path} with HTTP "
            f"{error.status_code}. {UNCHANGED} Check the Base URL of connection {settings.conn_id!r}, Kimi's ends in "
            "/v1. A gateway has to pass this call on: without the lists, what was submitted is not found again."
        )
        absent.kind, absent.retryable = "not_found", False
        raise absent from None


def reading(batch_id: str) -> Call[models.Batch]:
    """Read a batch."""
    path, unanswered = f"/batches/{in_path(batch_id)}", "The batch goes on as it was."
    return Call("get", path, f"reading batch {batch_id!r}", models.Batch, unanswered, is_poll=True, batch_id=batch_id)


def listing(after: str | None, limit: int | None) -> Call[models.BatchPage]:
    """Read a page of batches; None for the first page, and for pages of the platform's own size."""
    params = ({"limit": limit} if limit else {}) | ({"after": after} if after else {})
    return Call("get", "/batches", "listing batches", models.BatchPage, params=params, is_poll=True)


def asking(body: Mapping[str, Any], seconds: float) -> Call[models.Completion]:
    """Ask the model now."""
    unanswered = "Whether the row was answered, and is billed, is unknown."
    return Call("post", "/chat/completions", "asking a row", models.Completion, unanswered, body, seconds=seconds)


def cancelling(batch_id: str) -> Call[models.Batch]:
    """Ask for a cancel."""
    path, unanswered = f"/batches/{in_path(batch_id)}/cancel", "The batch may be cancelling, or running and billed."
    return Call("post", path, f"cancelling batch {batch_id!r}", models.Batch, unanswered, batch_id=batch_id)
