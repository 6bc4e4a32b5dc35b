"""Merge the rows of new batches into those of an earlier result, whose dead letters they were asked from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.recipe_note import REQUESTS_VERSION, RecipeNote
from airflow_provider_kimi.records.rows import SOURCE_FIELD, InputChange, Row, RowStatus
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.earlier import Earlier, EarlierFiles, refused
from airflow_provider_kimi.results.formats import Form, Formed
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.lines_by_id import LinesById
from airflow_provider_kimi.results.merge import Merged, fate_of
from airflow_provider_kimi.results.passed_columns import result_names
from airflow_provider_kimi.results.recipe_notes import NotesOfJob
from airflow_provider_kimi.results.result_columns import ResultColumns
from airflow_provider_kimi.results.result_rows import Cells, ResultRows, rows_of
from airflow_provider_kimi.results.schema import AnswerSchema
from airflow_provider_kimi.results.staging import DEAD_LETTER_NAME
from airflow_provider_kimi.results.tally import Tally

#: How dead letters were asked again: as the requests that they are. So they are compared by what these say.
AS_GIVEN: Mapping[str | None, NotesOfJob] = {
    None: NotesOfJob(RecipeNote(is_ready=True, requests_version=REQUESTS_VERSION))
}

#: What is read of each row.
_OF_ROW = ("custom_id", "status", "content", "finish_reason", "error_code", "error_message")

#: Columns of ours that stay as they were.
_STAY = ("input_change", "prompt_fingerprint")


class _NewRow(msgspec.Struct):
    custom_id: str
    status: RowStatus
    content: str | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    input_change: InputChange | None
    round: int

    @property
    def row(self) -> Row:
        return Row(**{name: getattr(self, name) for name in _OF_ROW})


_read = msgspec.json.Decoder(_NewRow).decode


def merge_rows(
    earlier: Earlier,
    files: EarlierFiles,
    new: Path,
    form: Form,
    fields: Sequence[str],
    folder: Path,
    check: AnswerCheck,
) -> tuple[Merged, Formed]:
    """Write one row for each row of an earlier result, and those that it does not have behind them.

    :param new: The folder with the rows of the new batches, and their dead letters.
    :param fields: The fields that a results row has, `input_change` among them.
    :param folder: Where the results and the dead letters of both are written.
    :param check: What is asked of every answer, by which labels are read.
    :raises KimiInputError: The rows cannot be told apart, are none of that result, or have other columns.
    """
    try:
        return _merge_rows(earlier, files, new, form, fields, folder, check)
    except KimiInputError:
        raise
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise refused(
            f"The files in {earlier.uri} cannot be read as they were landed ({type(error).__name__}).",
            "Put them back as they were.",
        ) from None


def _merge_rows(
    earlier: Earlier,
    files: EarlierFiles,
    new: Path,
    form: Form,
    fields: Sequence[str],
    folder: Path,
    check: AnswerCheck,
) -> tuple[Merged, Formed]:
    changes = earlier.manifest.input_changes
    merged = Merged(Tally(input_changes=Counter(changes) if changes else None, quality=check.quality()))
    assert files.results is not None, "the format was checked"
    rows = rows_of(files.results, form)
    columns = _columns(earlier, rows, form, fields)
    with ExitStack() as opened:
        asked = opened.enter_context(LinesById(new / "results.jsonl"))
        new_letters = opened.enter_context(LinesById(new / DEAD_LETTER_NAME))
        letters = opened.enter_context(LinesById(files.dead_letters)) if files.dead_letters else None
        _check_names(earlier, asked, letters)
        target = opened.enter_context(new_file(folder / DEAD_LETTER_NAME))
        labels = _Labels(check.schema, _gold_name(earlier, rows, check.gold_column, fields), rows)
        merge = _Merge(earlier, rows, columns, asked, new_letters, letters, target, merged, labels)
        formed = rows.write(merge.rows(), folder / f"results.{form.output_format}")
    _check_rows(earlier, merged)
    return merged, formed


@dataclass(frozen=True)
class _Labels:
    """Reads the label of a row, and its gold label.

    :param gold_name: The column that holds gold labels; empty for none.
    """

    schema: AnswerSchema | None
    gold_name: str
    rows: ResultRows

    def of(self, row: Row, cells: Cells) -> Row:
        parsed = None
        if self.schema is not None and row.status == "succeeded":
            with suppress(SchemaMismatch):
                parsed = self.schema.read(row.content or "")
        gold = self.rows.value(cells[self.gold_name]) if self.gold_name in cells else None
        return replace(row, parsed=parsed, gold=gold)


def _gold_name(earlier: Earlier, rows: ResultRows, gold_column: str | None, fields: Sequence[str]) -> str:
    if gold_column is None:
        return ""
    if (name := result_names([gold_column], fields)[gold_column]) not in rows.of_input:
        raise refused(
            f"gold_column is {gold_column!r}, and the results in {earlier.uri} have no such column.",
            "Land the earlier result with that column, or leave gold_column out.",
        )
    return name


@dataclass
class _Merge:
    """Joins both.

    :param letters: The dead letters of the earlier result; None if it has none.
    :param dead_letters: Where those go that are left.
    """

    earlier: Earlier
    old_rows: ResultRows
    columns: ResultColumns
    asked: LinesById
    new_letters: LinesById
    letters: LinesById | None
    dead_letters: BinaryIO
    merged: Merged
    labels: _Labels

    def rows(self) -> Iterator[Cells]:
        for cells in self.old_rows:
            old = self._old(cells)
            self.merged.old.add(old)
            if (line := self.asked.find(old.custom_id)) is None:
                self._keep(old, cells)
                yield cells
            else:
                yield self._of_both(cells, old, line)
        for line in self.asked.left():
            yield self._behind(line)

    def _old(self, cells: Cells) -> Row:
        of_row = (*_OF_ROW, SOURCE_FIELD) if SOURCE_FIELD in cells else _OF_ROW
        return Row(**{name: self.old_rows.value(cells[name]) for name in of_row})

    def _keep(self, old: Row, cells: Cells) -> None:
        letters = self.letters if old.status != "succeeded" else None
        self._count(old, cells, letters.take(old.custom_id) if letters else None)

    def _of_both(self, cells: Cells, old: Row, line: bytes) -> Cells:
        new = _read(line)
        fate = fate_of(old, new.row, new.input_change)
        self.merged.fates[fate] += 1
        if self.asked.take(old.custom_id) is None:
            raise _repeated(self.earlier, old.custom_id)
        if fate != "taken":
            self._keep(old, cells)
            return cells
        self.merged.replaced.add(old)
        self._take(new, cells)
        own = self._own(line, new.round, cells)
        return {**{name: cell for name, cell in cells.items() if name not in own}, **own}

    def _behind(self, line: bytes) -> Cells:
        new = _read(line)
        self.merged.fates["added"] += 1
        self._take(new, {})
        return {"custom_id": self.old_rows.cell(new.custom_id), **self._own(line, new.round, {})}

    def _take(self, new: _NewRow, cells: Cells) -> None:
        self.merged.taken.add(new.row, round=new.round)
        self._count(new.row, cells, self.new_letters.take(new.custom_id))

    def _count(self, row: Row, cells: Cells, letter: bytes | None) -> None:
        """Count a row of the merged result, and keep its dead letter."""
        self.merged.tally.add(self.labels.of(row, cells) if self.merged.tally.quality else row, letter=letter)
        if letter:
            self.dead_letters.write(letter + b"\n")

    def _own(self, line: bytes, round: int, old: Cells) -> Cells:
        """Our own cells of a new row, some of which are known of an old one only: it was asked in the same words."""
        cell, nothing = self.old_rows.cell, self.old_rows.cell(None)
        made = {**self.old_rows.made(line, self.columns), "input_change": nothing}
        made |= {name: old[name] for name in _STAY if name in old}
        made["round"] = cell(self.earlier.manifest.rounds + round)
        return {name: made.get(name, nothing) for name in self.old_rows.own}


def _columns(earlier: Earlier, rows: ResultRows, form: Form, fields: Sequence[str]) -> ResultColumns:
    """The columns of the result; refuse to add rows with other ones."""
    wanted = [name for name in fields if name != "input_change" or name in rows.own]
    columns = ResultColumns.of(rows.of_input, wanted, form.spread)
    new = {*columns.names} - {"custom_id", *rows.of_input}
    if differing := sorted(new ^ {*rows.own}):
        raise refused(
            f"The rows of these batches would have other columns than those in {earlier.uri}: only one of both has "
            f"{', '.join(differing):.200}.",
            "Pass output_schema, parsed_columns, reasoning and csv_options as the earlier task had them.",
        )
    other = rows.other_type(form, wanted, columns)
    if form.output_format == "csv" and form.csv.formula_guard is (earlier.manifest.guarded_cells is UNSET):
        other = "formula_guard"
    if other:
        raise refused(
            f"The rows of these batches would differ in {other} from those in {earlier.uri}.",
            "Pass output_schema and csv_options as the earlier task had them.",
        )
    return columns


def _check_names(earlier: Earlier, asked: LinesById, letters: LinesById | None) -> None:
    if asked.repeated is not None:
        raise refused(
            f"These batches ask for {asked.repeated:.100} more than once, and it is not clear which answer counts.",
            "Land them one after the other: first some with this merge_with, then the others with the merged result.",
        )
    if letters is not None and letters.repeated is not None:
        raise _repeated(earlier, letters.repeated)


def _repeated(earlier: Earlier, custom_id: str) -> KimiInputError:
    return refused(
        f"Several rows in {earlier.uri} are named {custom_id:.100}, and it is not clear which of them was asked again.",
        "Land the new batches into an output of their own, without merge_with.",
    )


def _check_rows(earlier: Earlier, merged: Merged) -> None:
    counts = earlier.manifest.counts
    if merged.old.total != counts["total"] or any(counts.get(kind) != n for kind, n in merged.old.counts.items()):
        raise refused(
            f"The results in {earlier.uri} have {merged.old.total:,} rows, and not those that their manifest counts.",
            "Put the results file back as it was landed.",
        )
    if not merged.fates["taken"] + merged.fates["not_better"]:
        raise refused(
            f"No row of these batches is known to ask what a dead letter in {earlier.uri} asks: of their rows, "
            f"{merged.set_aside or 'none is there'}.",
            "Pass as merge_with the result whose dead letters were the input of these batches, or leave it out.",
        )
