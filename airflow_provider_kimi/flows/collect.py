"""Collect: land the output and error files, join every row to its request, write the result, the manifest last."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.columns import RESULT_FIELDS, ColumnSource, renamed, told_columns
from airflow_provider_kimi.batch.identity import shard_number
from airflow_provider_kimi.batch.keys import KeyColumns
from airflow_provider_kimi.batch.manifest import Tally, build_manifest
from airflow_provider_kimi.batch.results import Row, absent_row, id_of, skipped_row
from airflow_provider_kimi.batch.skipped import SKIPPED_FILE_KEY, SkippedRow
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiInputError
from airflow_provider_kimi.flows.fetch import fetch_file
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.answers import AnswerFiles
from airflow_provider_kimi.storage.inputs import Input
from airflow_provider_kimi.storage.landing import OutputDirectory
from airflow_provider_kimi.storage.lines import append_lines, lines_at
from airflow_provider_kimi.storage.skipped import read_skipped

OUTPUT_NAME = "output.jsonl"
ERROR_NAME = "error.jsonl"
RESULTS_NAME = "results.jsonl"
DEAD_LETTER_NAME = "dead_letter.jsonl"


@dataclass(frozen=True)
class Landing:
    """What is to be landed, and where.

    :param input: The table that the batches were made from, for its columns; None for none.
    :param key_column: The column or columns that named its rows; None where their places did.
    """

    batch_ids: Sequence[str]
    output: str
    input: Any = None
    key_column: KeyColumns | None = None


@dataclass(frozen=True)
class Collected:
    """A landed result."""

    manifest: dict[str, Any]
    tally: Tally
    output_file_ids: list[str]
    error_file_ids: list[str]


@dataclass(frozen=True)
class Part:
    """One batch and its files on this machine; None for a file that does not exist.

    :param skipped: The rows that were left out of all batches of its job.
    """

    batch: Batch
    requests: Path | None
    output: Path | None
    error: Path | None
    skipped: Path | None

    @property
    def skipped_rows(self) -> Iterator[SkippedRow]:
        """The rows that were left out of this batch, in order."""
        return read_skipped(self.skipped, shard_number((self.batch.metadata or {}).get("kimi_shard")) or 1)


def collect(hook: KimiHook, landing: Landing, log: Log, sleep: Callable[[float], None] = time.sleep) -> Collected:
    """Land the result of batches that have ended, whatever they ended as.

    :raises KimiBatchError: One has not ended yet.
    :raises KimiResultError: A file could not be downloaded whole.
    """
    batches = in_input_order([_ended(hook, batch_id, log, sleep) for batch_id in landing.batch_ids])
    directory = OutputDirectory(landing.output)
    with TemporaryDirectory(prefix="kimi-collect-") as folder:
        workshop = Path(folder)
        fetch = partial(_fetch_part, hook, log, sleep, _SkippedFiles(hook, workshop, log, sleep))
        parts = [fetch(batch, workshop / str(number)) for number, batch in enumerate(batches)]
        _concatenate([part.output for part in parts], workshop / OUTPUT_NAME)
        _concatenate([part.error for part in parts], workshop / ERROR_NAME)
        tally = _write_rows(parts, landing, workshop, log)
        written = {name: (workshop / name).stat().st_size > 0 for name in _FILES.values()}
        directory.withdraw(*(name for name, has_content in written.items() if not has_content))
        files = {
            field: directory.publish(workshop / name, name) if written[name] else None for field, name in _FILES.items()
        }
        manifest = build_manifest(batches, tally, model=_asked_model(parts), files=files)
        directory.publish_manifest(manifest, workshop)
    tell = log.warning if tally.unusable else log.info
    tell("Landed in %s: %s", landing.output, tally.summary())
    return Collected(
        manifest,
        tally,
        [batch.output_file_id for batch in batches if batch.output_file_id],
        [batch.error_file_id for batch in batches if batch.error_file_id],
    )


_FILES = {
    "output_file": OUTPUT_NAME,
    "error_file": ERROR_NAME,
    "results_file": RESULTS_NAME,
    "dead_letter_file": DEAD_LETTER_NAME,
}


def _ended(hook: KimiHook, batch_id: str, log: Log, sleep: Callable[[float], None]) -> Batch:
    batch = read_patiently(lambda: hook.get_batch(batch_id), log, sleep)
    if not batch.is_terminal:
        raise KimiBatchError(
            f"Batch {batch_id} is still {batch.status} and goes on; nothing was landed. Put a KimiBatchSensor before "
            "this task, then clear it."
        )
    return batch


def in_input_order(batches: Sequence[Batch]) -> list[Batch]:
    """Put the batches of each job into the order of its shards, whatever order they are given in."""
    jobs = [(batch.metadata or {}).get("kimi_job_key") or batch.id for batch in batches]

    def place(number: int) -> tuple[int, int]:
        return jobs.index(jobs[number]), shard_number((batches[number].metadata or {}).get("kimi_shard")) or 0

    return [batches[number] for number in sorted(range(len(batches)), key=place)]


class _SkippedFiles:
    """Downloads the file of skipped rows that several batches share, once."""

    def __init__(self, hook: KimiHook, workshop: Path, log: Log, sleep: Callable[[float], None]) -> None:
        self._fetch = partial(fetch_file, hook, expected_lines=0, log=log, sleep=sleep)
        self._workshop = workshop
        self._log = log
        self._paths: dict[str, Path | None] = {}

    def path_of(self, batch: Batch) -> Path | None:
        file_id = (batch.metadata or {}).get(SKIPPED_FILE_KEY)
        if not file_id:
            return None
        if file_id not in self._paths:
            path = self._workshop / f"skipped-{len(self._paths)}"
            try:
                self._fetch(file_id, path)
            except KimiApiError as error:
                if error.retryable:
                    raise
                self._log.warning(
                    "Rows were left out of batch %s, and which is not known any more: %s", batch.id, error
                )
                self._paths[file_id] = None
            else:
                self._paths[file_id] = path
        return self._paths[file_id]


def _fetch_part(
    hook: KimiHook, log: Log, sleep: Callable[[float], None], skipped: _SkippedFiles, batch: Batch, folder: Path
) -> Part:
    folder.mkdir()
    fetched = partial(_fetched, hook, log, sleep)
    return Part(
        batch,
        requests=_requests_if_kept(batch, partial(fetched, batch.input_file_id, folder / "requests"), log),
        output=fetched(batch.output_file_id, folder / "output", batch.counts.completed),
        error=fetched(batch.error_file_id, folder / "error", batch.counts.failed),
        skipped=skipped.path_of(batch),
    )


def _fetched(
    hook: KimiHook,
    log: Log,
    sleep: Callable[[float], None],
    file_id: str | None,
    path: Path,
    expected_lines: int,
) -> Path | None:
    if file_id is None:
        return None
    fetch_file(hook, file_id, path, expected_lines=expected_lines, log=log, sleep=sleep)
    return path


def _requests_if_kept(batch: Batch, fetched: Callable[[int], Path | None], log: Log) -> Path | None:
    try:
        return fetched(batch.counts.total)
    except KimiApiError as error:
        if error.retryable:
            raise
        log.warning(
            "The input file of batch %s cannot be read, so its rows come in the order of the answers and without "
            "columns of the table, and rows without an answer are counted but not named: %s",
            batch.id,
            error,
        )
        return None


def _concatenate(sources: Sequence[Path | None], target: Path) -> None:
    with target.open("wb") as whole:
        for source in sources:
            if source is not None:
                append_lines(source, whole)


def _write_rows(parts: Sequence[Part], landing: Landing, workshop: Path, log: Log) -> Tally:
    tally = Tally()
    table = None
    if landing.input is not None:
        table = ColumnSource(_values(landing.input), landing.key_column)
    with ExitStack() as stack:
        results = stack.enter_context((workshop / RESULTS_NAME).open("wb"))
        dead_letters = stack.enter_context((workshop / DEAD_LETTER_NAME).open("wb"))
        for part in parts:
            with AnswerFiles(part.output, part.error) as answers:
                for row, columns, dead_letter in _rows(part, answers, table):
                    tally.add(row)
                    results.write(_result(row, columns, part.batch.id) + b"\n")
                    if dead_letter is not None:
                        dead_letters.write(dead_letter + b"\n")
                if part.requests is None:
                    tally.add_unnamed(part.batch.counts.total - answers.taken, part.batch.status)
                _report_left_over(part.batch, answers, log)
    return tally


def _values(source: Any) -> Iterator[Any]:
    """The elements of the input; what is wrong with it by now is told as what it is: a fault behind the payment."""
    try:
        for item in Input(source):
            yield item.value
    except KimiInputError as error:
        now = "The batches have ended and are billed as far as they ran; their results stay on the platform."
        raise KimiInputError(str(error).replace("Nothing was sent.", f"{now} Nothing was landed.")) from None


def _rows(
    part: Part, answers: AnswerFiles, table: ColumnSource | None
) -> Iterator[tuple[Row, dict[str, Any], bytes | None]]:
    """Every row of one batch in input order, with its columns, and what is to be asked again."""
    told = told_columns(part.batch.metadata or {})
    skipped = part.skipped_rows
    waiting = next(skipped, None)
    for sent, (custom_id, request) in enumerate(_requests(part, answers)):
        while waiting is not None and waiting.position <= sent:
            yield _left_out(waiting, table)
            waiting = next(skipped, None)
        row = answers.take(custom_id) or absent_row(custom_id, part.batch.status, answers.batch_error)
        columns = table.columns_of(custom_id, request, told) if table and request else {}
        yield row, columns, request if row.status != "succeeded" else None
    while waiting is not None:
        yield _left_out(waiting, table)
        waiting = next(skipped, None)


def _left_out(skipped: SkippedRow, table: ColumnSource | None) -> tuple[Row, dict[str, Any], bytes]:
    row = skipped_row(skipped.custom_id, skipped.place, skipped.reason)
    found = table.row_at(skipped.number) if table else None
    letter = {"custom_id": row.custom_id, "row": found, "error": {"code": row.error_code, "message": row.error_message}}
    return row, renamed(found) if isinstance(found, dict) else {}, msgspec.json.encode(letter)


def _requests(part: Part, answers: AnswerFiles) -> Iterator[tuple[str, bytes | None]]:
    if part.requests is None:
        yield from ((custom_id, None) for custom_id in answers.left)
        return
    for _, line in lines_at(part.requests):
        if (custom_id := id_of(line)) is not None:
            yield custom_id, line


def _result(row: Row, columns: dict[str, Any], batch_id: str) -> bytes:
    known = {**msgspec.structs.asdict(row), "batch_id": batch_id, "round": 1}
    line = {"custom_id": row.custom_id, **columns, **{name: known[name] for name in RESULT_FIELDS}}
    try:
        return msgspec.json.encode(line, enc_hook=str)
    except UnicodeEncodeError:  # half a character in a column that no prompt uses
        return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace")


def _report_left_over(batch: Batch, answers: AnswerFiles, log: Log) -> None:
    found = {
        "unreadable": answers.unreadable,
        "repeated": answers.duplicates,
        "foreign": len(answers.left),
    }
    if any(found.values()):
        log.warning(
            "Result files of batch %s hold %s lines that are set aside: they belong to no row, or to one that has its "
            "line already.",
            batch.id,
            ", ".join(f"{count} {kind}" for kind, count in found.items() if count),
        )


def _asked_model(parts: Sequence[Part]) -> str | None:
    for part in parts:
        if part.requests is not None:
            for _, line in lines_at(part.requests):
                try:
                    return str(msgspec.json.decode(line)["body"]["model"])
                except (msgspec.DecodeError, KeyError, TypeError):
                    break
    return None
