"""The files of each batch of a result, on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import rows_in_words
from airflow_provider_kimi.calls.fetch import (
    DOUBTED_STATUS_CODES,
    FILE_PAUSES_SECONDS,
    Fetched,
    fetch_file,
    may_come_late,
)
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiResultError
from airflow_provider_kimi.records.saved import SavedRow
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.skipped_rows import read_skipped
from airflow_provider_kimi.results.promises import lacking_files
from airflow_provider_kimi.results.saved_rows import SavedRows

#: Pauses between the reads of batches that are not as the wait has seen them: a read may be stale, a file id late.
READ_PAUSES_SECONDS = FILE_PAUSES_SECONDS

#: The same between downloads where the batch has ended long ago, or a file was given up that was as old as the others.
LATER_PAUSES_SECONDS = (1.0,)


@dataclass(frozen=True)
class BatchFiles:
    """One batch and its files on this machine; None for a file that does not exist.

    :param skipped: The rows that were left out of all batches of its job.
    :param answer_lines: How many lines the output and the error file have.
    :param is_whole: Whether every file that the batch promises is there and came whole.
    :param is_short: Whether the output or the error file has fewer lines than the platform counts.
    :param saved: The rows that were not sent, of all batches of its job; None if there are none.
    """

    batch: Batch
    requests: Path | None
    output: Path | None
    error: Path | None
    skipped: Path | None
    answer_lines: int
    is_whole: bool
    is_short: bool = False
    saved: SavedRows | None = None

    @property
    def saved_rows(self) -> Iterator[SavedRow | SkippedRow]:
        """The rows of this batch that were not sent because their answers are there, in order."""
        tags = Tags.of(self.batch)
        return self.saved.of_shard(tags.shard_number or 1, tags.part) if self.saved else iter(())

    @property
    def skipped_rows(self) -> Iterator[SkippedRow]:
        """The rows that were left out of this batch, in order."""
        tags = Tags.of(self.batch)
        return read_skipped(self.skipped, tags.shard_number or 1, tags.part)


def read_ended_batches(calls: Calls, batch_ids: Sequence[str]) -> list[Batch]:
    """Read batches, each of which must have ended, in the order of the input.

    A read may show a batch as it was a moment ago, or not at all, and the ids of its files may come after its end. So
    what is not there yet is read again for a minute.

    :raises KimiBatchError: A batch has not ended.
    :raises KimiApiError: A batch cannot be read.
    """
    seen: dict[str, Batch | KimiApiError] = {}
    for pause in (*READ_PAUSES_SECONDS, None):
        unsettled = [batch_id for batch_id in batch_ids if not _is_settled(seen.get(batch_id))]
        seen.update((batch_id, _read(calls, batch_id)) for batch_id in unsettled)
        waiting = [what for what in seen.values() if not _is_settled(what)]
        if not waiting or pause is None:
            break
        calls.log.info("%s Reading again in %g s.", _why_unsettled(waiting[0]), pause)
        calls.sleep(pause)
    return _in_input_order([_ended(seen[batch_id]) for batch_id in batch_ids])


def _read(calls: Calls, batch_id: str) -> Batch | KimiApiError:
    """Read a batch; return the fault that may pass although its answer says otherwise."""
    try:
        return calls.read(lambda: calls.hook.get_batch(batch_id))
    except KimiApiError as error:
        if error.status_code not in DOUBTED_STATUS_CODES:
            raise
        return error


def _is_settled(what: Batch | KimiApiError | None) -> bool:
    return isinstance(what, Batch) and what.is_terminal and not lacking_files(what)


def _why_unsettled(what: Batch | KimiApiError) -> str:
    if isinstance(what, KimiApiError):
        return str(what)
    if not what.is_terminal:
        return f"Batch {what.id} is {what.status}."
    return f"Batch {what.id} is {what.status}, but does not name its {' and '.join(lacking_files(what))} file yet."


def _ended(what: Batch | KimiApiError) -> Batch:
    if isinstance(what, KimiApiError):
        raise _passing(what)
    if not what.is_terminal:
        rows = rows_in_words(what.counts)
        raise KimiBatchError(
            f"Batch {what.id} is still {what.status}{f' ({rows})' if rows else ''}. Nothing was landed, and the batch "
            "goes on and is billed. Wait for its end with a KimiBatchSensor before this task, or clear this task "
            "later. To land only what is done by now, cancel it with KimiCancelBatchOperator, then clear this task.",
            retryable=True,
        )
    return what


def _passing(error: KimiApiError) -> KimiApiError:
    """The same refusal as one that a later try may not meet."""
    fault = error.saying(f"{error} Nothing was landed, and nothing is lost: clear this task when that has changed.")
    fault.retryable = True
    return fault


def _in_input_order(batches: Sequence[Batch]) -> list[Batch]:
    tags = list(map(Tags.of, batches))
    jobs = [tag.job_key or batch.id for tag, batch in zip(tags, batches, strict=True)]

    def place(number: int) -> tuple[object, ...]:
        name = tags[number].shard_name
        return jobs.index(jobs[number]), name.place if name else (0,), batches[number].created_at or 0

    return [batches[number] for number in sorted(range(len(batches)), key=place)]


@dataclass
class FilesFetcher:
    """Downloads the files of batches.

    :param folder: Where on this machine.
    :param needs_all: Whether to fail also without the files that only enrich a result: those of the requests and of
        the rows that were left out.
    """

    calls: Calls
    folder: Path
    needs_all: bool = False
    _skipped: dict[str, Path | None] = field(default_factory=dict)
    _pauses: Sequence[float] = FILE_PAUSES_SECONDS

    def fetch(self, batches: Sequence[Batch]) -> list[BatchFiles]:
        """Download every file.

        :raises KimiApiError: One is no longer on the platform.
        :raises KimiResultError: One could not be downloaded whole, or the requests of an earlier result.
        """
        return [self._files_of(batch, self.folder / str(number)) for number, batch in enumerate(batches)]

    def _files_of(self, batch: Batch, folder: Path) -> BatchFiles:
        folder.mkdir()
        requests = self._requests_of(batch, folder / "requests")
        if not may_come_late(self.calls, batch):
            self._pauses = LATER_PAUSES_SECONDS
        output = self._fetched(batch.output_file_id, folder / "output", batch.counts.completed, is_paid=True)
        error = self._fetched(batch.error_file_id, folder / "error", batch.counts.failed, is_paid=False)
        answers = [file for file in (output, error) if file]
        return BatchFiles(
            batch,
            requests=_path(requests),
            output=_path(output),
            error=_path(error),
            skipped=self._skipped_of(batch),
            answer_lines=sum(file.lines for file in answers),
            is_whole=requests is not None
            and not lacking_files(batch)
            and all(file.is_whole for file in (requests, *answers)),
            is_short=not all(file.is_whole for file in answers),
        )

    def _requests_of(self, batch: Batch, path: Path) -> Fetched | None:
        """Download the requests; None for a part of them, beside which paid answers would seem to be of no row.

        :raises KimiResultError: All files are needed, and it did not come whole.
        """
        without_it = (
            f"The input file of batch {batch.id} cannot be read. Its rows come in the order of the answers, without "
            "columns of the input; rows without an answer are counted, but not named"
        )
        requests = self._optional(batch.input_file_id, path, batch.counts.total, without_it)
        if requests is None or requests.is_whole:
            return requests
        if self.needs_all:
            raise KimiResultError(
                f"The input file of batch {batch.id} did not come whole. The result that was landed before is kept, "
                "and nothing was landed. Clear this task to try again: nothing is paid again."
            )
        self.calls.log.warning("%s: it did not come whole. Clear this task to try again.", without_it)
        return None

    def _skipped_of(self, batch: Batch) -> Path | None:
        """Download the file of skipped rows once for all batches of a job, which share it."""
        file_id = Tags.of(batch).skipped_file
        if not file_id:
            return None
        if file_id not in self._skipped:
            without_it = f"Rows were left out of batch {batch.id}, and it is no longer known which"
            skipped = self._optional(file_id, self.folder / f"skipped-{len(self._skipped)}", 0, without_it)
            self._skipped[file_id] = _path(skipped)
        return self._skipped[file_id]

    def _fetched(self, file_id: str | None, path: Path, lines: int, *, is_paid: bool) -> Fetched | None:
        if not file_id:
            return None
        try:
            file = fetch_file(
                self.calls, file_id, path, expected_lines=lines, pauses=self._pauses, names_requests=is_paid
            )
        except KimiApiError as error:
            if error.status_code not in DOUBTED_STATUS_CODES:
                raise
            self._pauses = LATER_PAUSES_SECONDS
            raise _passing(error) from None
        if not file.is_whole:
            self._pauses = LATER_PAUSES_SECONDS
        return file

    def _optional(self, file_id: str | None, path: Path, expected_lines: int, without_it: str) -> Fetched | None:
        if not file_id:
            return None
        try:
            return fetch_file(self.calls, file_id, path, expected_lines=expected_lines, doubted=())
        except KimiApiError as error:
            if error.retryable or (self.needs_all and error.status_code == 404):
                raise
            self.calls.log.warning("%s: %s", without_it, error)
            return None


def _path(file: Fetched | None) -> Path | None:
    return None if file is None else file.path
