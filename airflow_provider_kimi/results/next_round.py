"""The requests of a further round, as landing finds the rows that are worth it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.records.dead_letters import request_of
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.spool import Slice, Spool
from airflow_provider_kimi.results.asking_again import asked_again
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.promises import lacking_files

#: Statuses of rows for which there may be no line.
_WITHOUT_LINE = ("missing", "expired", "cancelled")


class NextRound:
    """Writes the requests of a further round, those of each shard into a file of its own, while it is entered.

    :param folder: On this machine.
    :param max_rounds: How often a row is asked at most.
    :param cancelled: Batches that were cancelled before this try of the task. One that was cancelled since is to stay
        the last of its shard for now.
    :param is_overdue: Whether batches were cancelled because the task is to finish. Then their rows that were not done
        are asked, however often their shard was.
    """

    def __init__(
        self, folder: Path, max_rounds: int, cancelled: Collection[str] = (), *, is_overdue: bool = False
    ) -> None:
        self._cancelled = cancelled
        self._is_overdue = is_overdue
        self._answered: Collection[str] = ()
        self._folder = folder
        self._max_rounds = max_rounds
        self._spools: dict[ShardName, Spool] = {}
        self._shard: Sequence[BatchFiles] = ()

    def begin(self, shard: Sequence[BatchFiles], answered: Collection[str] = ()) -> None:
        """Go on with the rows of another shard.

        :param answered: Rows of it that are not to be asked again.
        """
        self._shard = shard
        self._answered = answered

    def add(self, row: Row, letter: bytes, number: int) -> None:
        """Write the request of a row, if it is asked again and there is room; the next round may ask what is left.

        :param letter: The row's dead letter.
        :param number: Which batch of the shard the row's line is of, from 1.
        """
        rounds = len(self._shard)
        is_used_up = rounds >= self._max_rounds and not (self._is_overdue and row.status == "cancelled")
        if is_used_up or row.custom_id in self._answered or self._is_left_alone() or self._may_be_answered(row, number):
            return
        if (request := asked_again(row, request_of(letter), rounds)) is None:
            return
        shard = Tags.of(self._shard[0].batch).shard_name or ShardName(1, 1)
        if shard not in self._spools:
            self._spools[shard] = Spool(self._folder / f"again-{shard.short}.jsonl")
        spool = self._spools[shard]
        if (spool.ends[-1] if spool.ends else 0) + len(request) < MAX_FILE_BYTES:
            spool.write(request)

    def _is_left_alone(self) -> bool:
        """Whether the last batch of the shard failed as a whole, or was cancelled while the task waited for it."""
        last = self._shard[-1].batch
        if last.status == "cancelled":
            return last.id not in self._cancelled and not self._is_overdue
        return last.status == "failed" and not last.counts.completed

    def _may_be_answered(self, row: Row, number: int) -> bool:
        """Whether a batch that asked for the row may hold its answer, which is paid, in a line that is not there."""
        has_line = row.status not in _WITHOUT_LINE and self._shard[-1].batch.status != "failed"
        return any(map(_may_hold_more, self._shard[number if has_line else 0 :]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the files."""
        for spool in self._spools.values():
            spool.__exit__()

    @property
    def requests(self) -> Mapping[ShardName, Slice]:
        """The requests of each shard, once the files are at their end."""
        return {name: spool.slice_of(range(len(spool.ends))) for name, spool in self._spools.items()}


def _may_hold_more(files: BatchFiles) -> bool:
    """Whether a batch may have more answers than its files have lines."""
    batch = files.batch
    is_uncounted = batch.status == "completed" and batch.request_counts is None
    return is_uncounted or files.is_short or bool(lacking_files(batch))
