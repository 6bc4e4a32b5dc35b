"""Prepare: read the whole input once, make and check every request, and cut what is too large for one batch.

Nothing is sent. Afterwards all that a batch is made of lies on this machine's disk, and memory stays flat.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.line_ids import id_of
from airflow_provider_kimi.records.recipe_note import RowsNote
from airflow_provider_kimi.records.tags import digest_of
from airflow_provider_kimi.requests.chunks import Chunk
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.keys import custom_id_of
from airflow_provider_kimi.requests.line_template import encode
from airflow_provider_kimi.requests.media import MediaKind
from airflow_provider_kimi.requests.media_files import MediaShelf
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.plain_prompts import PlainPrompts, RequestLines
from airflow_provider_kimi.requests.preview import Sample
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import is_ready_request
from airflow_provider_kimi.requests.row_notes import RowNotes
from airflow_provider_kimi.requests.saved_rows import Parted, Read, SavedFile, part
from airflow_provider_kimi.requests.seen_ids import SeenIds
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.requests.skipped_rows import SkippedRows
from airflow_provider_kimi.requests.splitting import cut
from airflow_provider_kimi.requests.spool import Spool
from airflow_provider_kimi.requests.tables import InputRow
from airflow_provider_kimi.requests.usual_requests import UsualRequests
from airflow_provider_kimi.requests.validation import RequestCheck
from airflow_provider_kimi.requests.ways import AsGiven

#: Batches that one task may make: their ids have to fit into a manifest of 8 KB, and 100 full files are all of the
#: 10 GB that an account may keep.
MAX_BATCHES = 100


@dataclass(frozen=True)
class Prepared:
    """A checked input.

    :param fingerprint: Names all its requests.
    :param media: Files to upload before the requests that name them, by placeholder.
    :param skipped: The rows that are left out; None if there are none.
    :param saved: What is decided about rows whose answers are there; None if all rows are sent.
    :param notes: How rows became requests, and the digests of the rows of each shard.
    :param preview_of: How many rows can be sent, where these are a sample of them; None where they are all.
    """

    shards: list[Shard]
    model: str
    fingerprint: str
    media: Mapping[str, tuple[MediaKind, Path]]
    skipped: Path | None
    notes: Sequence[RowsNote]
    saved: SavedFile | None = None
    preview_of: int | None = None

    @property
    def request_count(self) -> int:
        """How many requests there are."""
        return sum(shard.content.rows for shard in self.shards)


def prepare(order: Order, folder: Path, log: Log) -> Prepared:
    """Check every row of the input, and write it as batch input files.

    :raises KimiInputError: Names what is wrong with the input.
    """
    holds_requests = isinstance(order.input, str) and isinstance(order.recipe.way, AsGiven)
    if holds_requests:
        order.recipe.check_unused(order.media_columns)
    source = Input(order.input, ready=holds_requests, reading=order.reading)
    maker = _RequestMaker(order, folder / "media", is_ready=holds_requests)
    left_out = SkippedRows(folder, source.place)
    notes = RowNotes(order.recipe, list(order.media_columns), order.reading, is_ready=holds_requests)
    spool = _read(source, maker, left_out, notes, folder)
    _judge(order, source, spool, left_out)
    sample = Sample.of(spool, order.preview_rows, notes, folder)
    model = maker.check.model or order.recipe.model
    parted = _parted(order, source, Read(sample.spool, left_out, notes, order.recipe, model), folder, log)
    for warning in order.recipe.lint():
        log.warning("%s", warning)
    for warning, rows in maker.check.warnings.items():
        log.warning("%s rows: %s", rows, warning)
    for problems in left_out.describe():
        log.warning("%s has %s. These rows are left out.", source, problems)
    contents = map(parted.sent.slice_of, parted.cuts)
    shards = [Shard(number, content, content.fingerprint()) for number, content in enumerate(contents, 1)]
    skipped = None if sample.of_rows else _write_skipped(left_out, folder / "skipped.jsonl", parted)
    return Prepared(
        shards,
        model=model,
        fingerprint=sample.fingerprint(_fingerprint(shards, skipped, parted.file)),
        media=sample.media(maker.shelf.files),
        skipped=skipped,
        notes=notes.of_shards(parted.cuts),
        saved=parted.file,
        preview_of=sample.of_rows,
    )


def _parted(order: Order, source: Input, read: Read, folder: Path, log: Log) -> Parted:
    """Part what is sent from what is saved, and cut it into shards."""
    if order.saving is None:
        return Parted(read.spool, _cut(order, source, read.spool))
    return part(
        read,
        order.saving,
        lambda sent: _cut(order, source, sent),
        source,
        folder,
        log,
        is_fresh=order.reuse == "never",
    )


class _RequestMaker:
    def __init__(self, order: Order, media_folder: Path, *, is_ready: bool) -> None:
        self._is_ready = is_ready
        self.check = RequestCheck(order.model, order.recipe.rules)
        self.shelf = MediaShelf(order.media_columns, order.media, media_folder)
        self._order = order
        self._way = order.recipe.way
        self._may_be_requests = isinstance(self._way, AsGiven)
        self._usual = UsualRequests(self.check)
        self._plain = None if order.media_columns else PlainPrompts.of(self._way, order.recipe.key_column)

    def made_at_once(self, chunk: Chunk, number: int) -> RequestLines | None:
        """Return the requests of rows that are plain; None if each has to be looked at.

        :param number: The place of the first one among all rows of the input, from 1.
        """
        if not chunk.may_be_whole:
            return None
        if self._is_ready:
            custom_ids = self._usual.passed(chunk.values)
            return None if custom_ids is None else RequestLines(custom_ids, list(chunk.values))
        requests = self._plain.requests(chunk.values, number) if self._plain else None
        if requests is None or max(map(len, requests.lines), default=0) >= MAX_FILE_BYTES:
            return None
        self.check.names(self._order.recipe.model)
        return requests

    def made_one_by_one(
        self, rows: Iterable[InputRow], number: int, left_out: SkippedRows, notes: RowNotes
    ) -> RequestLines:
        """Return the requests of rows, without those that are left out."""
        requests = RequestLines([], [])
        for at, (row, problem) in enumerate(rows, number):
            try:
                if problem is not None:
                    raise RowProblem(problem)
                custom_id, line = self.check.passed(row) if self._is_ready else self.made(row, at)
                if len(line) >= MAX_FILE_BYTES:
                    raise RowProblem(
                        f"makes a request of {len(line):,} bytes; a whole batch file may have {MAX_FILE_BYTES:,}",
                        custom_id,
                    )
            except RowProblem as found:
                left_out.add(at, found)
            else:
                requests.custom_ids.append(custom_id)
                requests.lines.append(line)
                notes.add(row)
        return requests

    def made(self, row: object, number: int) -> tuple[str, bytes]:
        """Return a row's `custom_id` and its request line.

        :param number: Its place among all rows of the input, from 1.
        :raises RowProblem: It cannot be made into a request, or may not be sent.
        """
        recipe = self._order.recipe
        if self._way.doubled:
            self._way.check_braces(row)
        if self._may_be_requests and is_ready_request(row):
            recipe.check_unused(self._order.media_columns)
            return self.check.passed(encode(row))
        custom_id = custom_id_of(row, number, recipe.key_column)
        kept = len(self.shelf.files)
        try:
            line = self._way.line(row, custom_id, self.shelf.parts(row) if self._order.media_columns else ())
            if not isinstance(row, self._way.trusted):
                return self.check.passed(line)
            self.check.names(recipe.model)
            return custom_id, line
        except RowProblem as problem:
            problem.custom_id = None if recipe.key_column is None else custom_id
            self.shelf.forget_after(kept)
            raise


def _read(source: Input, maker: _RequestMaker, left_out: SkippedRows, notes: RowNotes, folder: Path) -> Spool:
    seen = SeenIds()
    with Spool(folder / "requests.jsonl") as spool:
        number = 1
        for chunk in source.chunks():
            requests = maker.made_at_once(chunk, number) or maker.made_one_by_one(chunk.rows(), number, left_out, notes)
            if requests.lines:
                seen.extend(requests.custom_ids)
                spool.extend(requests.lines)
            number += len(chunk)
    repeated = _repeated(spool, suspects, left_out, source) if (suspects := seen.repeated()) else ()
    notes.drop(repeated)
    return spool.without(repeated, folder / "unique.jsonl") if repeated else spool


def _repeated(spool: Spool, suspects: set[int], left_out: SkippedRows, source: Input) -> set[int]:
    """Leave out each row that repeats the `custom_id` of an earlier one, and return the numbers of their lines.

    :param suspects: Hashes of those that may.
    """
    first: dict[str, int] = {}
    repeated: set[int] = set()
    unsent = set(left_out.numbers)
    numbers = (number for number in count(1) if number not in unsent)
    for line_number, line in enumerate(spool.lines()):
        number = next(numbers)
        custom_id = id_of(line)
        if custom_id is None or hash(custom_id) not in suspects:
            continue
        if custom_id not in first:
            first[custom_id] = number
            continue
        repeated.add(line_number)
        earlier = source.place(first[custom_id])
        problem = RowProblem(f"repeats the custom_id of {earlier}; each must be unique", custom_id)
        left_out.add(number, problem)
    return repeated


def _judge(order: Order, source: Input, spool: Spool, left_out: SkippedRows) -> None:
    """Refuse an input with a row that may not be left out, or with none to send."""
    if left_out.problems.count and order.on_invalid_row == "fail":
        others = "; on_invalid_row='skip' leaves such rows out" if spool.ends else ""
        raise KimiInputError(
            f"{source} has {left_out.problems.describe()}. Nothing was sent. Correct the input or the task's "
            f"parameters, then clear the task{others}."
        )
    if not spool.ends:
        described = " and ".join(left_out.describe())
        why = f"has no row that can be sent: {described}" if described else "is empty"
        raise KimiInputError(f"{source} {why}. Nothing was sent. A batch needs at least one row.")


def _cut(order: Order, source: Input, spool: Spool) -> list[range]:
    most, pilot = order.max_rows_per_batch, None if order.preview_rows else order.pilot_rows
    cuts = cut(spool.ends, max_bytes=MAX_FILE_BYTES, max_rows=most, pilot_rows=pilot)
    if len(cuts) > MAX_BATCHES:
        raise KimiInputError(
            f"{source} makes {len(spool.ends):,} requests of {spool.ends[-1]:,} bytes, which are {len(cuts):,} "
            f"batches; one task makes at most {MAX_BATCHES}. Nothing was sent. Raise max_rows_per_batch, or expand the "
            "operator over parts of the input."
        )
    return cuts


def _write_skipped(left_out: SkippedRows, path: Path, parted: Parted) -> Path | None:
    if not left_out.numbers:
        return None
    left_out.write(path, parted.cuts, parted.saved)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise KimiInputError(
            f"{len(left_out.numbers):,} rows would be left out, over {MAX_FILE_BYTES:,} bytes of them. Nothing was "
            f"sent. So many are likely to be a mistake: the input has {left_out.problems.describe()}."
        )
    return path


def _fingerprint(shards: Sequence[Shard], skipped: Path | None, saved: SavedFile | None) -> str:
    """Name the requests. The same requests with other rows left out, or saved, are another job."""
    fingerprints = [shard.fingerprint for shard in shards]
    if skipped is not None:
        fingerprints.append(f"skipped:{hashlib.sha256(skipped.read_bytes()).hexdigest()}")
    if saved is not None and saved.header.rows:
        fingerprints.append(f"saved:{saved.sha256}")
    return fingerprints[0] if len(fingerprints) == 1 else digest_of(*fingerprints)
