"""Parts: each batch of a result, with its files on this machine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import shard_number
from airflow_provider_kimi.batch.skipped import SKIPPED_FILE_KEY, SkippedRow
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.flows.fetch import fetch_file
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.skipped import read_skipped


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


def fetch_parts(
    hook: KimiHook, batch_ids: Sequence[str], folder: Path, log: Log, sleep: Callable[[float], None]
) -> list[Part]:
    """Download the files of batches that have ended, into the order of the input.

    :raises KimiBatchError: One has not ended yet.
    :raises KimiResultError: A file could not be downloaded whole.
    """
    batches = in_input_order([_ended(hook, batch_id, log, sleep) for batch_id in batch_ids])
    fetch = partial(_fetch_part, hook, log, sleep, _SkippedFiles(hook, folder, log, sleep))
    return [fetch(batch, folder / str(number)) for number, batch in enumerate(batches)]


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
