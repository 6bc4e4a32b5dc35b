"""Files on the platform: who uses them, and which may be deleted."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from airflow_provider_kimi.account.orphans import LIVING_RUNS, Owner, owner_of
from airflow_provider_kimi.api.limits import MAX_WINDOW_HOURS
from airflow_provider_kimi.api.models import Batch, RemoteFile
from airflow_provider_kimi.records.shard_names import ShardName, count_whole
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.records.watch import EXPIRY_GRACE_SECONDS
from airflow_provider_kimi.requests.media import PLACEHOLDER

#: How long an image or video without a batch is kept, because its task may be about to create one.
UNUSED_MEDIA_SECONDS = 86_400.0

#: How long an input without a batch is kept: a create whose answer was lost may have made one that no list shows, and
#: this is the longest time that it can run. After that nobody can need the file: a later attempt uploads it again.
UNUSED_INPUT_SECONDS = MAX_WINDOW_HOURS * 3600 + EXPIRY_GRACE_SECONDS

#: Names that this provider gives, with the mark that the platform adds to a name that is taken.
_MARK = r"(?: ?\(\d+\))?"
_MEDIA_NAME = re.compile(rf"{PLACEHOLDER}[0-9a-f]{{64}}{_MARK}\.\w+{_MARK}")
_INPUT_NAME = r"[1-9][0-9]*(?:\.[1-9][0-9]*-[1-9][0-9]*)?-(?:round[0-9]+-)?[0-9a-f]{12}"
_JOB_NAME = re.compile(rf"(?P<job>[0-9a-f]{{32}})-(?:{_INPUT_NAME}|skipped|note){_MARK}\.jsonl{_MARK}")


def files_of(batch: Batch) -> list[str]:
    """Name the files of a batch in the order to delete them: first those that are landed, last those that make rows."""
    ids = (batch.output_file_id, batch.error_file_id, batch.input_file_id, *files_of_job(batch))
    return [file_id for file_id in ids if file_id]


def files_of_job(batch: Batch) -> tuple[str | None, ...]:
    """The files that the batches of a job share: the rows that were left out, and the recipe note."""
    tags = Tags.of(batch)
    return tags.skipped_file, tags.note_file


def files_of_landed(batches: Sequence[Batch]) -> list[str]:
    """Name the files of ours that are not needed once these batches are landed.

    What the batches of a job share is needed until all of them are landed.
    """
    ours = [(batch, tags) for batch in batches if (tags := Tags.of(batch)).is_ours]
    shards: dict[str | None, list[ShardName]] = defaultdict(list)
    for _, tags in ours:
        shards[tags.job_key] += filter(None, [tags.shard_name])
    found: list[str] = []
    for batch, tags in ours:
        is_whole = count_whole(shards[tags.job_key]) == tags.shard_count
        found += [file_id for file_id in files_of(batch) if is_whole or file_id not in files_of_job(batch)]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Runs:
    """What is known of the runs that made batches.

    :param states: State of each run that was asked for; None if this Airflow has no such run.
    :param spares_unknown: Whether the files of runs that this Airflow does not have stay.
    """

    states: Mapping[Owner, str | None] = field(default_factory=dict)
    spares_unknown: bool = True

    def reason_to_keep(self, owners: Iterable[Owner | None]) -> str | None:
        """Say why a file of these runs must stay; None if it may be deleted."""
        for owner in owners:
            if owner is None and self.spares_unknown:
                return "no batch says which run it is of; another Airflow may share the account (see unknown_runs)"
            if owner is None:
                continue
            named = f"run {owner.run_id} of {owner.dag_id}"
            state = self.states.get(owner, "")
            if state in LIVING_RUNS:
                return f"{named} has not ended, and may need it"
            if state is None and self.spares_unknown:
                return f"{named} is unknown here; another Airflow may share the account (see unknown_runs)"
        return None


class FileUses:
    """Knows which batches use each file.

    A list of batches may leave their tags or their input files out. A batch that is not known to have ended, and does
    not name its input, may use any input of its job, or any of ours while its job is not known.

    :param batches: Every batch of the account.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._users: dict[str, list[Batch]] = defaultdict(list)
        self._of_jobs: dict[str, list[Batch]] = defaultdict(list)
        self._shows_tags = self._has_batches = False
        live = []
        for batch in batches:
            for file_id in files_of(batch):
                self._users[file_id].append(batch)
            tags = Tags.of(batch)
            self._has_batches = True
            self._shows_tags |= tags.is_ours
            if tags.job_key is not None:
                self._of_jobs[tags.job_key].append(batch)
            if not batch.is_terminal:
                live.append(batch)
        self._live = [batch for batch in live if not self._shows_tags or owner_of(batch) is not None]

    def owners(self, file: RemoteFile) -> list[Owner | None]:
        """Name the runs whose batches use a file, or are of the job whose input it is; None where that is not shown.

        An input that no batch uses, of a job without a batch, is of no run: none can need it.
        """
        batches = [*self._users[file.id], *(batch for job in self._jobs(file) for batch in self._of_jobs[job])]
        is_hidden = not self._shows_tags and self._has_batches and bool(self._jobs(file))
        return list(dict.fromkeys([*map(owner_of, batches), *([None] if is_hidden else [])]))

    def unused_since(self, file: RemoteFile) -> float | None:
        """Since when a file is not needed: its upload or the end of its last batch; None if that is not known."""
        times = [file.created_at, *(batch.ended_at for batch in self._users[file.id])]
        return None if file.created_at is None else max(time for time in times if time is not None)

    def reason_to_keep(self, file: RemoteFile, now: float) -> str | None:
        """Say why a file must stay, whatever its runs; None if it may be deleted."""
        is_media = bool(_MEDIA_NAME.fullmatch(file.filename or ""))
        users = self._users[file.id]
        if not (is_media or _JOB_NAME.fullmatch(file.filename or "") or any(map(owner_of, users))):
            return "it does not exist, or was not made by this provider or its batches"
        if live := [batch for batch in users if not batch.is_terminal]:
            return f"batch {live[0].id} is {live[0].status} and needs it"
        if is_media and self._live:
            return f"batch {self._live[0].id} is running, and may need it"
        if hidden := self._hidden_user(self._jobs(file)):
            return f"batch {hidden.id} is {hidden.status}, does not name its input, and may need it"
        if not users and (file.created_at is None or now - file.created_at < _unused_seconds(is_media)):
            return "no batch uses it, but one may be made, or may work on it that the platform does not show"
        return None

    def _jobs(self, file: RemoteFile) -> set[str]:
        """The jobs that a file may be an input of, as far as its name and its batches say."""
        named = _JOB_NAME.fullmatch(file.filename or "")
        read_by = [
            batch for batch in self._users[file.id] if file.id not in (batch.output_file_id, batch.error_file_id)
        ]
        jobs = [named["job"] if named else None, *(Tags.of(batch).job_key for batch in read_by)]
        return {job for job in jobs if job is not None}

    def _hidden_user(self, jobs: Set[str]) -> Batch | None:
        """Return a batch that goes on and may work on an input of these jobs without naming it."""
        blind = (batch for batch in self._live if batch.input_file_id is None)
        return next((batch for batch in blind if Tags.of(batch).job_key in (None, *jobs)), None) if jobs else None


def _unused_seconds(is_media: bool) -> float:
    return UNUSED_MEDIA_SECONDS if is_media else UNUSED_INPUT_SECONDS
