"""Rows that were left out of a batch: which, and why.

What they hold never leaves the worker: a row may have columns that no prompt uses and nobody means to send.
"""

import msgspec


class SkippedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that was not sent.

    :param shard: Number of the batch among which it would have been, from 1.
    :param position: How many requests of that batch come before it.
    :param custom_id: The name that it has, or would have had by its place.
    :param place: Where it stands in the input.
    :param number: Its place among all rows of the input, from 1.
    :param reason: Why it was not sent.
    :param version: Of the shape; the first one is not written, since jobs are known by the bytes of these rows.
    """

    shard: int = 1
    position: int = 0
    custom_id: str
    place: str = ""
    number: int = 0
    reason: str = ""
    version: int | msgspec.UnsetType = msgspec.UNSET
