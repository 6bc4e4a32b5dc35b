"""Shards: what the batches of a job hold, and how one is halved that the platform finds too large."""

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_kimi.records.shard_names import Part
from airflow_provider_kimi.requests.spool import Slice


@dataclass(frozen=True)
class Shard:
    """One checked batch input file, before media are uploaded.

    :param number: Its place among the shards, from 1.
    :param fingerprint: Of its own lines.
    :param part: Which of its rows these are; None for all of them.
    :param origin: The fingerprint of the whole shard, if these are all rows of a part; None if not.
    """

    number: int
    content: Slice
    fingerprint: str
    part: Part | None = None
    origin: str | None = None

    @property
    def input_fingerprint(self) -> str:
        """What its batch says of its rows: parts of a shard bear the fingerprint of the shard."""
        return self.origin or self.fingerprint

    @property
    def halves(self) -> tuple["Shard", "Shard"]:
        """The same rows in two parts, always the same. Each has its lines where they lie."""
        rows = self.content.rows
        parts = (self.part or Part(0, rows, rows)).halves
        contents, origin = self.content.halves, self.input_fingerprint
        first, second = (
            Shard(self.number, content, content.fingerprint(), part, origin)
            for content, part in zip(contents, parts, strict=True)
        )
        return first, second


def in_parts(shard: Shard, is_cut: Callable[[Shard], bool]) -> list[Shard]:
    """Put the halves of a shard in its place if it is cut, and so on; a single row is never cut."""
    if shard.content.rows < 2 or not is_cut(shard):
        return [shard]
    return [part for half in shard.halves for part in in_parts(half, is_cut)]
