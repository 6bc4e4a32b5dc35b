"""The line of a row in the results."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from airflow_provider_kimi.records.rows import BATCH_FIELDS, Row
from airflow_provider_kimi.results.columns import as_json

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

    def encode(self, row: Row, columns: bytes, of_batch: Sequence[Any]) -> bytes:
        """Encode one row, with its newline.

        :param columns: JSON of the columns of the input, under names that are not among the fields; empty for none.
        :param of_batch: The values of the fields that all rows of a batch share.
        """
        values = (*self._own(row), *of_batch)
        try:
            rest = _encode(self._rest(*values))
        except (UnicodeEncodeError, OverflowError):  # half a character, or a number of more than 64 bits
            rest = as_json(dict(zip(self._fields, values, strict=True)))
        between = columns[1:-1] + b"," if len(columns) > len(b"{}") else b""
        return b"".join((b'{"custom_id":', _encode(row.custom_id), b",", between, rest[1:], b"\n"))
