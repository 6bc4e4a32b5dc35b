"""The table beside the answers: the columns of the row that each request was made from."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from airflow_provider_kimi.choices import KeyColumns
from airflow_provider_kimi.records.rows import InputChange
from airflow_provider_kimi.records.saved import SavedRow
from airflow_provider_kimi.records.shard_names import ShardName, count_whole
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.asked import DIGEST_BYTES, NOTHING, Asking, of_digest
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.input_rows import InputRows
from airflow_provider_kimi.results.join import NOWHERE, Join, Requests, join
from airflow_provider_kimi.results.passed_columns import EVERY_COLUMN, PassedColumns, Selection
from airflow_provider_kimi.results.recipe_notes import NotesOfJob
from airflow_provider_kimi.results.sent_rows import SentRow, sent_rows

#: Rows of a batch that show whether the platform gives requests back as they were sent.
_SAMPLE_ROWS = 100

_BY_PLACE = re.compile(r"row-([0-9]{8,})")


class Beside(NamedTuple):
    """The row of a request.

    :param columns: JSON of its columns, empty if it has none.
    :param change: How it differs from what was asked.
    :param gold: Its cell of the gold column, as the input has it now.
    """

    columns: bytes = b""
    change: InputChange | None = None
    gold: Any = None


class Table:
    """Walks the rows beside the requests of all shards, in the order of the results."""

    def __init__(self, rows: InputRows, joined: Join, key_column: KeyColumns | None, *, is_named: bool) -> None:
        self._rows = rows
        self._joined = joined
        self._is_named = is_named
        self.not_finite = rows.not_finite
        self.keys = (key_column,) if isinstance(key_column, str) else tuple(key_column or ())
        self._next = 0

    def next(self, *, was_sent: bool) -> Beside:
        """The row of the next request, or of the next row that was left out.

        A row whose text has changed keeps its key only: the answer is one to the former text.
        """
        place, change = self._joined.at(self._next)
        self._next += 1
        if place == NOWHERE:
            return Beside(b"", change)
        _, columns, gold = self._rows.at(place)
        if change == "changed" and was_sent and columns:
            parts = msgspec.json.decode(columns, type=dict[str, msgspec.Raw])
            columns = msgspec.json.encode({name: parts[name] for name in self.keys if name in parts})
        return Beside(columns, change, gold)

    def forget_added(self) -> None:
        """Name no row that no request was made from, where the rows are not the input of the batches alone."""
        self._joined.added.clear()

    def added(self) -> Iterator[tuple[str, bytes]]:
        """Names and columns of the rows that no request was made from.

        A row without a key is not named by its place alone, which is the name of another row's request.
        """
        for place in self._joined.added:
            name, columns, _ = self._rows.at(place)
            yield name if self._is_named else f"added-{name}", columns


@contextmanager
def opened_table(
    shards: Sequence[BatchFiles],
    values: Iterable[object],
    notes: Mapping[str | None, NotesOfJob],
    key_column: KeyColumns | None,
    path: Path,
    selection: Selection = EVERY_COLUMN,
    gold_column: str | None = None,
) -> Iterator[Table]:
    """Read the input, and join it to the requests.

    :param shards: The first batch of each shard, which was asked for all of its rows.
    :param values: The elements of the input.
    :param notes: What each job noted about its rows, by its key.
    :param key_column: What names the rows if no note says so.
    :param path: Where the rows are kept on this machine.
    :param selection: The columns that are wanted.
    :param gold_column: The one that answers are compared with; None for none.
    :raises KimiInputError: The input has not all columns that it names.
    """
    known = {msgspec.json.encode(job.note): job.note for job in notes.values()}
    note = next(iter(known.values())) if len(known) == 1 else None
    asking = Asking(note, key_column)
    requests, are_known = _requests(shards, asking, notes)
    passed = PassedColumns(selection, gold_column)
    with InputRows(values, asking, path, passed) as rows:
        passed.check()
        can_compare = asking.can_compare and are_known
        joined = join(requests, rows.names, rows.asks, is_named=asking.is_named, can_compare=can_compare)
        if not _is_whole(shards):
            joined.added.clear()  # it cannot be told which were asked
        yield Table(rows, joined, asking.key_column, is_named=asking.is_named)


def _requests(
    shards: Sequence[BatchFiles], asking: Asking, notes: Mapping[str | None, NotesOfJob]
) -> tuple[Requests, bool]:
    """The requests of all shards, and whether it is known what each of them asked."""
    found = Requests(array("q"), array("q"), array("q"))
    are_known = True
    asking.learn(line for files in shards for line in _first_lines(files))
    for files in shards:
        tags = Tags.of(files.batch)
        digests = notes[tags.job_key].digests_of(tags) if asking.has_digests else b""
        sent = 0
        for item in sent_rows(files):
            found.names.append(hash(item.custom_id))
            found.places.append(_place(item))
            if isinstance(item, SkippedRow):
                found.asks.append(NOTHING)
            elif isinstance(item, SavedRow):
                found.asks.append(_asked_by_saved(item, asking))
            elif asking.has_digests:
                found.asks.append(of_digest(digests[sent * DIGEST_BYTES : (sent + 1) * DIGEST_BYTES]))
                sent += 1
            else:
                found.asks.append(asking.of_line(item.line or b""))
        are_known &= not asking.has_digests or len(digests) == sent * DIGEST_BYTES
    return found, are_known


def _asked_by_saved(row: SavedRow, asking: Asking) -> int:
    return of_digest(row.row_digest) if asking.has_digests else asking.of_line(bytes(row.request))


def _first_lines(files: BatchFiles) -> Iterator[bytes]:
    for item in islice(sent_rows(files), _SAMPLE_ROWS):
        if isinstance(item, SentRow) and item.line:
            yield item.line


def _is_whole(shards: Sequence[BatchFiles]) -> bool:
    """Whether every row of each job is known, also of those that were not sent; a preview asks some rows only."""
    if any(Tags.of(files.batch).preview_of for files in shards):
        return False
    names: dict[tuple[str | None, int], list[ShardName]] = defaultdict(list)
    for files in shards:
        tags = Tags.of(files.batch)
        if (name := tags.shard_name) is not None:
            names[tags.job_key, name.shards].append(name)
    all_there = all(count == count_whole(found) for (_, count), found in names.items())
    are_saved_there = all(files.saved is not None for files in shards if Tags.of(files.batch).saved)
    return all_there and are_saved_there and all(files.requests is not None for files in shards)


def _place(item: SentRow | SkippedRow | SavedRow) -> int:
    """The place of a row in the input, from 0, as far as its name says."""
    if not isinstance(item, SentRow):
        return item.number - 1
    named = _BY_PLACE.fullmatch(item.custom_id)
    return int(named[1]) - 1 if named else NOWHERE
