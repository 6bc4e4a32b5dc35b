"""Files on the platform: who uses them, and which may be deleted."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set

from airflow_provider_kimi.account.orphans import Owner, owner_of
from airflow_provider_kimi.api.models import Batch, RemoteFile
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.media import PLACEHOLDER

#: How long an upload without a batch is kept, because its task may be about to create one.
UNUSED_FILE_AGE_SECONDS = 86_400.0

#: Names that this provider gives, with the mark that the platform adds to a name that is taken.
_MARK = r"(?: ?\(\d+\))?"
_MEDIA_NAME = re.compile(rf"{PLACEHOLDER}[0-9a-f]{{64}}{_MARK}\.\w+{_MARK}")
_JOB_NAME = re.compile(rf"[0-9a-f]{{32}}-(?:[1-9][0-9]*-[0-9a-f]{{12}}|skipped){_MARK}\.jsonl{_MARK}")


def files_of(batch: Batch) -> list[str]:
    """Name the files of a batch in the order to delete them: first those that are landed, last those that make rows."""
    ids = (batch.output_file_id, batch.error_file_id, batch.input_file_id, Tags.of(batch).skipped_file)
    return [file_id for file_id in ids if file_id]


def files_of_landed(batches: Sequence[Batch]) -> list[str]:
    """Name the files of ours that are not needed once these batches are landed.

    The batches of a job share the file of skipped rows, which is needed until all of them are landed.
    """
    ours = [(batch, tags) for batch in batches if (tags := Tags.of(batch)).is_ours]
    shards: dict[str | None, set[int]] = defaultdict(set)
    for _, tags in ours:
        shards[tags.job_key].add(tags.shard_number or 0)
    found: list[str] = []
    for batch, tags in ours:
        is_whole = len(shards[tags.job_key]) == tags.shard_count
        found += [file_id for file_id in files_of(batch) if is_whole or file_id != tags.skipped_file]
    return list(dict.fromkeys(found))


class FileUses:
    """Knows which batches use each file.

    :param batches: Every batch of the account.
    :param busy: Runs that are queued or running, and may still land results.
    """

    def __init__(self, batches: Iterable[Batch], busy: Set[Owner] = frozenset()) -> None:
        self._users: dict[str, list[Batch]] = defaultdict(list)
        self._busy = busy
        self._live_batch: str | None = None
        for batch in batches:
            for file_id in files_of(batch):
                self._users[file_id].append(batch)
            if not batch.is_terminal and owner_of(batch) is not None:
                self._live_batch = batch.id

    def owners(self, file_id: str) -> set[Owner]:
        """Name the runs whose batches use a file."""
        return {owner for batch in self._users[file_id] if (owner := owner_of(batch)) is not None}

    def unused_since(self, file: RemoteFile) -> float | None:
        """Since when a file is not needed: its upload or the end of its last batch; None if that is not known."""
        times = [file.created_at, *(batch.ended_at for batch in self._users[file.id])]
        return None if file.created_at is None else max(time for time in times if time is not None)

    def reason_to_keep(self, file: RemoteFile, now: float) -> str | None:
        """Say why a file must stay; None if it may be deleted."""
        is_media = bool(_MEDIA_NAME.fullmatch(file.filename or ""))
        users = self._users[file.id]
        owners = self.owners(file.id)
        if not (owners or is_media or _JOB_NAME.fullmatch(file.filename or "")):
            return "it does not exist, or was not made by this provider or its batches"
        if live := [batch for batch in users if not batch.is_terminal]:
            return f"batch {live[0].id} is {live[0].status} and needs it"
        if is_media and self._live_batch:
            return f"batch {self._live_batch} is running, and may need it"
        if not users and (file.created_at is None or now - file.created_at < UNUSED_FILE_AGE_SECONDS):
            return "no batch uses it yet, and it was uploaded within a day"
        if busy := owners & self._busy:
            owner = next(iter(busy))
            return f"run {owner.run_id} of {owner.dag_id} has not ended, and may need it"
        return None
