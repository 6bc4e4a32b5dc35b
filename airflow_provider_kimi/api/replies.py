"""Replies: the platform's answers as they come, read leniently into models.

What is odd in one field costs that field, and an odd row of a list costs that row. So one strange batch hides no other,
and what holds a model need not expect a negative count or a time without a year.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from airflow_provider_kimi.api.models import (
    Batch,
    BatchPage,
    Completion,
    Envelope,
    FilePage,
    Model,
    RemoteFile,
    RequestCounts,
)

T = TypeVar("T")

#: Status of a batch whose answer says none; it is waited for like any that is not documented.
UNKNOWN_STATUS = "unknown"

#: Times outside the years 2000 to 2200 are not times.
FIRST_SECOND, LAST_SECOND = 946_684_800, 7_258_118_400

#: More rows than any file of 100 MB holds, and more bytes than any account may store.
MOST_ROWS, MOST_BYTES = 10**9, 10**15

#: Half of a pair that stands for one character; no decoder takes it alone.
_HALF_CHARACTER = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)

_Fields = Mapping[str, msgspec.Raw]


def read_reply(content: bytes, kind: type[T]) -> T:
    """Read an answer.

    :raises msgspec.MsgspecError: It is not of this kind at all.
    :raises UnicodeDecodeError: It is not text.
    :raises RecursionError: It is nested too deeply.
    """
    reader = _READERS.get(kind)
    if reader is None:
        return msgspec.json.decode(content, type=kind, strict=False)
    try:
        return cast(T, reader(content))
    except msgspec.DecodeError:
        return cast(T, reader(_HALF_CHARACTER.sub(rb"\\ufffd", content)))


def _fields(content: bytes | msgspec.Raw) -> _Fields:
    return msgspec.json.decode(content, type=dict[str, msgspec.Raw])


def _rows(fields: _Fields, read_row: Callable[[msgspec.Raw], T]) -> list[T]:
    rows = []
    for row in _raw_rows(fields):
        try:
            rows.append(read_row(row))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return rows


def _raw_rows(fields: _Fields) -> list[msgspec.Raw]:
    return msgspec.json.decode(fields["data"], type=list[msgspec.Raw] | None) or []


def _value(fields: _Fields, name: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(fields[name], type=kind, strict=False)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _id(fields: _Fields) -> str:
    if "id" not in fields or not (found := msgspec.json.decode(fields["id"], type=str)):
        raise msgspec.ValidationError("it has no id")
    return _without_nul(found)


def _text(fields: _Fields, name: str) -> str | None:
    return _without_nul(_value(fields, name, str) or "") or None


def _without_nul(text: str) -> str:
    """Replace the one character that PostgreSQL, and so Airflow, does not store."""
    return text.replace("\0", "\ufffd")


def _number(fields: _Fields, name: str, least: int, most: int) -> int | None:
    number = _value(fields, name, float)
    return int(number) if number is not None and least <= number <= most else None


def _time(fields: _Fields, name: str) -> int | None:
    return _number(fields, name, FIRST_SECOND, LAST_SECOND)


def _counts(fields: _Fields) -> RequestCounts | None:
    counts = _value(fields, "request_counts", dict[str, msgspec.Raw])
    if counts is None:
        return None
    return RequestCounts(*(_number(counts, name, 0, MOST_ROWS) or 0 for name in ("total", "completed", "failed")))


def _expiry(fields: _Fields) -> int | None:
    """When the window ends; one that ends before it begins says nothing, and must not end a wait."""
    created_at, expires_at = _time(fields, "created_at"), _time(fields, "expires_at")
    return expires_at if expires_at is not None and expires_at > (created_at or 0) else None


def _batch(content: bytes | msgspec.Raw) -> Batch:
    fields = _fields(content)
    if "status" not in fields:
        raise msgspec.ValidationError("it has no status, so it is not a batch")
    return Batch(
        id=_id(fields),
        status=_text(fields, "status") or UNKNOWN_STATUS,
        input_file_id=_text(fields, "input_file_id"),
        output_file_id=_text(fields, "output_file_id"),
        error_file_id=_text(fields, "error_file_id"),
        completion_window=_text(fields, "completion_window"),
        created_at=_time(fields, "created_at"),
        in_progress_at=_time(fields, "in_progress_at"),
        expires_at=_expiry(fields),
        finalizing_at=_time(fields, "finalizing_at"),
        cancelling_at=_time(fields, "cancelling_at"),
        completed_at=_time(fields, "completed_at"),
        failed_at=_time(fields, "failed_at"),
        cancelled_at=_time(fields, "cancelled_at"),
        request_counts=_counts(fields),
        metadata=_value(fields, "metadata", dict[str, Any]),
    )


def _batch_page(content: bytes) -> BatchPage:
    fields = _page(content)
    batches = _rows(fields, _batch)
    return BatchPage(batches, _value(fields, "has_more", bool), len(_raw_rows(fields)) - len(batches))


def _file(content: bytes | msgspec.Raw) -> RemoteFile:
    fields = _fields(content)
    return RemoteFile(
        id=_id(fields),
        bytes=_number(fields, "bytes", 0, MOST_BYTES),
        created_at=_time(fields, "created_at"),
        filename=_text(fields, "filename"),
        purpose=_text(fields, "purpose"),
    )


def _file_page(content: bytes) -> FilePage:
    fields = _page(content)
    return FilePage(_rows(fields, _file), _value(fields, "has_more", bool))


def _model(content: bytes | msgspec.Raw) -> Model:
    fields = _fields(content)
    return Model(id=_id(fields), context_length=_number(fields, "context_length", 1, MOST_ROWS))


def _completion(content: bytes) -> Completion:
    body = msgspec.json.decode(content, type=dict[str, Any])
    if not isinstance(body.get("choices"), list):
        raise msgspec.ValidationError("it has no choices, so it is not an answer")
    return Completion(body)


def _page(content: bytes) -> _Fields:
    fields = _fields(content)
    if "data" not in fields:
        raise msgspec.ValidationError("it has no data, so it is not a list")
    return fields


_READERS: Mapping[Any, Callable[[bytes], Any]] = {
    Batch: _batch,
    BatchPage: _batch_page,
    RemoteFile: _file,
    FilePage: _file_page,
    Completion: _completion,
    Envelope[list[Model]]: lambda content: Envelope(_rows(_page(content), _model)),
}
