"""The manifest: the summary of a result, as plain JSON for XCom and for `manifest.json`."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Self

import msgspec

from airflow_provider_kimi.records.outside import plain_location, storable

ManifestStatus = Literal["completed", "partial", "failed"]

#: What the event of an asset repeats: what its consumers decide by, and where the rest is.
_IN_EVENTS = (
    *("schema_version", "status", "model", "counts", "usage", "cost", "rounds", "results_file", "dead_letter_file"),
    *("input_fingerprint", "prompt_fingerprint", "completed_at", "plain_locations", "labels"),
)

#: The files that it names, the most wanted first.
FILE_FIELDS = (
    *("results_file", "output_file", "error_file", "dead_letter_file"),
    *("realtime_file", "saved_file", "report_file"),
)


#: The fields by which a file is known as a manifest, whatever somebody has edited in the others.
_OF_OWNERSHIP = ("batch_ids", *FILE_FIELDS)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Rows without a usable answer that have one reason.

    :param status: That of the rows.
    :param reason: Their `error_code`, or the `finish_reason` of their answers, if that is written as a code, else
        `other`.
    :param sample: The ids of the first of them; long ones are shortened.
    """

    status: str
    reason: str
    count: int
    sample: list[str] = msgspec.field(default_factory=list)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One landed result. Files are URIs of Airflow, None where there is none; times are ISO 8601 in UTC.

    What is written says in `plain_locations` too where each file is, for programs that know no connection of Airflow.
    It follows from the files, so it is never read.

    :param status: `completed` if every row has a usable answer, `failed` if none has, else `partial`. How the batches
        ended is in none of these words: a batch may complete without one usable answer.
    :param counts: `total`, and the rows of each status; they add up.
    :param answers: How many answers have text: `whole` ones, and those that were `cut` off. No schema and no check
        changes these numbers.
    :param failures: Why rows have no usable answer, the most common reason first; they add up to the rows that did not
        succeed. Those that are not named are the last one, `further_reasons`. Not there if every row succeeded.
    :param landed_by: The task instance that landed it, as `dag_id`, `run_id`, `task_id` and `map_index`.
    :param former_files: Names of files of the result that this one replaces, while they are not removed.
    :param input_changes: Rows of each way in which the input differs from what was asked, if it was given.
    :param by_round: Of each round, its `requests` and how many usable answers are of it (`succeeded`, which add up to
        those of `counts` but for saved rows); not there if there was one round.
    :param realtime: Of the rows that were asked by ordinary chat calls: `rows`, how many usable answers are of them
        (`succeeded`), their `usage` and their `cost`, which are part of those of the whole; not there without any.
    :param realtime_file: Their answers as they came, by which no later try asks for them again.
    :param report_file: The page for people; not there in results of earlier versions.
    :param saved: Of the rows whose requests were not sent, which are in `counts` and in no other number: how many the
        `cache` has answered, and how many are a `duplicate` of an earlier row; and how many of the answers that were
        paid are kept in the cache (`stored`) once the result is accepted. Not there without a cache or dedupe.
    :param saved_file: The rows that were not sent, with their answers, by which no later try asks for them.
    :param merged: What became of the rows that were asked again, if it was merged into an earlier result: `taken`,
        `not_better`, `had_answer`, `asks_other` and `added`, those that there are.
    :param dead_letter_digest: SHA-256 of the dead letters as they were landed; not there if there are none.
    :param guarded_cells: How many cells of a CSV file have an apostrophe before them, so that no spreadsheet reads a
        formula; not there without that guard.
    :param labels: How often each label comes among the usable answers, the most frequent first; `…other` counts those
        that are not named. Not there if answers have no labels.
    :param gold: How the answers agree with the gold column, if there is one: its name (`column`), how many `rows` have
        a label there, how many of these were `compared`, are `unanswered`, have an `unknown` label, or ask something
        else by now (`changed`, if any); how many `agreed`, and which share that is (`agreement`, None if none was
        compared); how often each answer was given for each label (`confusion`, the largest first; `confusion_cut` if
        not all are named); and the ids of the first rows that `differ`.
    :param drift: How far the shares of the labels are from those of an earlier result, which was done at `since`: their
        total variation `distance`, and the labels that have moved most (`moves`). Not there if none was compared.
    :param budget: That which the task drew on: `name`, `window`, `amount`, `currency` and what is `left`; not there
        without one.
    :param cost: `currency`, `amount` and `price_list_date`; None where no price is known. Where a part of it is not
        known, `amount` is None and `reason` says which part.
    """

    schema_version: int = 1
    batch_ids: list[str]
    status: ManifestStatus = "failed"
    model: str | None = None
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    usage: dict[str, int] = msgspec.field(default_factory=dict)
    cost: dict[str, Any] | None = None
    rounds: int = 1
    output_file: str | None = None
    error_file: str | None = None
    results_file: str | None = None
    dead_letter_file: str | None = None
    input_fingerprint: str | None = None
    prompt_fingerprint: str | None = None
    created_at: str | None = None
    completed_at: str | None = None
    answers: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    failures: list[Failure] | msgspec.UnsetType = msgspec.UNSET
    input_changes: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    by_round: list[dict[str, int]] | msgspec.UnsetType = msgspec.UNSET
    realtime: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    realtime_file: str | msgspec.UnsetType = msgspec.UNSET
    report_file: str | msgspec.UnsetType = msgspec.UNSET
    saved: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    saved_file: str | msgspec.UnsetType = msgspec.UNSET
    guarded_cells: int | msgspec.UnsetType = msgspec.UNSET
    landed_by: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    former_files: list[str] | msgspec.UnsetType = msgspec.UNSET
    merged: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    dead_letter_digest: str | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    gold: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    drift: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    budget: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON that Airflow can store."""
        fields: dict[str, Any] = storable(msgspec.to_builtins(self) | {"plain_locations": self.plain_locations})
        return fields

    def to_json(self) -> bytes:
        """Write it as the content of `manifest.json`."""
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=2) + b"\n"

    def to_event(self) -> dict[str, Any]:
        """Write what the event of an asset repeats, whatever the number of batches."""
        fields = self.to_dict()
        return {name: fields[name] for name in _IN_EVENTS if name in fields}

    @classmethod
    def of_json(cls, content: bytes) -> Self | None:
        """Read one back; see `of_value`."""
        try:
            return cls.of_value(msgspec.json.decode(content))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    @classmethod
    def of_value(cls, stored: Any) -> Self | None:
        """Read one back, whatever somebody has edited: a field that does not fit has its default.

        What lacks a field that is always written, or names no batches though not every row was saved, or no files where
        it should, is of another program: None.

        :param stored: Any JSON, such as the value of an XCom.
        """
        if not isinstance(stored, dict):
            return None
        known = _fields(cls)
        if any(field.name not in stored for field in known if field.default is not msgspec.UNSET):
            return None
        fields: dict[str, Any] = {}
        for field in known:
            try:
                fields[field.name] = msgspec.convert(stored[field.name], field.type)
            except KeyError:
                continue
            except msgspec.ValidationError:
                if field.name in _OF_OWNERSHIP:
                    return None
        if not fields["batch_ids"] and not fields.get("saved"):
            return None
        return cls(**fields)

    @property
    def works(self) -> set[str]:
        """What it is of: its batches, or its input if none of its rows was sent."""
        return {*self.batch_ids} or {self.input_fingerprint or ""}

    @property
    def plain_locations(self) -> dict[str, str]:
        """Where the files are, by field: the path on a disk, or the URI without a connection of Airflow."""
        return {name: plain_location(uri) for name, uri in self.files.items()}

    @property
    def files(self) -> Mapping[str, str]:
        """URIs of the files that exist, by field."""
        return {name: uri for name in FILE_FIELDS if isinstance(uri := getattr(self, name), str)}


@cache
def _fields(record: type[Manifest]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return its fields, which msgspec evaluates anew each time."""
    return msgspec.structs.fields(record)
