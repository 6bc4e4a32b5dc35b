"""Parts: each batch of a result, with its files on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.skipped_rows import read_skipped
from airflow_provider_kimi.results.fetch import Fetched, fetch_file


@dataclass(frozen=True)
class Part:
    """One batch and its files on this machine; None for a file that does not exist.

    :param skipped: The rows that were left out of all batches of its job.
    :param answer_lines: How many lines the output and the error file have.
    :param is_whole: Whether every file came, and as the platform promised it.
    """

    batch: Batch
    requests: Path | None
    output: Path | None
    error: Path | None
    skipped: Path | None
    answer_lines: int
    is_whole: bool

    @property
    def skipped_rows(self) -> Iterator[SkippedRow]:
        """The rows that were left out of this batch, in order."""
        return read_skipped(self.skipped, Tags.of(self.batch).shard_number or 1)


def ended_batches(calls: Calls, batch_ids: Sequence[str]) -> list[Batch]:
    """Read batches that have ended, into the order of the input.

    :raises KimiBatchError: One has not ended yet.
    """
    return in_input_order([_ended(calls, batch_id) for batch_id in batch_ids])


def _ended(calls: Calls, batch_id: str) -> Batch:
    batch = calls.read(lambda: calls.hook.get_batch(batch_id))
    if not batch.is_terminal:
        raise KimiBatchError(
            f"Batch {batch_id} is still {batch.status} and goes on; nothing was landed. Put a KimiBatchSensor before "
            "this task, then clear it."
        )
    return batch


def in_input_order(batches: Sequence[Batch]) -> list[Batch]:
    """Put the batches of each job into the order of its shards, whatever order they are given in."""
    tags = list(map(Tags.of, batches))
    jobs = [tag.job_key or batch.id for tag, batch in zip(tags, batches, strict=True)]

    def place(number: int) -> tuple[int, int]:
        return jobs.index(jobs[number]), tags[number].shard_number or 0

    return [batches[number] for number in sorted(range(len(batches)), key=place)]


@dataclass
class PartFetcher:
    """Downloads the files of batches.

    :param folder: Where on this machine.
    :param all_of_them: Whether the files must be there without which a result is only poorer: those of the requests
        and of the rows that were left out.
    """

    calls: Calls
    folder: Path
    all_of_them: bool = False
    _skipped: dict[str, Path | None] = field(default_factory=dict)

    def fetch(self, batches: Sequence[Batch]) -> list[Part]:
        """Download every file.

        :raises KimiApiError: The platform has one no more.
        :raises KimiResultError: One could not be downloaded whole.
        """
        return [self._part(batch, self.folder / str(number)) for number, batch in enumerate(batches)]

    def _part(self, batch: Batch, folder: Path) -> Part:
        folder.mkdir()
        requests = self._optional(
            batch.input_file_id,
            folder / "requests",
            batch.counts.total,
            f"The input file of batch {batch.id} cannot be read, so its rows come in the order of the answers and "
            "without columns of the table, and rows without an answer are counted but not named",
        )
        output = self._fetched(batch.output_file_id, folder / "output", batch.counts.completed)
        error = self._fetched(batch.error_file_id, folder / "error", batch.counts.failed)
        answers = [file for file in (output, error) if file]
        return Part(
            batch,
            requests=_path(requests),
            output=_path(output),
            error=_path(error),
            skipped=self._skipped_of(batch),
            answer_lines=sum(file.lines for file in answers),
            is_whole=requests is not None and all(file.is_whole for file in (requests, *answers)),
        )

    def _skipped_of(self, batch: Batch) -> Path | None:
        """Download the file of skipped rows that the batches of a job share, once."""
        file_id = Tags.of(batch).skipped_file or None
        if file_id and file_id not in self._skipped:
            skipped = self._optional(
                file_id,
                self.folder / f"skipped-{len(self._skipped)}",
                0,
                f"Rows were left out of batch {batch.id}, and which is not known any more",
            )
            self._skipped[file_id] = _path(skipped)
        return self._skipped[file_id] if file_id else None

    def _fetched(self, file_id: str | None, path: Path, expected_lines: int) -> Fetched | None:
        if file_id is None:
            return None
        return fetch_file(self.calls, file_id, path, expected_lines=expected_lines)

    def _optional(self, file_id: str | None, path: Path, expected_lines: int, without_it: str) -> Fetched | None:
        try:
            return self._fetched(file_id, path, expected_lines)
        except KimiApiError as error:
            if error.retryable or (self.all_of_them and error.status_code == 404):
                raise
            self.calls.log.warning("%s: %s", without_it, error)
            return None


def _path(file: Fetched | None) -> Path | None:
    return None if file is None else file.path
