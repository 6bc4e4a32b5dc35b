"""The sample of an input that a preview asks: rows that stand evenly over the whole, the same ones each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_kimi.records.tags import digest_of
from airflow_provider_kimi.requests.media import MediaKind, media_in
from airflow_provider_kimi.requests.row_notes import RowNotes
from airflow_provider_kimi.requests.splitting import spread
from airflow_provider_kimi.requests.spool import Spool


@dataclass(frozen=True)
class Sample:
    """What is asked: some of the rows that can be sent, or all of them.

    :param of_rows: How many rows can be sent, where these are a sample of them; None where there is no preview.
    """

    spool: Spool
    of_rows: int | None

    @classmethod
    def of(cls, spool: Spool, wanted: int | None, notes: RowNotes, folder: Path) -> Sample:
        """Take so many rows, and keep the notes of these.

        :param wanted: None for all, which is no preview.
        """
        if wanted is None:
            return cls(spool, None)
        whole = len(spool.ends)
        rows = spread(whole, wanted)
        if len(rows) == whole:
            return cls(spool, whole)
        notes.keep(rows)
        return cls(spool.only(rows, folder / "preview.jsonl"), whole)

    def fingerprint(self, of_requests: str) -> str:
        """Name the work: the requests of a preview are another job than the same ones for themselves."""
        return of_requests if self.of_rows is None else digest_of(of_requests, f"preview of {self.of_rows}")

    def media(self, files: dict[str, tuple[MediaKind, Path]]) -> Mapping[str, tuple[MediaKind, Path]]:
        """The files, by placeholder, that the rows name."""
        if self.of_rows is None or not files:
            return files
        named = {name for line in self.spool.lines() for name in media_in(line)}
        return {name: file for name, file in files.items() if name in named}
