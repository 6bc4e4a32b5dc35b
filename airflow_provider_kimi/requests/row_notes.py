"""What is noted of the rows of a job: how they became requests, and digests where the requests do not show it."""

from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import msgspec

from airflow_provider_kimi.records.reading import Reading
from airflow_provider_kimi.records.recipe_note import RowsNote
from airflow_provider_kimi.requests.asked import DIGEST_BYTES, digest_of_row, digested_columns, note_of
from airflow_provider_kimi.requests.recipe import Recipe

#: Bytes of the digests in one line of a file.
_LINE_BYTES = 3000 * DIGEST_BYTES


class RowNotes:
    """Collects the digests of the rows that are sent, if they are needed."""

    def __init__(self, recipe: Recipe, media_columns: Sequence[str], reading: Reading, *, is_ready: bool) -> None:
        self.note = note_of(recipe, media_columns, reading, is_ready=is_ready)
        self._columns = digested_columns(recipe, media_columns)
        self._digests = bytearray()

    def add(self, row: object) -> None:
        """Add the next row that is sent."""
        if self.note.has_digests:
            self._digests += digest_of_row(row, self._columns)

    def digest(self, row: int) -> bytes:
        """The digest of a row of this number, from 0; empty if none are needed."""
        return bytes(self._digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES])

    def drop(self, rows: Container[int]) -> None:
        """Forget the rows of these numbers, from 0."""
        places = range(0, len(self._digests), DIGEST_BYTES)
        kept = (self._digests[at : at + DIGEST_BYTES] for at in places if at // DIGEST_BYTES not in rows)
        self._digests = bytearray().join(kept)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget the rows of all other numbers, from 0; these are ascending."""
        if self._digests:
            starts = (number * DIGEST_BYTES for number in rows)
            self._digests = bytearray().join(self._digests[at : at + DIGEST_BYTES] for at in starts)

    def of_shards(self, shards: Iterable[range]) -> list[RowsNote]:
        """The note for each shard, given as the numbers of its rows."""
        return [
            RowsNote(
                note=self.note,
                shard=number,
                digests=bytes(self._digests[rows.start * DIGEST_BYTES : rows.stop * DIGEST_BYTES]),
            )
            for number, rows in enumerate(shards, 1)
        ]


def write_notes(notes: Iterable[RowsNote], path: Path) -> None:
    """Write the notes of all shards as the lines of a file."""
    with path.open("wb") as target:
        for whole in notes:
            digests = whole.digests
            for at in range(0, max(len(digests), 1), _LINE_BYTES):
                note = whole.note if at == 0 and whole.shard == 1 else None
                part = RowsNote(note=note, shard=whole.shard, digests=digests[at : at + _LINE_BYTES])
                target.write(msgspec.json.encode(part) + b"\n")
