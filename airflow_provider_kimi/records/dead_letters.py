"""Dead letters: requests without a usable answer, each with the reason and the row that it was made from.

As input they are sent as the same requests again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_provider_kimi.records.rows import Row, RowStatus

_encode = msgspec.json.encode

#: Keys that a dead letter adds to its request.
NOTES = {"row", "error"}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request has no usable answer: the `error` of a dead letter.

    :param version: Of the shape; version 1 is not written.
    """

    status: RowStatus
    code: str | None = None
    message: str | None = None
    version: int | msgspec.UnsetType = msgspec.UNSET


def dead_letter(row: Row, request: bytes, columns: bytes) -> bytes:
    """Encode a request that has no usable answer.

    :param columns: JSON of the row that it was made from; empty if that is not known.
    """
    notes = {"error": _reason(row), "row": msgspec.Raw(columns)} if columns else {"error": _reason(row)}
    return b"".join((request.rstrip()[:-1], b",", _encode(notes)[1:], b"\n"))


def letter_of_unsent(row: Row, columns: bytes) -> bytes:
    """Encode a row that was never sent."""
    known = msgspec.Raw(columns or b"null")
    return _encode({"custom_id": row.custom_id, "row": known, "error": _reason(row)}) + b"\n"


def _reason(row: Row) -> Reason:
    return Reason(status=row.status, code=row.error_code, message=row.error_message)


def request_of(dead_letter: bytes) -> bytes:
    """Return the request without the notes."""
    parts = msgspec.json.decode(dead_letter, type=dict[str, msgspec.Raw])
    return _encode({key: raw for key, raw in parts.items() if key not in NOTES})


def is_unsent(line: Mapping[str, Any]) -> bool:
    """Whether a line is a row that was never sent."""
    return line.keys() == {"custom_id", *NOTES}


def table_row_of(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row that a dead letter was made from; one without columns if none is noted."""
    row = request.get("row")
    return row if isinstance(row, Mapping) else {}
