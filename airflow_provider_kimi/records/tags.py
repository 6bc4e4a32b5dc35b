"""Tags: the metadata of our batches, as one typed value. Every key is named here once.

The platform keeps them as pairs of text. `kimi_provider_version` says who wrote them. A key that is absent, or is not
text, is None; keys that this version does not know are ignored.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import msgspec

from airflow_provider_kimi import __version__
from airflow_provider_kimi.api.limits import MAX_METADATA_KEY_CHARS, MAX_METADATA_PAIRS, MAX_METADATA_VALUE_CHARS
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.recipe_note import RowsNote
from airflow_provider_kimi.records.shard_names import Part, ShardName


@dataclass(frozen=True)
class TaskIdentity:
    """One task instance.

    :param map_index: -1 for an unmapped task.
    :param iteration: Of the loop that it is in, from 0 (Airflow 3.4); None outside of loops.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    iteration: int | None = None


class Tags(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of one of our batches.

    :param job_key: Name of the job; the same for every attempt.
    :param input_fingerprint: Of this batch's own input file; of that of the shard, if it asks for all rows of a part.
    :param shard: The name of its shard, or of a part of one; see `ShardName`.
    :param round: How often the rows of the shard were asked with this batch; None for the first time.
    :param skipped_file: File of the rows that were left out; None if there are none.
    :param saved: Name of the saved file in the output directory, which has the rows that are not sent because their
        answers are there; None if the job has none.
    :param preview_of: How many rows the input has, if this batch asks a sample of them for a preview; None if not.
    :param attempt: Mark of an attempt that pays for fresh work; None for one that attaches to earlier batches.
    :param create: Mark of the one call that made the batch; None if there was no room for it.
    :param prompt_fingerprint: Of the texts that say what to ask about a row.
    :param recipe: The packed recipe note of the job, or its first half.
    :param recipe_rest: Its second half; None if it has none.
    :param note_file: File of the recipe note, if it has one, as far as there was room to name it.
    :param model: The model of every request.
    :param params: Digest of the parameters of every request.
    """

    dag_id: str | None = msgspec.field(default=None, name="airflow_dag_id")
    run_id: str | None = msgspec.field(default=None, name="airflow_run_id")
    task_id: str | None = msgspec.field(default=None, name="airflow_task_id")
    map_index: str | None = msgspec.field(default=None, name="airflow_map_index")
    iteration: str | None = msgspec.field(default=None, name="kimi_iteration")
    job_key: str | None = msgspec.field(default=None, name="kimi_job_key")
    input_fingerprint: str | None = msgspec.field(default=None, name="kimi_input_fingerprint")
    shard: str | None = msgspec.field(default=None, name="kimi_shard")
    provider_version: str | None = msgspec.field(default=None, name="kimi_provider_version")
    round: str | None = msgspec.field(default=None, name="kimi_round")
    skipped_file: str | None = msgspec.field(default=None, name="kimi_skipped_file")
    saved: str | None = msgspec.field(default=None, name="kimi_saved")
    preview_of: str | None = msgspec.field(default=None, name="kimi_preview_of")
    attempt: str | None = msgspec.field(default=None, name="kimi_attempt")
    create: str | None = msgspec.field(default=None, name="kimi_create")
    prompt_fingerprint: str | None = msgspec.field(default=None, name="kimi_prompt_fingerprint")
    recipe: str | None = msgspec.field(default=None, name="kimi_recipe")
    recipe_rest: str | None = msgspec.field(default=None, name="kimi_recipe_2")
    note_file: str | None = msgspec.field(default=None, name="kimi_note_file")
    model: str | None = msgspec.field(default=None, name="kimi_model")
    params: str | None = msgspec.field(default=None, name="kimi_params")

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Read the tags of any batch."""
        return cls.of_pairs(batch.metadata or {})

    @classmethod
    def of_pairs(cls, sent: Mapping[str, object]) -> Self:
        """Read the tags among the pairs of a batch."""
        known = {field: value for field, key in _KEYS.items() if isinstance(value := sent.get(key), str)}
        return cls(**known)

    @classmethod
    def of_task(cls, task: TaskIdentity, **others: str | None) -> Self:
        """Tag the work of a task instance."""
        return cls(**_instance(task), provider_version=__version__, **others)

    @property
    def is_ours(self) -> bool:
        """Whether this provider made the batch, and names the run."""
        return self.job_key is not None and bool(self.dag_id) and bool(self.run_id)

    def is_of(self, task: TaskIdentity) -> bool:
        """Whether an attempt of this task instance made the batch."""
        return all(getattr(self, field) == value for field, value in _instance(task).items())

    @property
    def task(self) -> tuple[str | None, ...]:
        """Names the task instance that made the batch, as far as it says."""
        return self.dag_id, self.run_id, self.task_id, self.map_index, self.iteration

    @property
    def work(self) -> str | None:
        """Names the work of the batch, the job and the shard; None if it does not say."""
        return f"{self.job_key} {self.shard}" if self.job_key and self.shard else None

    @property
    def label(self) -> str | None:
        """Names the batch within its job: its shard and, from the second on, its round; None if it does not say."""
        return label_of(self.shard, self.round) if self.shard else None

    @property
    def shard_name(self) -> ShardName | None:
        """Names the shard, or the part of one; None if it is not known."""
        return ShardName.of(self.shard or "")

    @property
    def shard_number(self) -> int | None:
        """Number of the shard, from 1; None if it is not known."""
        return name.number if (name := self.shard_name) else None

    @property
    def part(self) -> Part | None:
        """Which rows of the shard; None for all of them, or if it is not known."""
        return name.part if (name := self.shard_name) else None

    @property
    def shard_count(self) -> int | None:
        """How many shards the job has; None if it is not known."""
        return name.shards if (name := self.shard_name) else None

    def meets(self, other: "Tags") -> bool:
        """Whether two batches were made for the same rows of a job, in one round, or one for some of the other's."""
        if (self.job_key, self.round) != (other.job_key, other.round):
            return False
        mine, theirs = self.shard_name, other.shard_name
        return mine.holds(theirs) or theirs.holds(mine) if mine and theirs else self.shard == other.shard

    @property
    def round_number(self) -> int:
        """How often the rows of the shard were asked with this batch; 1 if it does not say."""
        return int(self.round) if self.round and self.round.isdecimal() else 1

    @property
    def preview_rows(self) -> int | None:
        """How many rows the input of a preview has; None for others."""
        return int(self.preview_of) if self.preview_of and self.preview_of.isdecimal() else None

    @property
    def rows_note(self) -> RowsNote | None:
        """The recipe note that the tags hold, with the digests of the batch; None if they hold none."""
        return RowsNote.of_packed(self.recipe + (self.recipe_rest or "")) if self.recipe else None

    def with_note(self, note: RowsNote) -> Self:
        """Add a recipe note, if it is short enough for tags."""
        first, rest = (packed := note.packed())[:MAX_METADATA_VALUE_CHARS], packed[MAX_METADATA_VALUE_CHARS:]
        if len(rest) > MAX_METADATA_VALUE_CHARS:
            return self
        return msgspec.structs.replace(self, recipe=first, recipe_rest=rest or None)

    def to_metadata(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Write the pairs of a new batch, with the user's own. Notes that do not fit are left out.

        :param extra: The user's own pairs.
        :raises KimiInputError: They do not fit beside ours.
        """
        pairs = {key: value for field, key in _KEYS.items() if (value := getattr(self, field)) is not None}
        notes = {key: pairs.pop(key) for key in _NOTES if key in pairs}
        check_metadata(extra, pairs)
        pairs |= extra
        for key, value in notes.items():
            if len(value) <= MAX_METADATA_VALUE_CHARS and len(pairs) < MAX_METADATA_PAIRS:
                pairs[key] = value
        if pairs.keys() & _RECIPE != notes.keys() & _RECIPE:  # half a note says nothing
            pairs = {key: value for key, value in pairs.items() if key not in _RECIPE}
        return pairs


def label_of(shard: str, round_number: str | None) -> str:
    """Name a batch within its job: by its `kimi_shard` and, from the second round on, its `kimi_round`."""
    return f"{shard} round {round_number}" if round_number else shard


#: Field -> key of the platform's metadata.
_KEYS: Mapping[str, str] = {field.name: field.encode_name for field in msgspec.structs.fields(Tags)}

#: Key of the mark of a create call.
CREATE_KEY = _KEYS["create"]

#: Keys that may be left out for lack of room, the most useful first.
_NOTES = tuple(
    _KEYS[field] for field in ("create", "recipe", "recipe_rest", "note_file", "prompt_fingerprint", "model", "params")
)

#: Keys of the parts of a recipe note.
_RECIPE = {_KEYS["recipe"], _KEYS["recipe_rest"]}


def _instance(task: TaskIdentity) -> dict[str, str | None]:
    return {
        "dag_id": shortened(task.dag_id),
        "run_id": shortened(task.run_id),
        "task_id": shortened(task.task_id),
        "map_index": str(task.map_index),
        "iteration": None if task.iteration is None else str(task.iteration),
    }


def digest_of(*parts: str | None) -> str:
    """Fingerprint texts in order; None and "" differ."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def shortened(text: str, most: int = MAX_METADATA_VALUE_CHARS) -> str:
    """Fit a long id into so many characters: its beginning and a digest of the whole, so that no two are equal."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: most - len(digest) - 1]}~{digest}"


def check_metadata(extra: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Refuse pairs that the platform would refuse, or that would replace ours."""
    if not isinstance(extra, Mapping):
        raise _wrong_metadata(f"is a {type(extra).__name__}", "Give pairs of text, as in {'team': 'reviews'}.")
    room = MAX_METADATA_PAIRS - len(own)
    if len(extra) > room:
        raise _wrong_metadata(
            f"has {len(extra)} pairs; a batch may have {MAX_METADATA_PAIRS}, of which {len(own)} are this provider's",
            f"Keep at most {room}.",
        )
    for key, value in extra.items():
        if not isinstance(key, str) or not key or len(key) > MAX_METADATA_KEY_CHARS:
            raise _wrong_metadata(
                f"has the key {str(key)[:80]!r}; a key is text of 1 to {MAX_METADATA_KEY_CHARS} characters",
                _remedy(key),
            )
        if key in _KEYS.values():
            raise _wrong_metadata(f"has the key {key!r}, which this provider sets", "Choose another name.")
        if not isinstance(value, str) or len(value) > MAX_METADATA_VALUE_CHARS:
            raise _wrong_metadata(
                f"has a value of {key!r} that is not text of at most {MAX_METADATA_VALUE_CHARS} characters",
                _remedy(value),
            )
        if storable([key, value]) != [key, value]:
            raise _wrong_metadata(f"has a NUL or half a character in {key!r}", "Leave it out.")


def _remedy(given: object) -> str:
    return "Shorten it." if isinstance(given, str) and given else "Write text, in quotes."


def _wrong_metadata(fault: str, remedy: str) -> KimiInputError:
    return KimiInputError(f"metadata {fault}. Nothing was sent. {remedy}")
