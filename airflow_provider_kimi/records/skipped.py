"""Rows that were left out of a batch: which, and why.

Their content never leaves the worker, because a row may have columns that no prompt uses.
"""

import msgspec


class SkippedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that was not sent.

    :param shard: Number of the batch that it would have been in, from 1.
    :param position: How many requests of that batch come before it.
    :param custom_id: Its key, or the id that its place in the input would have given it.
    :param place: Where it stands in the input.
    :param number: Its place among all rows of the input, from 1.
    :param reason: Why it was not sent.
    :param version: Of the shape; version 1 is not written, because a job is identified by the bytes of these rows.
    """

    shard: int = 1
    position: int = 0
    custom_id: str
    place: str = ""
    number: int = 0
    reason: str = ""
    version: int | msgspec.UnsetType = msgspec.UNSET
