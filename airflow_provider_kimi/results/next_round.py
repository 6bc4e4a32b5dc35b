"""The requests of a further round, as landing finds the rows that are worth it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.records.dead_letters import request_of
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.spool import Slice, Spool
from airflow_provider_kimi.results.asking_again import asked_again
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.promises import lacking_files


class NextRound:
    """Writes the requests of a further round, those of each shard into a file of its own.

    A shard whose last batch was cancelled has none: whoever cancels wants no further one. A later attempt asks for it,
    since somebody has cleared the task, or lets it retry.

    :param folder: On this machine.
    :param cancelled: Batches that a cancel had ended before this attempt.
    """

    def __init__(self, folder: Path, cancelled: Collection[str] = ()) -> None:
        self._folder = folder
        self._cancelled = cancelled
        self._spools: dict[int, Spool] = {}
        self._shard: Sequence[BatchFiles] = ()

    def begin(self, shard: Sequence[BatchFiles]) -> None:
        """Go on with the rows of another shard."""
        self._shard = shard

    def add(self, row: Row, letter: bytes) -> None:
        """Write the request of a row, if it is asked again and there is room; the next round may ask what is left.

        :param letter: The row's dead letter.
        """
        if self._is_to_wait(row) or (request := asked_again(row, request_of(letter), len(self._shard))) is None:
            return
        number = Tags.of(self._shard[0].batch).shard_number or 1
        if number not in self._spools:
            self._spools[number] = Spool(self._folder / f"again-{number}.jsonl")
        spool = self._spools[number]
        if (spool.ends[-1] if spool.ends else 0) + len(request) < MAX_FILE_BYTES:
            spool.write(request)

    def _is_to_wait(self, row: Row) -> bool:
        """Whether the shard was stopped or failed as a whole, or the row may be paid although its line is not there."""
        last = self._shard[-1].batch
        if last.status == "cancelled" and last.id not in self._cancelled:
            return True
        owed = any(files.is_short or lacking_files(files.batch) for files in self._shard) or last.request_counts is None
        return (last.status == "failed" and not last.counts.completed) or (row.status == "missing" and owed)

    def close(self) -> Mapping[int, Slice]:
        """End the files, and return the requests of each shard."""
        for spool in self._spools.values():
            spool.__exit__()
        return {number: spool.slice_of(range(len(spool.ends))) for number, spool in sorted(self._spools.items())}
