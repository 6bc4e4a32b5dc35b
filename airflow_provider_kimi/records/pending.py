"""What a task is still to create: shards that lie on the platform and wait for their turn, as a deferral keeps them."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.recipe_note import RecipeNote, RowsNote
from airflow_provider_kimi.records.tags import Tags

#: Version of the shape; one of a later version is refused.
PENDING_VERSION = 1

#: The tags that each shard has of its own.
_OWN_TAGS = ("shard", "round", "input_fingerprint", "recipe", "recipe_rest")


class PendingShard(msgspec.Struct, frozen=True, array_like=True):
    """A shard whose input file is on the platform, and whose batch is still to be created. Stored as a list.

    :param file_id: Its input file.
    :param rows: How many requests that has.
    :param at: How many of the task's batches stand before it, in the order of the input.
    :param shard: Its `kimi_shard`.
    :param fingerprint: Of its input file.
    :param round: Its `kimi_round`.
    :param digests: Of its rows, where the note in its tags has them; None where its tags have no note.
    :param is_unsure: Whether an earlier attempt has uploaded it too, and may have created its batch unseen.
    """

    file_id: str
    rows: int
    at: int
    shard: str
    fingerprint: str | None = None
    round: str | None = None
    digests: bytes | None = None
    is_unsure: bool = False

    @classmethod
    def of(cls, file_id: str, rows: int, tags: Tags, *, is_unsure: bool = False) -> Self:
        """Note a shard by the tags of its batch."""
        note = tags.rows_note
        digests = note.digests if note else None
        shard = str(tags.shard)
        return cls(file_id, rows, 0, shard, tags.input_fingerprint, tags.round, digests, is_unsure)

    @property
    def label(self) -> str:
        """Names the batch within its job."""
        return str(Tags(shard=self.shard, round=self.round).label)


class Pending(msgspec.Struct, frozen=True, omit_defaults=True):
    """The shards of a task that are still to be created, in order. No row is in it.

    :param shards: At least one.
    :param tags: Those that all of them share, by their keys.
    :param note: The recipe note that their tags have.
    :param since: Unix seconds before which no batch of this round was made; None in the first round.
    """

    shards: tuple[PendingShard, ...]
    tags: dict[str, str]
    note: RecipeNote | None = None
    since: int | None = None
    version: int = PENDING_VERSION

    @classmethod
    def of(cls, shards: Iterable[PendingShard], tags: Tags, since: int | None = None) -> Self:
        """Note shards.

        :param tags: Of one of them.
        """
        note = tags.rows_note
        common = replace(tags, **dict.fromkeys(_OWN_TAGS))
        return cls(tuple(shards), common.to_metadata({}), note.note if note else None, since)

    @property
    def is_all_but_first(self) -> bool:
        """Whether nothing exists but the first batch of the job."""
        return len(self.shards) + 1 == Tags(shard=self.shards[0].shard).shard_count

    @property
    def rows(self) -> int:
        """How many requests are still to be sent."""
        return sum(shard.rows for shard in self.shards)

    def tags_of(self, shard: PendingShard) -> Tags:
        """The tags of the batch of a shard."""
        own = {"shard": shard.shard, "round": shard.round, "input_fingerprint": shard.fingerprint}
        tags = replace(Tags.of_pairs(self.tags), **own)
        if shard.digests is None:
            return tags
        return tags.with_note(RowsNote(note=self.note, shard=tags.shard_number or 0, digests=shard.digests))

    def without(self, created: Sequence[str | None]) -> tuple[list[tuple[int, str]], Self | None]:
        """Take out the shards that have been created.

        :param created: The batch of each shard, in order; None where there is none.
        :return: Where each batch comes to stand among those of the task, and what is left; None if that is nothing.
        """
        placed: list[tuple[int, str]] = []
        left = []
        for shard, batch_id in zip(self.shards, created, strict=True):
            at = shard.at + len(placed)
            if batch_id is None:
                left.append(replace(shard, at=at))
            else:
                placed.append((at, batch_id))
        return placed, replace(self, shards=tuple(left)) if left else None

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return stored | {"version": self.version}

    @classmethod
    def from_dict(cls, stored: dict[str, Any] | None) -> Self | None:
        """Read it back; None where nothing was to be created.

        :raises KimiBatchError: It is of a later version, or is not such a record.
        """
        if stored is None:
            return None
        version = stored.get("version", PENDING_VERSION)
        if version == PENDING_VERSION:
            try:
                return msgspec.convert(stored, cls)
            except msgspec.ValidationError:
                pass
        raise KimiBatchError(
            f"This task was resumed with a list of shards that it cannot read (version {version!r}; this is version "
            f"{PENDING_VERSION}). Nothing more was created; what runs goes on and is billed. Run all workers with "
            "the same version of airflow-provider-kimi, then clear the task: it attaches to its batches, and creates "
            "the rest."
        )
