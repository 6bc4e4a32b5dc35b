"""Names of shards: which of the rows of a job a batch was made for."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, Self

_NAME = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)(?: rows ([1-9][0-9]*)-([1-9][0-9]*) of ([1-9][0-9]*))?")

_SHORT = re.compile(r"([1-9][0-9]*)(?:\.([1-9][0-9]*)-([1-9][0-9]*))?-")


class Part(NamedTuple):
    """Some of the rows of a shard: a half of it, or a half of one.

    :param start: How many rows of the shard come before.
    :param stop: How many rows of the shard have come by its end.
    :param total: How many rows the shard has.
    """

    start: int
    stop: int
    total: int

    @property
    def halves(self) -> tuple["Part", "Part"]:
        """The same rows in two parts. The first one has one more where their number is odd."""
        middle = (self.start + self.stop + 1) // 2
        return Part(self.start, middle, self.total), Part(middle, self.stop, self.total)


class ShardName(NamedTuple):
    """Names a shard, or a part of one: `3/20`, or `3/20 rows 1-500 of 1000`.

    :param number: Of the shard, from 1.
    :param shards: How many shards the job has.
    :param part: Which of its rows; None for all of them.
    """

    number: int
    shards: int
    part: Part | None = None

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Read a name; None if it is not one."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        number, shards, first, stop, total = (int(group or 0) for group in found.groups())
        if not total:
            return cls(number, shards)
        return cls(number, shards, Part(first - 1, stop, total)) if first <= stop <= total else None

    def __str__(self) -> str:
        whole = f"{self.number}/{self.shards}"
        part = self.part
        return whole if part is None else f"{whole} rows {part.start + 1}-{part.stop} of {part.total}"

    @property
    def short(self) -> str:
        """What the name of a file says."""
        return str(self.number) if self.part is None else f"{self.number}.{self.part.start + 1}-{self.part.stop}"

    def is_met_by(self, short: str) -> bool:
        """Whether the name of a file, from its short name on, is that of some of these rows."""
        found = _SHORT.match(short)
        if found is None or int(found[1]) != self.number:
            return False
        if self.part is None or found[2] is None:
            return True
        return int(found[2]) <= self.part.stop and self.part.start < int(found[3])

    @property
    def place(self) -> tuple[int, int, float]:
        """Sorts shards and parts in the order of the input, the larger one first of two that begin with one row."""
        return (self.number, 0, -math.inf) if self.part is None else (self.number, self.part.start, -self.part.stop)

    def holds(self, other: "ShardName") -> bool:
        """Whether all rows of another name are of this one."""
        if self[:2] != other[:2]:
            return False
        if self.part is None or other.part is None:
            return self.part is None
        return self.part.start <= other.part.start and other.part.stop <= self.part.stop

    def consists_of(self, names: Iterable["ShardName"]) -> bool:
        """Whether all of its rows are of these names, each of which it holds."""
        at, stop = (self.part.start, self.part.stop) if self.part else (0, 0)
        for name in sorted(names, key=lambda name: name.place):
            if name.part is None:
                return True
            if name.part.start > at:
                return False
            at, stop = max(at, name.part.stop), stop or name.part.total
        return 0 < stop <= at


def count_whole(names: Iterable[ShardName]) -> int:
    """How many shards of a job are there with all of their rows."""
    by_number: dict[int, list[ShardName]] = defaultdict(list)
    for name in names:
        by_number[name.number].append(name)
    return sum(found[0]._replace(part=None).consists_of(found) for found in by_number.values())
