"""Which row of the input each request was made from, and whether it still asks the same."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_

from airflow_provider_kimi.records.rows import InputChange
from airflow_provider_kimi.requests.asked import UNKNOWN

#: The place of a row that the input does not have.
NOWHERE = -1

_CHANGES: tuple[InputChange | None, ...] = (None, "changed", "removed", "not_compared")
_SAME, _CHANGED, _REMOVED, _NOT_COMPARED = range(4)


@dataclass
class Requests:
    """The requests of a job, in the order of the results; rows that were left out are among them.

    :param names: A number for each name.
    :param asks: What each asks; for a row that was left out, what a row asks that cannot be sent.
    :param places: The place of its row in the input, as far as its name says; else `NOWHERE`.
    """

    names: array[int]
    asks: array[int]
    places: array[int]


@dataclass
class Join:
    """The place of the row of each request, and what has changed of it.

    :param added: The places of rows that no request was made from.
    """

    places: array[int]
    changes: bytearray
    added: list[int]

    def at(self, request: int) -> tuple[int, InputChange | None]:
        """The place of a request's row, and what has changed."""
        return self.places[request], _CHANGES[self.changes[request]]


def join(requests: Requests, names: array[int], asks: array[int], *, is_named: bool, can_compare: bool) -> Join:
    """Join requests to the rows of the input.

    Rows with a key are joined by it, whatever their order. Others are joined by what they ask, those in their place
    first, so that a row that is inserted or deleted moves no answer to another text. Where neither is known, none is
    joined.

    :param names: A number for the name of each row.
    :param asks: What each row asks.
    :param is_named: Whether rows have names of their own.
    :param can_compare: Whether it is known what the requests asked.
    """
    rows = _Rows(names, asks)
    found = Join(array("q", [NOWHERE]) * len(requests.names), bytearray([_REMOVED]) * len(requests.names), [])
    if is_named:
        _join_by_name(requests, rows, found, can_compare=can_compare)
    elif can_compare:
        _join_by_content(requests, rows, found)
    else:
        found.changes = bytearray([_NOT_COMPARED]) * len(requests.names)
        return found
    found.added = [place for place, is_taken in enumerate(rows.taken) if not is_taken]
    return found


class _Rows:
    def __init__(self, names: array[int], asks: array[int]) -> None:
        self.names = names
        self.asks = asks
        self.taken = bytearray(len(names))

    def is_free(self, place: int) -> bool:
        return 0 <= place < len(self.taken) and not self.taken[place]


def _join_by_name(requests: Requests, rows: _Rows, found: Join, *, can_compare: bool) -> None:
    """Join requests to rows of their names, those that ask the same first: a name may be that of several rows."""
    left: Sequence[int] = range(len(requests.names))
    if can_compare:
        left = _join_same(left, requests.names, rows.names, requests, rows, found)
        if _repeat(requests.names[at] for at in left) or _repeat(compress(rows.names, map(not_, rows.taken))):
            wanted, held = _pairs(requests.names, requests.asks), _pairs(rows.names, rows.asks)
            left = _join_same(left, wanted, held, requests, rows, found)
    for at, place in _places(left, requests.names, rows.names, rows):
        is_known = can_compare and rows.asks[place] != UNKNOWN
        _put(at, place, _CHANGED if is_known else _NOT_COMPARED, rows, found)


def _join_same(
    left: Sequence[int], wanted: array[int], held: array[int], requests: Requests, rows: _Rows, found: Join
) -> list[int]:
    """Join requests to those rows of the same number that ask the same, and return the others."""
    asked, asks = requests.asks, rows.asks
    for at, place in _places(left, wanted, held, rows):
        if asks[place] == asked[at]:
            _put(at, place, _SAME, rows, found)
    return [at for at in left if found.places[at] == NOWHERE]


def _repeat(numbers: Iterable[int]) -> bool:
    """Whether a number comes twice."""
    listed = list(numbers)
    return len(set(listed)) < len(listed)


def _pairs(names: array[int], asks: array[int]) -> array[int]:
    """A number for each name and what it asks."""
    return array("q", map(hash, zip(names, asks, strict=True)))


def _places(left: Sequence[int], wanted: array[int], held: array[int], rows: _Rows) -> Iterator[tuple[int, int]]:
    """The requests, of those that are left, for which there is a free row of the same number, and its place."""
    finder: _Finder | None = None
    expected, size, taken = 0, len(held), rows.taken
    for at in left:
        if expected < size and not taken[expected] and held[expected] == wanted[at]:
            place = expected
        else:
            finder = finder or _Finder(held, rows.taken)
            place = finder.find(wanted[at])
        if place != NOWHERE:
            yield at, place
            expected = place + 1


def _join_by_content(requests: Requests, rows: _Rows, found: Join) -> None:
    for at, place in enumerate(requests.places):
        if rows.is_free(place) and rows.asks[place] == requests.asks[at]:
            _put(at, place, _SAME, rows, found)
    left = [at for at, place in enumerate(found.places) if place == NOWHERE]
    if left:
        finder = _Finder(rows.asks, rows.taken)
        for at in left:
            if (place := finder.find(requests.asks[at])) != NOWHERE:
                _put(at, place, _SAME, rows, found)
    _take_places(requests, rows, found)


def _take_places(requests: Requests, rows: _Rows, found: Join) -> None:
    """Join what is left to the row in its place, if that is of no other request."""
    for at, place in enumerate(requests.places):
        if found.places[at] == NOWHERE and rows.is_free(place):
            _put(at, place, _CHANGED, rows, found)


def _put(at: int, place: int, change: int, rows: _Rows, found: Join) -> None:
    rows.taken[place] = 1
    found.places[at] = place
    found.changes[at] = change


class _Finder:
    """Finds rows by a number, each once, those of the same number in their order."""

    def __init__(self, keys: array[int], taken: bytearray) -> None:
        free = (place for place in range(len(keys)) if not taken[place])
        self._order = array("q", sorted(free, key=keys.__getitem__))
        self._keys = keys
        self._taken = taken
        self._passed = array("q", bytes(8 * len(self._order)))

    def find(self, key: int) -> int:
        """Return the first free row of a number; `NOWHERE` if there is none."""
        first = bisect_left(self._order, key, key=self._keys.__getitem__)
        for at in self._from(first):
            if self._keys[self._order[at]] != key:
                break
            self._passed[first] += 1
            if not self._taken[self._order[at]]:
                return self._order[at]
        return NOWHERE

    def _from(self, first: int) -> Iterator[int]:
        if first < len(self._order):
            yield from range(first + self._passed[first], len(self._order))
