"""What a task lands, and what it has landed, as values."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.choices import KeyColumns
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import BATCH_FIELDS, SOURCE_FIELD
from airflow_provider_kimi.records.saved import task_digest
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.drift import Before
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.kept_answers import KeptAnswers
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.passed_columns import EVERY_COLUMN, Selection
from airflow_provider_kimi.results.promises import shortages, still_to_come
from airflow_provider_kimi.results.report_facts import Report
from airflow_provider_kimi.results.staging import (
    DEAD_LETTER_NAME,
    ERROR_NAME,
    MANIFEST_NAME,
    OUTPUT_NAME,
    REALTIME_NAME,
    REPORT_NAME,
    SAVED_NAME,
)
from airflow_provider_kimi.results.tally import Tally

#: Says of a budget what a manifest repeats, by its cost and its batches; None for nothing.
InBudget = Callable[[Mapping[str, Any] | None, Sequence[Batch]], dict[str, Any] | None]

#: Bytes of the name of a landing, and how many of its digits are those of its task instance.
_NAME_BYTES = 8
_TASK_DIGITS = 8


@dataclass(frozen=True)
class Landing:
    """What to land, and where.

    :param input: The input that the batches were made from, for its columns; None for none.
    :param key_column: The column or columns that name its rows; None if their places do.
    :param selection: The columns of the input that are wanted.
    :param form: The form of the results file.
    :param may_replace: Whether the result of other batches may be replaced, if the directory holds one.
    :param price_list: Prices to use in place of the published ones; None for those.
    :param task: The task instance that lands; None if it is not known.
    :param next_round: Takes the requests of rows that are worth another round; None for none.
    :param merge_with: The earlier result whose dead letters these batches asked again; None for none.
    :param is_compared: Whether its labels are compared with those of an earlier result.
    :param before: The labels of that; None for those of the result that is replaced.
    :param in_budget: Says how its budget stands; None without one.
    :param report: Writes the page for people; None for no page.
    :param saved: Name of the file in the output directory that has the rows which were not sent; None for the one that
        the tags of the batches name, and empty for none.
    :param has_source: Whether the rows say where their outcome is from.
    :param keeps_answers: Whether usable answers are to be kept for the cache.
    """

    batch_ids: Sequence[str]
    output: str
    input: Any = None
    key_column: KeyColumns | None = None
    price_list: Mapping[str, Any] | str | None = None
    check: AnswerCheck = AnswerCheck()
    selection: Selection = EVERY_COLUMN
    form: Form = Form()
    may_replace: bool = True
    task: TaskIdentity | None = None
    next_round: NextRound | None = None
    merge_with: Any = None
    is_compared: bool = False
    before: Before | None = None
    in_budget: InBudget | None = None
    report: Report | None = None
    saved: str | None = None
    has_source: bool = False
    keeps_answers: bool = False

    @property
    def begin_of_names(self) -> str:
        """How the names of all landings of its task instance begin; empty if that is not known."""
        if self.task is None:
            return ""
        return task_digest(self.task)[:_TASK_DIGITS]

    def new_name(self) -> str:
        """Name one landing, in 16 hexadecimal digits."""
        begin = self.begin_of_names
        return begin + secrets.token_hex(_NAME_BYTES)[len(begin) :]

    @property
    def file_names(self) -> Sequence[str]:
        """The names of the files that the result may have."""
        results = f"results.{self.form.output_format}"
        lines = OUTPUT_NAME, ERROR_NAME, results, DEAD_LETTER_NAME, REALTIME_NAME, SAVED_NAME
        return *lines, REPORT_NAME, MANIFEST_NAME

    @property
    def fields(self) -> Sequence[str]:
        """The fields of a results row, in order."""
        names = [name for name in self.check.fields if self.input is not None or name != "input_change"]
        at = len(names) - len(BATCH_FIELDS)
        return [*names[:at], *([SOURCE_FIELD] if self.has_source else []), *names[at:]]


@dataclass(frozen=True)
class Collected:
    """A landed result.

    :param directory: Where it is.
    :param files: The files of its batches; none if it is kept.
    :param kept: Its usable answers, for the cache; None if no cache keeps them.
    :param is_growing: Whether rows are missing that may still come.
    :param is_kept: Whether an earlier landing wrote it, and this one nothing.
    :param is_kept_whole: Whether that holds a line for every row that the platform counts.
    """

    manifest: Manifest
    tally: Tally
    batches: list[Batch]
    directory: OutputDirectory
    files: Sequence[BatchFiles] = ()
    kept: KeptAnswers | None = None
    is_growing: bool = False
    is_kept: bool = False
    is_kept_whole: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether every file that the batches promise came whole, and every line belongs to a row."""
        if self.is_kept:
            return self.is_kept_whole
        return not self.tally.unclaimed and not self.is_growing and all(each.is_whole for each in self.files)

    @property
    def to_come(self) -> str:
        """Which files are still to come, or came without all of their lines, in words; empty if none is."""
        return " ".join(
            filter(
                None, (still_to_come(self.batches), shortages([each.batch.id for each in self.files if each.is_short]))
            )
        )

    def is_in_place(self) -> bool:
        """Whether the directory holds now what this landing wrote, or the earlier result that it kept."""
        if self.is_kept:
            return self.directory.rows_are_of(self.manifest)
        return self.directory.is_as_published(self.manifest)
