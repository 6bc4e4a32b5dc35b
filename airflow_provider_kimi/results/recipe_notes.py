"""What the jobs of a result were told about their rows, as it travels with their batches."""

from __future__ import annotations

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
from airflow_provider_kimi.records.recipe_note import NoteFile, RecipeNote
from airflow_provider_kimi.records.tags import Tags


@dataclass(frozen=True)
class JobNote:
    """The recipe note of a job, and the digests of the rows of each of its shards, if it has any."""

    note: RecipeNote | None = None
    digests: dict[int, bytes] = field(default_factory=dict)


def read_notes(calls: Calls, batches: Sequence[Batch], folder: Path) -> dict[str | None, JobNote]:
    """Read the note of each job, by its key; one without a note for a job whose note cannot be found.

    :raises KimiApiError: The platform does not answer.
    """
    jobs = {tags.job_key: tags for tags in map(Tags.of, batches)}
    return {key: _read(calls, tags, folder / f"note-{number}") for number, (key, tags) in enumerate(jobs.items())}


def reading_of(notes: Iterable[JobNote]) -> Reading:
    """How the jobs read their input; as plain UTF-8 if they do not agree, or their notes are not known."""
    found = {job.note.reading or PLAIN for job in notes if job.note is not None}
    return found.pop() if len(found) == 1 else PLAIN


def _read(calls: Calls, tags: Tags, path: Path) -> JobNote:
    if (note := tags.recipe_note) is not None:
        return JobNote(note)
    try:
        file_id = tags.note_file or _by_name(calls, tags)
        if file_id is None:
            return JobNote()
        fetch_file(calls, file_id, path, expected_lines=1, doubted=())
    except KimiApiError as error:
        if error.retryable:
            raise
        calls.log.warning("What the create was told about its rows cannot be read: %s", error)
        return JobNote()
    return note_of_file(path)


def _by_name(calls: Calls, tags: Tags) -> str | None:
    """Find a file for which the metadata had no room."""
    if tags.job_key is None:
        return None
    files = calls.read(calls.hook.list_files)
    return next((file.id for file in files if file.given_name == f"{tags.job_key}-note.jsonl"), None)


def note_of_file(path: Path) -> JobNote:
    """Read the note and the digests that a file beside the input holds."""
    note, digests = None, dict[int, bytes]()
    try:
        for _, text in lines_at(path):
            line = msgspec.json.decode(text, type=NoteFile)
            note = line.note or note
            if line.shard:
                digests[line.shard] = digests.get(line.shard, b"") + line.digests
    except (ValueError, msgspec.MsgspecError):
        return JobNote()
    return JobNote(note, digests)
