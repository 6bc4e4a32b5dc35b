"""The note of a job in Airflow's task state store: which batches an attempt has made.

It only saves a search, because the platform is the record.
"""

from typing import Any, Self

import msgspec

#: Key of the note, and version of its shape. A note of a newer version is ignored: the search finds the batches.
NOTE_KEY = "kimi_job"
NOTE_VERSION = 1


class JobNote(msgspec.Struct, frozen=True, kw_only=True):
    """Batches that one attempt has submitted.

    :param job: Key of the job.
    :param batches: Batch id of each `kimi_shard`.
    :param ended: Ids of the batches of the same shard that ended before, with rows that are not asked again.
    :param is_settled: Whether the attempt has agreed with those that submitted the same at that time.
    :param fresh: Mark of the attempt, if it pays for fresh work.
    """

    job: str
    batches: dict[str, str]
    ended: dict[str, list[str]] = msgspec.field(default_factory=dict)
    is_settled: bool = False
    fresh: str | None = None
    version: int = NOTE_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return stored

    @classmethod
    def of(cls, stored: object) -> Self | None:
        """Read one back; None if there is none, or one that this version cannot read."""
        try:
            note = msgspec.convert(stored, cls)
        except msgspec.ValidationError:
            return None
        return note if note.version == NOTE_VERSION else None
