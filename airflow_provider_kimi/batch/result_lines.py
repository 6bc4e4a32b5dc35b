"""What is written of a row: its line in the results, and the request that is to be asked again."""

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from airflow_provider_kimi.batch.columns import BATCH_FIELDS, renamed, without_binary
from airflow_provider_kimi.batch.rows import Row

_encode = msgspec.json.encode


class ResultLines:
    """Encodes the rows of one result, which all have the same fields.

    :param fields: Their names, in order: `custom_id` first, those of a batch last; columns of the table come between
        the first and the others.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        own = fields[1 : -len(BATCH_FIELDS)]
        self._own = attrgetter(*own)
        self._fields = fields[1:]
        self._rest = msgspec.defstruct("Rest", [(name, Any) for name in self._fields])

    def encode(self, row: Row, columns: Mapping[str, Any], of_batch: Sequence[Any]) -> bytes:
        """Encode one row, with its newline.

        :param of_batch: Values of the fields that all rows of its batch share.
        """
        values = (*self._own(row), *of_batch)
        try:
            rest = _encode(self._rest(*values))
            between = _encode(columns, enc_hook=str)[1:-1] + b"," if columns else b""
        except (UnicodeEncodeError, OverflowError):  # half a character, or a number of more than 64 bits
            return _lenient({"custom_id": row.custom_id, **columns, **dict(zip(self._fields, values, strict=True))})
        return b"".join((b'{"custom_id":', _encode(row.custom_id), b",", between, rest[1:], b"\n"))


def _lenient(line: Mapping[str, Any]) -> bytes:
    """Encode what strict writers refuse; as with them, a number that is none becomes null."""
    numbers = json.loads(json.dumps(line, default=str), parse_constant=lambda constant: None)
    return json.dumps(numbers, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def dead_letter(row: Row, request: bytes, table_row: Mapping[str, Any] | None) -> bytes:
    """Encode a request that has no usable answer, with the reason and the row that it was made from.

    A create takes both out again before it sends the request.

    :param request: The line that was sent.
    :param table_row: Where it came from; None where that is not known.
    """
    further = _reasons(row) if table_row is None else {**_reasons(row), "row": without_binary(table_row)}
    return b"".join((request.rstrip()[:-1], b",", _encode(further)[1:], b"\n"))


def dead_letter_of_unsent(row: Row, table_row: Any) -> bytes:
    """Encode a row that was never sent, with the reason."""
    return _encode({"custom_id": row.custom_id, "row": table_row, **_reasons(row)}) + b"\n"


def _reasons(row: Row) -> dict[str, Any]:
    return {"error": {"status": row.status, "code": row.error_code, "message": row.error_message}}


def columns_of(table_row: Any) -> dict[str, Any]:
    """The columns of a row of the table as results name them; none of an element that is no row."""
    return renamed(table_row) if isinstance(table_row, Mapping) else {}
