"""The line of a row in the results."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from airflow_provider_kimi.records.rows import BATCH_FIELDS, Row
from airflow_provider_kimi.results.columns import as_json
from airflow_provider_kimi.results.found_json import LongNumber


def _long_number(value: Any) -> msgspec.Raw:
    """Write a number with the digits that it came with."""
    if isinstance(value, LongNumber):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"a {type(value).__name__} is not JSON")


_encode = msgspec.json.Encoder(enc_hook=_long_number).encode
_NAMED = b'{"custom_id":'


class ResultLines:
    """Encodes the rows of one result, which all have the same fields.

    :param fields: Their names, in order: `custom_id` first, those of the batch last. Columns of the input come after
        the first.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = self._fields = tuple(fields)
        self._own = attrgetter(*fields[: -len(BATCH_FIELDS)])
        self._line = msgspec.defstruct("Line", [(name, Any) for name in fields], gc=False)

    def encode(self, row: Row, columns: bytes, of_batch: Sequence[Any]) -> bytes:
        """Encode one row, with its newline.

        :param columns: JSON of the columns of the input, under names that are not among the fields; empty for none.
        :param of_batch: The values of the fields that all rows of a batch share.
        """
        values = (*self._own(row), *of_batch)
        try:
            line = _encode(self._line(*values))
        except (UnicodeEncodeError, OverflowError):  # half a character, or a number of more than 64 bits
            rest = as_json(dict(zip(self._fields[1:], values[1:], strict=True)))
            line = b"".join((_NAMED, _encode(row.custom_id), b",", rest[1:]))
        if len(columns) <= len(b"{}"):
            return line + b"\n"
        first = len(_NAMED) + len(_encode(row.custom_id))
        return b"".join((line[:first], b",", columns[1:-1], line[first:], b"\n"))
