"""Which requests are the same, by the digest of each, in a few numbers of memory for a request."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import groupby

#: There is none.
NONE = -1

_HALF = 8


class SameRequests:
    """The digests of all requests, by their place from 0.

    :param digests: Of 16 bytes each.
    """

    def __init__(self, digests: Iterable[bytes]) -> None:
        self._heads, self._tails = array("Q"), array("Q")
        for digest in digests:
            self._heads.append(int.from_bytes(digest[:_HALF], "big"))
            self._tails.append(int.from_bytes(digest[_HALF:], "big"))
        self._order = array("q", sorted(range(len(self._heads)), key=self._heads.__getitem__))

    def __len__(self) -> int:
        return len(self._heads)

    def firsts(self) -> array[int]:
        """For each request, the place of the first one that is the same: its own, if none is before it."""
        firsts = array("q", range(len(self)))
        for _, alike in groupby(self._order, key=self._heads.__getitem__):
            first_of: dict[int, int] = {}
            for place in alike:  # of one head, in their order
                firsts[place] = first_of.setdefault(self._tails[place], place)
        return firsts

    def first(self, digest: bytes) -> int:
        """The place of the first request of a digest; `NONE` if there is none."""
        head, tail = int.from_bytes(digest[:_HALF], "big"), int.from_bytes(digest[_HALF:], "big")
        at = bisect_left(self._order, head, key=self._heads.__getitem__)
        while at < len(self._order) and self._heads[place := self._order[at]] == head:
            if self._tails[place] == tail:
                return place
            at += 1
        return NONE
