"""Calls of the API as values: the blocking and the async methods of the hook send the same ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from airflow_provider_kimi.api import models
from airflow_provider_kimi.api.ids import in_path

T = TypeVar("T")

#: What is true after a call that changes nothing, and got no answer.
UNCHANGED = "Nothing was changed by this call."


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API, whichever of the SDK's two clients sends it.

    :param reply: What the answer is read into.
    :param unanswered: What is true if no answer comes.
    :param is_poll: Whether it is repeated soon, so that it may be given up early.
    :param seconds: How long the platform may take, if that is longer than the connection's timeout; None if not.
    """

    method: Literal["get", "post", "delete"]
    path: str
    action: str
    reply: type[T]
    unanswered: str = UNCHANGED
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] | None = None
    is_poll: bool = False
    seconds: float | None = None


def reading(batch_id: str) -> Call[models.Batch]:
    """Read a batch."""
    path, unanswered = f"/batches/{in_path(batch_id)}", "The batch goes on as it was."
    return Call("get", path, f"reading batch {batch_id!r}", models.Batch, unanswered, is_poll=True)


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
    return Call("post", path, f"cancelling batch {batch_id!r}", models.Batch, unanswered)
