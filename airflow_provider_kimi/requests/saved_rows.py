"""The requests of an input are parted into those that are sent and those that are saved, once for all attempts."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import merge
from itertools import chain, count, islice
from pathlib import Path

import msgspec

from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, name_of_saved, task_digest
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.requests.asked import Asking
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.row_notes import RowNotes
from airflow_provider_kimi.requests.saving import Columns, Decision, Saving, decide, found_decision
from airflow_provider_kimi.requests.skipped_rows import SkippedRows
from airflow_provider_kimi.requests.splitting import place_of
from airflow_provider_kimi.requests.spool import Spool
from airflow_provider_kimi.requests.tables import InputRow


@dataclass(frozen=True)
class SavedFile:
    """What is decided about the rows of a job.

    :param name: In the output directory.
    :param sha256: Of its content.
    :param header: Its first line.
    """

    name: str
    sha256: str
    header: SavedHeader


@dataclass(frozen=True)
class Read:
    """An input that was read.

    :param spool: All requests that may be sent.
    :param left_out: The rows that may not.
    :param recipe: How rows became requests.
    :param model: Of the requests.
    """

    spool: Spool
    left_out: SkippedRows
    notes: RowNotes
    recipe: Recipe
    model: str

    def numbers(self) -> Iterator[int]:
        """The place of each request among all rows of the input, from 1."""
        unsent = set(self.left_out.numbers)
        return islice((number for number in count(1) if number not in unsent), len(self.spool.ends))

    def saved(self, decision: Decision) -> Iterator[tuple[int, int]]:
        """The place of each row that is saved, among all requests from 0, and among all rows of the input from 1."""
        return ((place, number) for place, number in enumerate(self.numbers()) if place in decision.places)

    def columns(self, values: Iterable[InputRow]) -> Iterator[Columns]:
        """The columns of the row of each request."""
        asking, unsent = Asking(self.notes.note, self.recipe.key_column), set(self.left_out.numbers)
        return (asking.columns(row.value) for number, row in enumerate(values, 1) if number not in unsent)


@dataclass(frozen=True)
class Parted:
    """The requests that are sent, how they are cut, and the numbers and the file of those that are saved."""

    sent: Spool
    cuts: list[range]
    saved: Sequence[int] = ()
    file: SavedFile | None = None


def part(
    read: Read,
    saving: Saving,
    cut: Callable[[Spool], list[range]],
    values: Iterable[InputRow],
    folder: Path,
    log: Log,
    *,
    is_fresh: bool,
) -> Parted:
    """Part the requests as the task instance has decided, or decide it now, and keep that beside the result.

    :param cut: Cuts what is sent into shards.
    :param values: The rows of the input, which are read again only for a check that asks for their columns.
    :param folder: On this machine, for what is written on the way.
    :param is_fresh: Whether what was decided before does not count, and the cache is not read.
    :raises KimiInputError: What is decided could not be found again, or the cache cannot be read.
    """
    fingerprint = read.spool.slice_of(range(len(read.spool.ends))).fingerprint()
    found, path, files = folder / "found.jsonl", folder / "saved.jsonl", saving.files
    while True:
        if files is not None and not is_fresh and files.earlier(fingerprint, found):
            decision = found_decision(read.spool, found)
        else:
            decision = decide(saving, read.spool, partial(read.columns, values), folder, is_fresh=is_fresh, log=log)
        sent = read.spool.without(decision.places, folder / "sent.jsonl") if decision.places else read.spool
        parted = Parted(sent, cut(sent), array("q", (number for _, number in read.saved(decision))))
        header = _header(read, saving, fingerprint, decision)
        sha256 = _write(path, header, _records(read, decision, parted))
        file = SavedFile(name_of_saved(saving.task, fingerprint, sha256), sha256, header)
        if files is None or files.keep(fingerprint, file.name, path, is_found=decision.is_found, is_fresh=is_fresh):
            break
    _log(log, header, len(read.spool.ends), dedupe=saving.dedupe)
    read.notes.drop(decision.places)
    return replace(parted, file=file)


def _header(read: Read, saving: Saving, fingerprint: str, decision: Decision) -> SavedHeader:
    return SavedHeader(
        task=task_digest(saving.task),
        fingerprint=fingerprint,
        cache=decision.places.cache,
        duplicate=decision.places.duplicate,
        model=read.model,
        prompt_fingerprint=read.recipe.prompt_fingerprint,
        note=read.notes.note,
    )


def _records(read: Read, decision: Decision, parted: Parted) -> Iterator[SavedRow | SkippedRow]:
    """What a saved file holds; the rows that are left out too, where no batch tells of them."""
    saved = _placed(read, decision, parted.cuts)
    left_out = () if parted.cuts else read.left_out.placed((), parted.saved)
    return merge(saved, left_out, key=lambda row: row.number)


def _placed(read: Read, decision: Decision, cuts: Sequence[range]) -> Iterator[SavedRow]:
    """The rows that are saved, each with its place among those that are sent."""
    for before, (row, (place, number)) in enumerate(zip(decision.rows(), read.saved(decision), strict=True)):
        shard, position = place_of(cuts, place - before)
        digest = read.notes.digest(place)
        yield msgspec.structs.replace(row, number=number, shard=shard, position=position, row_digest=digest)


def _write(path: Path, header: SavedHeader, rows: Iterable[SavedRow | SkippedRow]) -> str:
    """Write a saved file, and return its SHA-256."""
    digest = hashlib.sha256()
    with new_file(path) as target:
        for record in chain([header], rows):
            line = msgspec.json.encode(record) + b"\n"
            digest.update(line)
            target.write(line)
    return digest.hexdigest()


def _log(log: Log, header: SavedHeader, rows: int, *, dedupe: bool) -> None:
    log.info(
        "%s of %s rows are answered by the cache%s; %s are sent.",
        f"{header.cache:,}",
        f"{rows:,}",
        f", {header.duplicate:,} repeat another row" if dedupe or header.duplicate else "",
        f"{rows - header.rows:,}",
    )
