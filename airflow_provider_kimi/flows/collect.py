"""Collect: land the output and error files, join every row to its request, write the result, the manifest last."""

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
from airflow_provider_kimi.batch.columns import RESULT_FIELDS, ColumnSource
from airflow_provider_kimi.batch.manifest import Tally, build_manifest
from airflow_provider_kimi.batch.results import Row, absent_row, id_of
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.flows.fetch import fetch_file
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.answers import AnswerFiles
from airflow_provider_kimi.storage.inputs import read_items
from airflow_provider_kimi.storage.landing import OutputDirectory
from airflow_provider_kimi.storage.lines import append_lines, lines_at

OUTPUT_NAME = "output.jsonl"
ERROR_NAME = "error.jsonl"
RESULTS_NAME = "results.jsonl"
DEAD_LETTER_NAME = "dead_letter.jsonl"


@dataclass(frozen=True)
class Landing:
    """What is to be landed, and where.

    :param input: The table that the batches were made from, for its columns; None for none.
    :param key_column: The column that named its rows; None where their places did.
    """

    batch_ids: Sequence[str]
    output: str
    input: Any = None
    key_column: str | None = None


@dataclass(frozen=True)
class Collected:
    """A landed result."""

    manifest: dict[str, Any]
    tally: Tally
    output_file_ids: list[str]
    error_file_ids: list[str]


@dataclass(frozen=True)
class Part:
    """One batch and its files on this machine; None for a file that does not exist."""

    batch: Batch
    requests: Path | None
    output: Path | None
    error: Path | None


def collect(hook: KimiHook, landing: Landing, log: Log, sleep: Callable[[float], None] = time.sleep) -> Collected:
    """Land the result of batches that have ended, whatever they ended as.

    :raises KimiBatchError: One has not ended yet.
    :raises KimiResultError: A file could not be downloaded whole.
    """
    batches = [_ended(hook, batch_id, log, sleep) for batch_id in landing.batch_ids]
    directory = OutputDirectory(landing.output)
    with TemporaryDirectory(prefix="kimi-collect-") as folder:
        workshop = Path(folder)
        parts = [_fetch(hook, batch, workshop / str(number), log, sleep) for number, batch in enumerate(batches)]
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


def _fetch(hook: KimiHook, batch: Batch, folder: Path, log: Log, sleep: Callable[[float], None]) -> Part:
    folder.mkdir()
    fetched = partial(_fetched, hook, log, sleep)
    return Part(
        batch,
        requests=_requests_if_kept(batch, partial(fetched, batch.input_file_id, folder / "requests"), log),
        output=fetched(batch.output_file_id, folder / "output", batch.counts.completed),
        error=fetched(batch.error_file_id, folder / "error", batch.counts.failed),
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
    table = _table(landing)
    with ExitStack() as stack:
        results = stack.enter_context((workshop / RESULTS_NAME).open("wb"))
        dead_letters = stack.enter_context((workshop / DEAD_LETTER_NAME).open("wb"))
        for part in parts:
            with AnswerFiles(part.output, part.error) as answers:
                for custom_id, request in _requests(part, answers):
                    row = answers.take(custom_id) or absent_row(custom_id, part.batch.status, answers.batch_error)
                    tally.add(row)
                    columns = table.columns_of(custom_id) if table and request else {}
                    results.write(msgspec.json.encode(_result(row, columns, part.batch.id)) + b"\n")
                    if row.status != "succeeded" and request is not None:
                        dead_letters.write(request + b"\n")
                if part.requests is None:
                    tally.add_unnamed(part.batch.counts.total - answers.taken, part.batch.status)
                _report_left_over(part.batch, answers, log)
    return tally


def _table(landing: Landing) -> ColumnSource | None:
    if landing.input is None:
        return None
    items = read_items(landing.input, ready=False)
    return ColumnSource((item.value for item in items), landing.key_column)


def _requests(part: Part, answers: AnswerFiles) -> Iterator[tuple[str, bytes | None]]:
    if part.requests is None:
        yield from ((custom_id, None) for custom_id in answers.left)
        return
    for _, line in lines_at(part.requests):
        if (custom_id := id_of(line)) is not None:
            yield custom_id, line


def _result(row: Row, columns: dict[str, Any], batch_id: str) -> dict[str, Any]:
    known = {**msgspec.structs.asdict(row), "batch_id": batch_id, "round": 1}
    return {"custom_id": row.custom_id, **columns, **{name: known[name] for name in RESULT_FIELDS}}


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
