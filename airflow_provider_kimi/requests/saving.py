"""Which rows of an input are not sent, because the cache has their answer, or an earlier row asks the same."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

import msgspec

from airflow_provider_kimi.cache.digests import request_digest
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.files.line_ids import UNREADABLE, id_of
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.saved import SavedRow, read_saved_line
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.requests.same_requests import NONE, SameRequests
from airflow_provider_kimi.requests.spool import Spool

#: Those of a row of a table; None if they are not known.
Columns = Mapping[str, Any] | None


class UsableAnswers(Protocol):
    """Says which answers of the cache can be used now."""

    @property
    def needs_columns(self) -> bool:
        """Whether it may ask for the columns of the row."""

    def fits(self, answer: bytes) -> bool:
        """Whether an answer is what every row has to have."""

    def passes(self, custom_id: str, answer: bytes, columns: Columns) -> bool:
        """Whether it is an answer to this row."""


class SavedFiles(Protocol):
    """Keeps what was decided beside the result, for every attempt of the task instance."""

    def earlier(self, fingerprint: str, path: Path) -> bool:
        """Copy what an earlier attempt has decided about these requests; False if that is nothing."""

    def keep(self, fingerprint: str, name: str, path: Path, *, is_found: bool, is_fresh: bool) -> bool:
        """Keep a file under its name.

        :param fingerprint: Of all requests.
        :param is_found: Whether an earlier attempt has decided what is in it.
        :param is_fresh: Whether it takes the place of whatever was decided before.
        :return: False if another attempt has decided meanwhile, so that its decision counts.
        :raises KimiInputError: It could not be found again.
        """

    def forget(self, name: str) -> None:
        """Remove a file, so that a later attempt decides anew."""


@dataclass(frozen=True)
class Saving:
    """How rows are saved.

    :param dedupe: Whether a row that asks the same as an earlier one is not sent.
    :param cache: Opens the cache; None for none.
    :param base_url: Of the platform.
    :param answers: Which answers of the cache can be used.
    :param task: The task instance, which decides once about an input.
    :param files: Where its decision is kept; None for a dry run, which keeps none.
    """

    dedupe: bool
    cache: Callable[[], AnswerCache] | None
    base_url: str
    answers: UsableAnswers
    task: TaskIdentity
    files: SavedFiles | None = None

    def forget(self, name: str) -> None:
        """Let a later attempt decide anew, since nothing was sent."""
        if self.files is not None:
            self.files.forget(name)

    def digest(self, line: bytes) -> bytes:
        """Digest what a request line asks."""
        return request_digest(bytes(_read_request(line).body), base_url=self.base_url)


class _Request(msgspec.Struct, gc=False):
    body: msgspec.Raw


_read_request = msgspec.json.Decoder(_Request).decode

#: Refuses what would break the line of a saved file, or add keys to it.
_read_whole = msgspec.json.Decoder(msgspec.Raw).decode


class SavedPlaces:
    """The rows that are saved, by their place among all that may be sent, from 0."""

    def __init__(self, rows: int) -> None:
        self._is_saved = bytearray(rows)
        self.cache = 0
        self.duplicate = 0

    def add(self, place: int, row: SavedRow) -> None:
        """Add one."""
        self._is_saved[place] = 1
        if row.twin is None:
            self.cache += 1
        else:
            self.duplicate += 1

    def __len__(self) -> int:
        return self.cache + self.duplicate

    def __contains__(self, place: object) -> bool:
        return bool(self._is_saved[place]) if isinstance(place, int) else False


@dataclass(frozen=True)
class Decision:
    """Which rows are saved, in the order of the input.

    :param path: Their lines on this machine, which do not say yet where each stands among the rows that are sent.
    :param is_found: Whether an earlier attempt has decided it.
    """

    places: SavedPlaces
    path: Path
    is_found: bool = False

    def rows(self) -> Iterator[SavedRow]:
        """The rows that are saved."""
        with self.path.open("rb") as lines:
            yield from (row for line in lines if isinstance(row := read_saved_line(line), SavedRow))


def found_decision(spool: Spool, path: Path) -> Decision:
    """Read what an earlier attempt has decided about these very requests.

    :param path: The lines of its rows.
    """
    decision = Decision(SavedPlaces(len(spool.ends)), path, is_found=True)
    rows = decision.rows()
    waiting = next(rows, None)
    for place, line in enumerate(spool.lines()):
        if waiting is None:
            break
        if id_of(line) == waiting.custom_id:
            decision.places.add(place, waiting)
            waiting = next(rows, None)
    return decision


def decide(
    saving: Saving, spool: Spool, columns: Callable[[], Iterator[Columns]], folder: Path, *, is_fresh: bool, log: Log
) -> Decision:
    """Decide which rows are saved.

    :param spool: All requests that may be sent.
    :param columns: Reads the columns of the row of each of them again.
    :param folder: On this machine, for what is written on the way.
    :param is_fresh: Whether the cache is not read, because all rows are paid again on purpose.
    """
    same = SameRequests(map(saving.digest, spool.lines()))
    firsts = same.firsts()
    answers = _Answers(len(same), folder / "cached.jsonl")
    if saving.cache is not None and not is_fresh:
        cache = saving.cache()
        answers.look_up(cache, same, saving.answers)
        if cache.damaged:
            log.warning("Lines of the cache that are not as they were written are passed over: %s.", cache.damaged)
    decision = Decision(SavedPlaces(len(same)), folder / "decided.jsonl")
    with answers, new_file(decision.path) as target:
        beside = chain(columns(), repeat(None)) if saving.answers.needs_columns and answers.count else repeat(None)
        for place, (line, row) in enumerate(zip(spool.lines(), beside, strict=False)):
            custom_id, first = id_of(line) or "", firsts[place]
            saved = None
            if saving.dedupe and first != place:
                saved = _saved(custom_id, line, twin=id_of(spool.line(first)))
            elif (answer := answers.at(first)) and saving.answers.passes(custom_id, answer, row):
                saved = _saved(custom_id, line, answer=msgspec.Raw(answer))
            if saved is not None:
                decision.places.add(place, saved)
                target.write(msgspec.json.encode(saved) + b"\n")
    return decision


def _saved(custom_id: str, line: bytes, **why: Any) -> SavedRow:
    return SavedRow(custom_id=custom_id, number=0, request=msgspec.Raw(line.strip()), **why)


class _Answers:
    """Answers of the cache, kept on this machine's disk by the place of the first request that asks the same."""

    def __init__(self, rows: int, path: Path) -> None:
        self._offsets = array("q", [NONE]) * rows
        self._file = path.open("w+b")
        self._size = 0
        self.count = 0

    def look_up(self, cache: AnswerCache, same: SameRequests, usable: UsableAnswers) -> None:
        """Take the newest usable answer to each request."""

        def is_wanted(digest: bytes) -> bool:
            return (place := same.first(digest)) != NONE and self._offsets[place] == NONE

        for digest, answer in cache.find(is_wanted):
            with suppress(*UNREADABLE):  # an answer that cannot be read cannot be used
                _read_whole(answer)
                if usable.fits(answer):
                    self._add(same.first(digest), answer)

    def _add(self, place: int, answer: bytes) -> None:
        self._offsets[place] = self._size
        self._size += self._file.write(answer.replace(b"\n", b" ") + b"\n")
        self.count += 1

    def at(self, place: int) -> bytes:
        """The answer to a request; empty if there is none."""
        if self._offsets[place] == NONE:
            return b""
        self._file.seek(self._offsets[place])
        return self._file.readline().removesuffix(b"\n")

    def __enter__(self) -> _Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
