"""Where to cut an input that is too large for one batch: between rows, evenly, and always at the same places."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def cut(ends: Sequence[int], *, max_bytes: int, max_rows: int | None = None) -> list[range]:
    """Cut rows into the fewest shards within the limits, of sizes as even as these allow.

    :param ends: The offset at which each row ends, ascending; no single row may be over `max_bytes`.
    :param max_bytes: Bytes that a shard may have.
    :param max_rows: Rows that a shard may have; None for any number.
    :return: The rows of each shard, numbered from 0.
    """
    rows = max_rows or max(len(ends), 1)
    earliest = _from_the_back(ends, max_bytes, rows)
    shards: list[range] = []
    first = 0
    for left in reversed(range(len(earliest))):
        begin = ends[first - 1] if first else 0
        latest = min(bisect_right(ends, begin + max_bytes, first), first + rows, len(ends) - left)
        even = _nearest(ends, ends[-1] * (len(earliest) - left) // len(earliest))
        stop = min(max(even, earliest[left], first + 1), latest)
        shards.append(range(first, stop))
        first = stop
    return shards


def _from_the_back(ends: Sequence[int], max_bytes: int, max_rows: int) -> list[int]:
    """For 0, 1, 2, ... shards, up to the number needed, the earliest row from which the rest fits into them."""
    earliest = []
    stop = len(ends)
    while stop:
        earliest.append(stop)
        fits = bisect_left(ends, ends[stop - 1] - max_bytes, 0, stop) + 1 if ends[stop - 1] > max_bytes else 0
        stop = max(fits, stop - max_rows)
    return earliest


def _nearest(ends: Sequence[int], offset: int) -> int:
    behind = bisect_left(ends, offset)
    if behind and offset - ends[behind - 1] <= ends[min(behind, len(ends) - 1)] - offset:
        return behind
    return min(behind + 1, len(ends))
