"""What the jobs of a result noted about their rows, as it travels with their batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.fetch import fetch_file
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.files.lines import lines_at
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.records.recipe_note import RecipeNote, RowsNote
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.asked import DIGEST_BYTES


@dataclass(frozen=True)
class NotesOfJob:
    """The recipe note of a job, and the digests of the rows of each of its shards, if it has any."""

    note: RecipeNote | None = None
    digests: dict[int, bytes] = field(default_factory=dict)

    def digests_of(self, tags: Tags) -> bytes:
        """The digests of the rows of one batch; empty if they are not known."""
        digests, part = self.digests.get(tags.shard_number or 1, b""), tags.part
        return digests if part is None else digests[part.start * DIGEST_BYTES : part.stop * DIGEST_BYTES]


def read_notes(calls: Calls, batches: Sequence[Batch], folder: Path) -> dict[str | None, NotesOfJob]:
    """Read the notes of each job, by its key; none for a job whose notes cannot be found.

    :raises KimiApiError: The platform does not answer.
    """
    jobs: dict[str | None, list[Tags]] = {}
    for tags in map(Tags.of, batches):
        jobs.setdefault(tags.job_key, []).append(tags)
    return {key: _read(calls, tags, folder / f"note-{number}") for number, (key, tags) in enumerate(jobs.items())}


def reading_of(notes: Iterable[NotesOfJob]) -> Reading:
    """How the jobs read their input; as plain UTF-8 if they do not agree, or their notes are not known."""
    found = {job.note.reading or PLAIN for job in notes if job.note is not None}
    return found.pop() if len(found) == 1 else PLAIN


def _read(calls: Calls, of_batches: Sequence[Tags], path: Path) -> NotesOfJob:
    parts = {part.shard: part for tags in of_batches if (part := tags.rows_note) is not None}
    if parts:
        return _joined(parts.values())
    try:
        file_id = of_batches[0].note_file or _by_name(calls, of_batches[0])
        if file_id is None:
            return NotesOfJob()
        fetch_file(calls, file_id, path, expected_lines=1, doubted=())
    except KimiApiError as error:
        if error.retryable:
            raise
        calls.log.warning("What the create noted about its rows cannot be read: %s", error)
        return NotesOfJob()
    return notes_of_file(path)


def _by_name(calls: Calls, tags: Tags) -> str | None:
    """Find a file for which the metadata had no room."""
    if tags.job_key is None:
        return None
    files = calls.read(calls.hook.list_files)
    return next((file.id for file in files if file.given_name == f"{tags.job_key}-note.jsonl"), None)


def notes_of_file(path: Path) -> NotesOfJob:
    """Read the notes that a file beside the input holds; none if it cannot be read."""
    try:
        return _joined([msgspec.json.decode(line, type=RowsNote) for _, line in lines_at(path)])
    except (ValueError, msgspec.MsgspecError):
        return NotesOfJob()


def _joined(parts: Iterable[RowsNote]) -> NotesOfJob:
    note, digests = None, defaultdict[int, bytes](bytes)
    for part in parts:
        note = note or part.note
        digests[part.shard] += part.digests
    return NotesOfJob(note, digests)
