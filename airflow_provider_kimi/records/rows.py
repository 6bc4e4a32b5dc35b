"""Rows: the status of each request, with its answer and its tokens."""

from typing import Any, Literal, get_args

import msgspec

RowStatus = Literal["succeeded", "failed", "invalid", "truncated", "filtered", "expired", "cancelled", "missing"]

#: How a row of the input differs from the one that was asked: it asks something else, so that its columns are left out;
#: the input has it no longer; it was added since, and not asked; or that cannot be told. None if it does not differ.
InputChange = Literal["changed", "removed", "added", "not_compared"]

#: Where the outcome of a row is from: a batch, a chat call, the cache of an earlier run, or an earlier row that asks
#: the same. None for a row that was never asked, or where nothing was to be saved.
Source = Literal["batch", "chat", "cache", "duplicate"]

#: The sources of outcomes that were not paid for.
SAVED_SOURCES: tuple[Source, ...] = ("cache", "duplicate")

#: In the order of the manifest's counts.
ROW_STATUSES: tuple[RowStatus, ...] = get_args(RowStatus)

#: Status of a row that is in no file, by the status of its batch.
_STATUS_OF_ABSENT: dict[str, RowStatus] = {"expired": "expired", "cancelled": "cancelled", "failed": "failed"}

#: Codes of rows whose answer is whole, and was refused by what it says.
REFUSALS = ("schema_mismatch", "check")

#: The fields that all rows of a batch share.
BATCH_FIELDS = ("batch_id", "round", "prompt_fingerprint")

#: The fields of a results row, in order; an input column of the same name must not hide one.
RESULT_FIELDS = (
    "custom_id",
    "status",
    "content",
    "parsed",
    "reasoning",
    "finish_reason",
    "error_code",
    "error_message",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "model",
    "input_change",
    *BATCH_FIELDS,
)

#: The field that the rows of a result have too if rows of it could be saved; before those of the batch.
SOURCE_FIELD = "source"


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of one request. Tokens are None if the platform reports none.

    :param parsed: Value of the answer, if it was checked against a schema.
    :param leaked: Whether the answer held the model's thoughts.
    :param gold: The cell of the gold column beside it; None if it has none.
    """

    custom_id: str
    status: RowStatus
    content: str | None = None
    parsed: Any = None
    reasoning: str | None = None
    leaked: bool = False
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    model: str | None = None
    input_change: InputChange | None = None
    source: Source | None = None
    gold: Any = None


def absent_status(batch_status: str) -> RowStatus:
    """The status of a request that is in no file, by the status of its batch."""
    return _STATUS_OF_ABSENT.get(batch_status, "missing")


def absent_row(custom_id: str, batch_status: str, error: Row | None = None) -> Row:
    """Judge a request that is in no file.

    :param error: Why the whole batch failed, if the platform says so.
    """
    status = absent_status(batch_status)
    if error is not None:
        return Row(custom_id=custom_id, status=status, error_code=error.error_code, error_message=error.error_message)
    reason = f"the batch ended as {batch_status} without a line for this request"
    return Row(custom_id=custom_id, status=status, error_code=f"batch_{batch_status}", error_message=reason)


def skipped_row(custom_id: str, place: str, reason: str) -> Row:
    """Judge a row that was never sent."""
    message = f"{place} was left out, because it {reason}"
    return Row(custom_id=custom_id, status="invalid", error_code="not_sent", error_message=message)


def twinless_row(custom_id: str, twin: str) -> Row:
    """Judge a row that was not sent because an earlier one asks the same, whose outcome is not known here."""
    message = f"the row asks the same as {twin}, which is not among the rows of this result"
    return Row(custom_id=custom_id, status="missing", error_code="twin_missing", error_message=message)


def added_row(custom_id: str) -> Row:
    """Judge a row of the input that no request was made from."""
    message = "the row was added to the input after the batch was created, and was not asked"
    return Row(
        custom_id=custom_id, status="missing", error_code="not_asked", error_message=message, input_change="added"
    )
