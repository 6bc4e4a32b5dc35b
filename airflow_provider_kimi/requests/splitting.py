"""Which rows go into which batch, always the same: where to cut an input that is too large for one, and a sample."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def cut(
    ends: Sequence[int], *, max_bytes: int, max_rows: int | None = None, pilot_rows: int | None = None
) -> list[range]:
    """Cut rows into the fewest shards within the limits, of sizes as even as these allow.

    :param ends: The offset at which each row ends, ascending; no single row may be over `max_bytes`.
    :param max_bytes: Bytes that a shard may have.
    :param max_rows: Rows that a shard may have; None for any number.
    :param pilot_rows: Rows of a smaller first shard; the rest is cut as if it were all. None for no such shard.
    :return: The rows of each shard, numbered from 0.
    """
    cuts = _cut(ends, max_bytes, max_rows, 0)
    if pilot_rows is None or not cuts or pilot_rows >= len(cuts[0]):
        return cuts
    return [range(pilot_rows), *_cut(ends, max_bytes, max_rows, pilot_rows)]


def _cut(ends: Sequence[int], max_bytes: int, max_rows: int | None, first: int) -> list[range]:
    rows = max_rows or max(len(ends), 1)
    earliest = _from_the_back(ends, max_bytes, rows, first)
    shards: list[range] = []
    start = ends[first - 1] if first else 0
    for left in reversed(range(len(earliest))):
        begin = ends[first - 1] if first else 0
        latest = min(bisect_right(ends, begin + max_bytes, first), first + rows, len(ends) - left)
        even = _nearest(ends, start + (ends[-1] - start) * (len(earliest) - left) // len(earliest))
        stop = min(max(even, earliest[left], first + 1), latest)
        shards.append(range(first, stop))
        first = stop
    return shards


def _from_the_back(ends: Sequence[int], max_bytes: int, max_rows: int, first: int) -> list[int]:
    """For 0, 1, 2, ... shards, up to the number needed, the earliest row from which the rest fits into them."""
    earliest = []
    stop = len(ends)
    while stop > first:
        earliest.append(stop)
        fits = bisect_left(ends, ends[stop - 1] - max_bytes, 0, stop) + 1 if ends[stop - 1] > max_bytes else 0
        stop = max(fits, stop - max_rows, first)
    return earliest


def _nearest(ends: Sequence[int], offset: int) -> int:
    behind = bisect_left(ends, offset)
    if behind and offset - ends[behind - 1] <= ends[min(behind, len(ends) - 1)] - offset:
        return behind
    return min(behind + 1, len(ends))


def place_of(cuts: Sequence[range], before: int) -> tuple[int, int]:
    """Say where a row that is not sent stands: the number of its shard, from 1, and how many rows of it come before.

    :param before: How many rows are sent before it, of all shards.
    """
    shard = bisect_right(cuts, before, key=lambda rows: rows.start)
    return (shard, before - cuts[shard - 1].start) if cuts else (1, 0)


def spread(rows: int, wanted: int) -> Sequence[int]:
    """The numbers of rows, from 0, that stand evenly over an input: all of them if there are no more than wanted."""
    if wanted >= rows:
        return range(rows)
    return [(2 * place + 1) * rows // (2 * wanted) for place in range(wanted)]
