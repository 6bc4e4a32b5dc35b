"""Rows that were left out of a batch: what is kept of them, so that none is lost."""

from typing import Any

import msgspec

#: Metadata of a batch whose input had such rows: id of the file on the platform that holds them.
SKIPPED_FILE_KEY = "kimi_skipped_file"

#: A row whose JSON is larger is named, but not repeated.
MAX_KEPT_BYTES = 1_000_000


class SkippedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that was not sent.

    :param shard: Number of the batch among which it would have been, from 1.
    :param position: How many requests of that batch come before it.
    :param custom_id: The name that it has, or would have had by its place.
    :param place: Where it stands in the input.
    :param reason: Why it was not sent.
    :param row: The row, or the text of its line; None where it cannot be written as JSON.
    """

    shard: int
    position: int
    custom_id: str
    place: str
    reason: str
    row: Any = None


def kept(value: object) -> Any:
    """A row as far as JSON can hold it."""
    if isinstance(value, bytes):
        return value[:MAX_KEPT_BYTES].decode("utf-8", "replace")
    try:
        encoded = msgspec.json.encode(value, enc_hook=str)
    except Exception:  # whatever the `str` of a user's class may raise; the row is still named
        return None
    return msgspec.Raw(encoded) if len(encoded) <= MAX_KEPT_BYTES else None
