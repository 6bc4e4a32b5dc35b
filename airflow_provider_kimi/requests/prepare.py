"""Prepare: read the whole input once, make and check every request, and cut what is too large for one batch.

Nothing is sent. All that a batch is made of lies on this machine's disk afterwards, and memory stays flat.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.line_ids import id_of
from airflow_provider_kimi.records.tags import digest_of
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.keys import custom_id_of
from airflow_provider_kimi.requests.line_template import encode
from airflow_provider_kimi.requests.media import MediaKind
from airflow_provider_kimi.requests.media_files import MediaShelf
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.problems import Faults, NeverSent, RowProblem
from airflow_provider_kimi.requests.recipe import is_ready_request
from airflow_provider_kimi.requests.seen_ids import SeenIds
from airflow_provider_kimi.requests.skipped_rows import SkippedRows
from airflow_provider_kimi.requests.splitting import cut
from airflow_provider_kimi.requests.spool import Slice, Spool
from airflow_provider_kimi.requests.tables import Item
from airflow_provider_kimi.requests.validation import RequestCheck

#: Batches that one task may make: their ids have to fit into a manifest of 8 KB, and 100 full files are all of the
#: 10 GB that an account may keep.
MAX_BATCHES = 100


@dataclass(frozen=True)
class Shard:
    """One checked batch input file, as far as it can be known before media are uploaded.

    :param number: Its place among the shards, from 1.
    """

    number: int
    content: Slice
    fingerprint: str


@dataclass(frozen=True)
class Prepared:
    """A checked input.

    :param fingerprint: Names all its requests.
    :param media: Files to upload before the requests that name them, by placeholder.
    :param skipped: The rows that were left out; None where there are none.
    """

    shards: list[Shard]
    model: str
    fingerprint: str
    media: Mapping[str, tuple[MediaKind, Path]]
    skipped: Path | None

    @property
    def request_count(self) -> int:
        """How many requests there are."""
        return sum(shard.content.rows for shard in self.shards)


def prepare(order: Order, workshop: Path, log: Log) -> Prepared:
    """Write the input as batch input files, checking every line.

    :param workshop: A directory of this task.
    :raises KimiInputError: Names what is wrong with it.
    """
    reads_requests = isinstance(order.input, str) and not order.recipe.asks_about_rows
    if reads_requests:
        order.recipe.check_unused(order.media_columns)
    source = Input(order.input, ready=reads_requests)
    work = _Preparation(order, workshop, source.place)
    spool = work.read(source, reads_requests)
    if work.faults.count and order.on_invalid_row == "fail":
        others = "; on_invalid_row='skip' leaves such rows out" if spool.ends else ""
        raise KimiInputError(
            f"{source} has {work.faults.describe()}. Nothing was sent. Correct the input or the task's parameters, "
            f"then clear the task{others}."
        )
    if not spool.ends:
        told = " and ".join(faults.describe() for faults in (work.faults, work.never_sent) if faults.count)
        why = f"has no row that can be sent: {told}" if told else "is empty"
        raise KimiInputError(f"{source} {why}. Nothing was sent. A batch needs at least one row.")
    cuts = cut(spool.ends, max_bytes=MAX_FILE_BYTES, max_rows=order.max_rows_per_batch)
    if len(cuts) > MAX_BATCHES:
        raise KimiInputError(
            f"{source} makes {len(spool.ends):,} requests of {spool.ends[-1]:,} bytes, which are {len(cuts):,} "
            f"batches; one task makes at most {MAX_BATCHES}. Nothing was sent. Raise max_rows_per_batch, or expand the "
            "operator over parts of the input."
        )
    work.warn(source, log)
    slices = [spool.slice_of(rows) for rows in cuts]
    shards = [Shard(number, part, part.fingerprint()) for number, part in enumerate(slices, 1)]
    skipped = work.write_skipped(cuts)
    fingerprints = [shard.fingerprint for shard in shards]
    if skipped is not None:  # other rows left out are another job, although it sends the same
        fingerprints.append(f"skipped:{hashlib.sha256(skipped.read_bytes()).hexdigest()}")
    return Prepared(
        shards,
        model=work.check.model or order.recipe.model,
        fingerprint=fingerprints[0] if len(fingerprints) == 1 else digest_of(*fingerprints),
        media=work.shelf.files,
        skipped=skipped,
    )


class _Preparation:
    """One pass over an input.

    :param place: Names an element by its number.
    """

    def __init__(self, order: Order, workshop: Path, place: Callable[[int], str]) -> None:
        self.check = RequestCheck(order.model, order.recipe.rules)
        self.faults = Faults()
        self.never_sent = Faults()
        self.shelf = MediaShelf(order.media_columns, order.media, workshop / "media")
        self._order = order
        self._workshop = workshop
        self._place = place
        self._seen = SeenIds()
        self._skipped = SkippedRows(workshop)

    def read(self, source: Iterable[Item], reads_requests: bool) -> Spool:
        """Make and check every request."""
        to_request = self.check.passed if reads_requests else None
        with Spool(self._workshop / "requests.jsonl") as spool:
            for number, (value, problem) in enumerate(source, 1):
                try:
                    if problem is not None:
                        raise RowProblem(problem)
                    custom_id, line = to_request(value) if to_request else self._made(value, number)
                    if len(line) >= MAX_FILE_BYTES:
                        raise RowProblem(_too_large(line), custom_id)
                except RowProblem as fault:
                    self._leave_out(number, fault)
                else:
                    self._seen.add(custom_id)
                    spool.write(line)
        return self._unique(spool)

    def _made(self, value: object, number: int) -> tuple[str, bytes]:
        recipe = self._order.recipe
        if not recipe.asks_about_rows and is_ready_request(value):
            recipe.check_unused(self._order.media_columns)
            return self.check.passed(encode(value))
        custom_id = custom_id_of(value, number, recipe.key_column)
        media = len(self.shelf.files)
        try:
            line = recipe.line(value, custom_id, self.shelf.parts(value) if self._order.media_columns else ())
            if recipe.is_trusted(value):
                self.check.names(recipe.model)
                return custom_id, line
            return self.check.passed(line)
        except RowProblem as fault:
            fault.custom_id = None if recipe.key_column is None else custom_id
            self.shelf.forget_after(media)
            raise

    def _leave_out(self, number: int, fault: RowProblem) -> None:
        place = self._place(number)
        (self.never_sent if isinstance(fault, NeverSent) else self.faults).note(place, fault)
        self._skipped.add(number, place, fault)

    def _unique(self, spool: Spool) -> Spool:
        """Leave out what repeats the `custom_id` of an earlier row; only then is the input looked at a second time."""
        suspects = self._seen.repeated()
        if not suspects:
            return spool
        first: dict[str, int] = {}
        repeated: list[int] = []
        numbers = self._sent_numbers()
        for row, line in enumerate(spool.lines()):
            number = next(numbers)
            custom_id = id_of(line)
            if custom_id is None or hash(custom_id) not in suspects:
                continue
            if custom_id in first:
                repeated.append(row)
                earlier = self._place(first[custom_id])
                fault = RowProblem(f"repeats the custom_id of {earlier}; each must be unique", custom_id)
                self._leave_out(number, fault)
            first.setdefault(custom_id, number)
        return spool.without(set(repeated), self._workshop / "unique.jsonl") if repeated else spool

    def _sent_numbers(self) -> Iterator[int]:
        """The numbers of the elements that became requests, in order."""
        left_out = set(self._skipped.numbers)
        number = 0
        while True:
            number += 1
            if number not in left_out:
                yield number

    def warn(self, source: Input, log: Log) -> None:
        """Tell what is allowed, but likely to be a mistake, and what is left out."""
        for warning in self._order.recipe.lint():
            log.warning("%s", warning)
        for warning, rows in self.check.warnings.items():
            log.warning("%s rows: %s", rows, warning)
        for left_out in (self.faults, self.never_sent):
            if left_out.count:
                log.warning("%s has %s. These rows are left out.", source, left_out.describe())

    def write_skipped(self, cuts: list[range]) -> Path | None:
        """Write the rows that are left out, in order, as they are kept on the platform.

        :raises KimiInputError: They are too many.
        """
        if not len(self._skipped.numbers):
            return None
        path = self._workshop / "skipped.jsonl"
        self._skipped.write(path, cuts)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise KimiInputError(
                f"{len(self._skipped.numbers):,} rows would be left out, over {MAX_FILE_BYTES:,} bytes of them. "
                f"Nothing was sent. That many are hardly meant to be: the input has {self.faults.describe()}."
            )
        return path


def _too_large(line: bytes) -> str:
    return f"makes a request of {len(line):,} bytes; a whole batch file may have {MAX_FILE_BYTES:,}"
