"""The line of a row in the results."""

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from airflow_provider_kimi.records.rows import BATCH_FIELDS, Row

_encode = msgspec.json.encode


class ResultLines:
    """Encodes the rows of one result, which all have the same fields.

    :param fields: Their names, in order: `custom_id` first, those of the batch last. Columns of the input come after
        the first.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        own = fields[1 : -len(BATCH_FIELDS)]
        self._own = attrgetter(*own)
        self._fields = fields[1:]
        self._rest = msgspec.defstruct("Rest", [(name, Any) for name in self._fields])

    def encode(self, row: Row, columns: Mapping[str, Any], of_batch: Sequence[Any]) -> bytes:
        """Encode one row, with its newline; `of_batch` are the values of the fields that all rows of a batch share."""
        values = (*self._own(row), *of_batch)
        try:
            rest = _encode(self._rest(*values))
            between = _encode(columns, enc_hook=str)[1:-1] + b"," if columns else b""
        except (UnicodeEncodeError, OverflowError):  # half a character, or a number of more than 64 bits
            return _lenient({"custom_id": row.custom_id, **columns, **dict(zip(self._fields, values, strict=True))})
        return b"".join((b'{"custom_id":', _encode(row.custom_id), b",", between, rest[1:], b"\n"))


def _lenient(line: Mapping[str, Any]) -> bytes:
    """Encode what strict writers refuse, and the rest as they do; NaN and infinity become null."""
    plain = json.dumps(msgspec.to_builtins(line, enc_hook=str))
    numbers = json.loads(plain, parse_constant=lambda constant: None)
    return json.dumps(numbers, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
