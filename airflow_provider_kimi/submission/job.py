"""A job: one checked input on its way to the platform, and all that its steps share."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import CLOCK_MARGIN_SECONDS, Search, find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.choices import MAX_BATCHES_SEARCHED
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags, digest_of, label_of
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import Prepared
from airflow_provider_kimi.requests.shards import Shard, in_parts
from airflow_provider_kimi.submission.cuts import Cuts
from airflow_provider_kimi.submission.identity import Attempt, job_key
from airflow_provider_kimi.submission.uploads import Uploads

#: Batches that a search reads by their ids because the list does not show whose they are.
MAX_UNCLEAR = 20


class Memory(Protocol):
    """What Airflow keeps for a task instance between its attempts (its task state store, from 3.3 on)."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was kept."""

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""


@dataclass(frozen=True)
class _Unclear:
    """Whether a batch may be ours although the list does not show its metadata.

    :param file_ids: Input files of ours.
    :param since: Unix seconds from when on a batch that shows no input file may be ours; None if none is to be.
    """

    file_ids: Collection[str]
    since: float | None

    def __call__(self, batch: Batch) -> bool:
        if batch.metadata:
            return False
        if batch.input_file_id is None:
            return self.since is not None and (batch.created_at or math.inf) >= self.since
        return batch.input_file_id in self.file_ids


@dataclass(frozen=True)
class Round:
    """A round after the first, in which some rows of a job are asked again.

    :param job_key: Of the first round.
    :param shard_count: How many shards the job has; the round may ask of few of them.
    :param before: The batches of the rounds before, by the name of their shard.
    :param saved: The saved file that they name, if there is one.
    """

    job_key: str
    shard_count: int
    before: Mapping[ShardName, Sequence[Batch]]
    saved: str | None = None

    def number(self, shard: ShardName) -> int:
        """How often the rows of a shard are asked with this round."""
        before = self.before[shard]
        return 1 + max(len(before), *(Tags.of(batch).round_number for batch in before))

    def may_hold(self, batch: Batch) -> bool:
        """Whether a batch is no older than what this round goes on with."""
        name = Tags.of(batch).shard_name
        before = self.before.get(name) if name else None
        return before is None or (batch.created_at or math.inf) >= (before[-1].created_at or 0)


@dataclass(frozen=True)
class Job:
    """One job on its way to the platform.

    :param memory: A place to note ids for later attempts; None where Airflow has none.
    :param round: Which round this is; None for the first.
    :param cut: The shards, and parts of shards, whose halves take their place.
    """

    calls: Calls
    order: Order
    attempt: Attempt
    prepared: Prepared
    memory: Memory | None
    round: Round | None = None
    cut: frozenset[ShardName] = frozenset()

    @cached_property
    def key(self) -> str:
        """Name of the work; the same for every attempt and round."""
        return self.round.job_key if self.round else job_key(self.attempt.task, self.prepared.fingerprint)

    @property
    def saved(self) -> str | None:
        """Name of its saved file; None if it has none."""
        if self.round:
            return self.round.saved
        return self.prepared.saved.name if self.prepared.saved else None

    @property
    def fresh(self) -> str | None:
        """Mark of an attempt that pays for fresh work; None for one that attaches to what is there."""
        return self.attempt.mark if self.order.reuse == "never" else None

    @cached_property
    def shards(self) -> list[Shard]:
        """What gets a batch of its own, in order: the shards, and the parts of those that are cut."""
        return self._in_parts(lambda shard: self.name(shard) in self.cut)

    def _in_parts(self, is_cut: Callable[[Shard], bool]) -> list[Shard]:
        return [part for shard in self.prepared.shards for part in in_parts(shard, is_cut)]

    def cut_as(self, found: Iterable[Batch]) -> "Job":
        """The job, cut as earlier attempts have cut it; as it is where no batch says so.

        :param found: Batches of the account.
        """
        if self.round:
            return self
        cuts, cut = Cuts(found, self.key, self.fresh), set[ShardName]()

        def is_cut(shard: Shard) -> bool:
            name = self.name(shard)
            was_cut = cuts.is_cut(name)
            if was_cut or (was_cut is None and name in self.cut):
                cut.add(name)
            return name in cut

        self._in_parts(is_cut)
        return self if cut == self.cut else dataclasses.replace(self, cut=frozenset(cut))

    @property
    def labels(self) -> list[str]:
        """The label of each batch, in order."""
        return [self.label(shard) for shard in self.shards]

    @property
    def batch_count(self) -> int:
        """How many batches it makes."""
        return len(self.shards)

    def label(self, shard: Shard) -> str:
        """Return the label of the batch of a shard."""
        return label_of(str(self.name(shard)), self._round_of(shard))

    def _round_of(self, shard: Shard) -> str | None:
        """The `kimi_round` of the batch of a shard."""
        return str(self.round.number(self.name(shard))) if self.round else None

    def name(self, shard: Shard) -> ShardName:
        """Name a shard, or a part of one."""
        count = self.round.shard_count if self.round else len(self.prepared.shards)
        return ShardName(shard.number, count, shard.part)

    def file_name(self, shard: Shard) -> str:
        """Name an input file so that a later attempt knows it again: by the job, and by what is in it."""
        return f"{self.begin_of_name(shard)}{shard.fingerprint[-12:]}.jsonl"

    def begin_of_name(self, shard: Shard) -> str:
        """How the input file of a shard is named, whatever it holds."""
        of_round = f"round{number}-" if (number := self._round_of(shard)) else ""
        return f"{self.key}-{self.name(shard).short}-{of_round}"

    def uploads_of(self, shard: Shard) -> list[str]:
        """Ids of the input files from which a batch of any of its rows may have been made."""
        if self.round:
            return self.uploads.ids_beginning(self.begin_of_name(shard))
        return self.uploads.ids_of_rows(self.key, self.name(shard))

    def tags(self, shard: Shard, skipped_file: str | None = None, note_file: str | None = None) -> Tags:
        """Return the tags of a shard's batch.

        :param skipped_file: Holds the rows that were left out, if there are any.
        :param note_file: Holds the recipe note, if the tags do not.
        """
        recipe = self.order.recipe
        parameters = msgspec.json.encode(
            [recipe.request_params, recipe.thinking, recipe.response_format], order="deterministic"
        )
        tags = Tags.of_task(
            self.attempt.task,
            job_key=self.key,
            input_fingerprint=shard.input_fingerprint,
            shard=str(self.name(shard)),
            round=self._round_of(shard),
            skipped_file=skipped_file,
            saved=self.saved,
            preview_of=self._preview_of,
            attempt=self.fresh,
            prompt_fingerprint=recipe.prompt_fingerprint,
            note_file=note_file,
            model=self.prepared.model,
            params=digest_of(parameters.decode()),
        )
        return tags if note_file or self.round else tags.with_note(self.prepared.notes[shard.number - 1])

    @property
    def _preview_of(self) -> str | None:
        """The `kimi_preview_of` of its batches."""
        return None if (rows := self.prepared.preview_of) is None else str(rows)

    def needs_note_file(self, skipped_file: str | None) -> bool:
        """Whether the notes of the rows have to be a file, because the metadata has no room for them."""
        note = self.prepared.notes[0].note if self.prepared.notes else None
        if note is None or not (note.has_digests or self.order.recipe.way.texts):
            return False
        tags = (replace(self.tags(shard, skipped_file), create="1.1.") for shard in self.prepared.shards)
        return any(Tags.of_pairs(each.to_metadata(self.order.metadata)).recipe is None for each in tags)

    def concerns(self, batch: Batch) -> bool:
        """Whether a batch is of this job, or of this task instance. Previews, and others, have nothing in common."""
        tags = Tags.of(batch)
        is_of_task = tags.is_of(self.attempt.task) and (tags.preview_of is None) == (self._preview_of is None)
        is_ours = tags.job_key == self.key or is_of_task
        return is_ours and (self.round is None or not tags.round or self.round.may_hold(batch))

    def find(
        self, matches: Callable[[Batch], bool], *, file_ids: Collection[str] = (), is_proof: bool = False
    ) -> Search:
        """Search the account's batches as far as this run's can be.

        :param file_ids: Input files by which a batch is known that the list shows without its metadata. It is read
            by its id then.
        :param is_proof: Whether what is not found is to be taken for absent. Every new batch that the list shows
            without metadata and input file is read by its id then.
        """
        return search_account(
            self.calls,
            matches,
            since=self.attempt.run_after,
            most=self.order.max_batches_searched,
            file_ids=file_ids,
            is_proof=is_proof,
        )

    @cached_property
    def uploads(self) -> Uploads:
        """The files that the account kept when this was first asked."""
        return self.read_uploads()

    def read_uploads(self) -> Uploads:
        """Read the files that the account keeps now."""
        page = self.calls.read(self.calls.hook.list_all_files)
        return Uploads(page.data, is_whole=not page.has_more)


def search_account(
    calls: Calls,
    matches: Callable[[Batch], bool],
    *,
    since: float | None = None,
    most: int = MAX_BATCHES_SEARCHED,
    file_ids: Collection[str] = (),
    is_proof: bool = False,
) -> Search:
    """Search the account's batches, and read by their ids those whose metadata the list does not show.

    :param since: Unix seconds before which no match was created; None if that is not known.
    :param most: How many batches are read.
    :param file_ids: Input files by which a batch is known that the list shows without its metadata.
    :param is_proof: Whether what is not found is to be taken for absent. Every new batch that the list shows without
        metadata and input file is read by its id then.
    """
    is_unclear = _Unclear(file_ids, (since or 0.0) - CLOCK_MARGIN_SECONDS if is_proof else None)
    search = find_batches(
        calls, lambda batch: matches(batch) or is_unclear(batch), since=since, most=most, is_proof=is_proof
    )
    unclear = [batch.id for batch in search.batches if not matches(batch)]
    if len(unclear) > MAX_UNCLEAR:
        gap = f"the list shows {len(unclear)} batches of this time without their metadata"
        return search._replace(batches=list(filter(matches, search.batches)), gap=search.gap or gap)
    read = {batch_id: calls.read_batch(batch_id) for batch_id in unclear}
    found = [read.get(batch.id, batch) for batch in search.batches]
    return search._replace(batches=list(filter(matches, found)))
