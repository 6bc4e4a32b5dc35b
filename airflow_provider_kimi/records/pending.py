"""What a task is still to create: shards that lie on the platform and wait for their turn, as a deferral keeps them."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.recipe_note import RecipeNote, RowsNote
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags, label_of

#: Version of the shape; one of a later version is refused.
PENDING_VERSION = 1

#: The tags that each batch has of its own.
_OWN_TAGS = ("shard", "round", "input_fingerprint", "recipe", "recipe_rest", "create")


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
    :param refusals: How often the platform has refused it for its size or price, while no batch of the task ran.
    """

    file_id: str
    rows: int
    at: int
    shard: str
    fingerprint: str | None = None
    round: str | None = None
    digests: bytes | None = None
    is_unsure: bool = False
    refusals: int = 0

    @classmethod
    def of(cls, file_id: str, rows: int, tags: Tags, *, is_unsure: bool = False, refusals: int = 0) -> Self:
        """Note a shard by the tags of its batch."""
        note = tags.rows_note
        return cls(
            file_id,
            rows,
            0,
            str(tags.shard),
            tags.input_fingerprint,
            tags.round,
            note.digests if note else None,
            is_unsure,
            refusals,
        )

    @property
    def label(self) -> str:
        """Names the batch within its job."""
        return label_of(self.shard, self.round)


class Pending(msgspec.Struct, frozen=True, omit_defaults=True):
    """The shards of a task that are still to be created, in order. No row is in it.

    :param shards: At least one.
    :param tags: Those that all of them share, by their keys.
    :param note: The recipe note that their tags have.
    :param since: Unix seconds before which no batch of this round was made; None in the first round, unless a
        batch of it was taken back.
    :param has_turns: Whether they wait for room in the account, for which others may wait too; else they wait for the
        end of a batch of the task itself.
    :param turn_at: Unix seconds at which the task looks for that room; None where it is not decided yet.
    :param idle_since: Unix seconds since when it has found none; None if it has not looked in vain.
    :param has_passed_pilot: Whether the pilot before them has passed.
    """

    shards: tuple[PendingShard, ...]
    tags: dict[str, str]
    note: RecipeNote | None = None
    since: int | None = None
    has_turns: bool = False
    turn_at: float | None = None
    idle_since: float | None = None
    has_passed_pilot: bool = False
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
        """Whether every shard behind the first one is still to be created."""
        names = [name for shard in self.shards if (name := ShardName.of(shard.shard))]
        behind = {name.number for name in names} - {1}
        return self.since is None and len(behind) + 1 == names[0].shards

    @property
    def rows(self) -> int:
        """How many requests are still to be sent."""
        return sum(shard.rows for shard in self.shards)

    def without_turns(self) -> Self:
        """The same, waiting for batches of the task itself."""
        return replace(self, has_turns=False, turn_at=None, idle_since=None)

    def tags_of(self, shard: PendingShard) -> Tags:
        """The tags of the batch of a shard."""
        own = {"shard": shard.shard, "round": shard.round, "input_fingerprint": shard.fingerprint}
        tags = replace(Tags.of_pairs(self.tags), **own)
        if shard.digests is None:
            return tags
        return tags.with_note(RowsNote(note=self.note, shard=tags.shard_number or 0, digests=shard.digests))

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


def in_order(batch_ids: Sequence[str], shards: Iterable[PendingShard]) -> list[str | PendingShard]:
    """Bring batches and what is still to be created into the order of the input."""
    merged: list[str | PendingShard] = list(batch_ids)
    for before, shard in enumerate(shards):
        merged.insert(shard.at + before, shard)
    return merged


def parted(merged: Iterable[str | PendingShard]) -> tuple[list[str], tuple[PendingShard, ...]]:
    """Part batches from what is still to be created, which keeps its place."""
    batch_ids: list[str] = []
    shards = []
    for each in merged:
        if isinstance(each, str):
            batch_ids.append(each)
        else:
            shards.append(replace(each, at=len(batch_ids)))
    return batch_ids, tuple(shards)
