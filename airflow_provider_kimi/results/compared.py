"""A preview beside an earlier result: the answers of both to the same rows, joined by `custom_id`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.files.line_ids import decoded
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.comparable import Comparable, Said
from airflow_provider_kimi.results.earlier import Earlier, find_earlier, refused
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.label_changes import LabelChanges
from airflow_provider_kimi.results.lines_by_id import LinesById
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.result_rows import ResultRows, rows_of
from airflow_provider_kimi.results.schema import AnswerSchema
from airflow_provider_kimi.results.staging import name_of


@dataclass(frozen=True)
class Comparison:
    """With what the answers of a preview are compared.

    :param compare_with: URI of an earlier result, its manifest, or the extra of its event; None for what the output
        holds.
    :param output: The output of the task.
    :param schema: What the new answers have to be; None for any text.
    :param form: The form of the results file.
    """

    compare_with: Any
    output: str
    schema: AnswerSchema | None
    form: Form

    def earlier(self) -> Earlier | None:
        """Find the earlier result; None if none is named, and the output holds none.

        :raises KimiInputError: What is named is not there, or has no rows.
        """
        meant = self.compare_with
        if meant is None:
            if Manifest.of_json(OutputDirectory(self.output).manifest_bytes()) is None:
                return None
            meant = self.output
        found = find_earlier(meant, self.output, "compare_with")
        if found.manifest.results_file is None:
            raise refused(f"The result in {found.uri} has no rows.", "Name another one with compare_with.")
        return found

    def changes(self, earlier: Earlier, preview: Manifest, folder: Path) -> LabelChanges:
        """Compare the answers to the rows that both have. Memory does not grow with them.

        :param folder: On this machine, for the files of both.
        :raises KimiInputError: The earlier rows cannot be read.
        """
        comparable = Comparable(self.schema, frozenset(earlier.manifest.labels or ()))
        index = folder / "sample"
        with new_file(index) as target:
            for line in _sample(self._rows(self._asked(preview), folder / "now"), comparable):
                target.write(line + b"\n")
        with LinesById(index) as asked:
            return _changes(asked, self._rows(earlier, folder / "before"), comparable)

    def _asked(self, preview: Manifest) -> Earlier:
        return Earlier(str(preview.results_file).rpartition("/")[0], b"", preview, is_output=False)

    def _rows(self, result: Earlier, folder: Path) -> Iterator[_Row]:
        folder.mkdir()
        path = result.copied("results_file", folder)
        assert path is not None, "it was looked for"
        form = replace(self.form, output_format=cast(OutputFormat, path.suffix.removeprefix(".")))
        try:
            yield from _read(rows_of(path, form))
        except (msgspec.MsgspecError, ValueError, KeyError):
            raise refused(
                f"{name_of(str(result.manifest.results_file))} in {result.uri} cannot be read as results.",
                "Put it back as it was landed. A CSV file is read in the form of output_csv_options.",
            ) from None


class _Row(NamedTuple):
    """What a row of results says; `content` is None if it has no usable answer."""

    custom_id: str
    content: str | None
    parsed: Any

    def said(self, comparable: Comparable) -> Said | None:
        return None if self.content is None else comparable.said(self.content, self.parsed)


def _read(rows: ResultRows) -> Iterator[_Row]:
    if not {"status", "content"} <= {*rows.own}:
        raise ValueError("its columns are others")
    for cells in rows:
        custom_id, status, content = (rows.value(cells[name]) for name in ("custom_id", "status", "content"))
        if not isinstance(custom_id, str) or not isinstance(content, str | None):
            raise ValueError("it holds other values")
        parsed = rows.value(cells["parsed"]) if "parsed" in cells else None
        yield _Row(custom_id, (content or "") if status == "succeeded" else None, parsed)


def _sample(rows: Iterator[_Row], comparable: Comparable) -> Iterator[bytes]:
    """The rows of a preview, each as a line with its id and what its answer says; null if it has none."""
    for row in rows:
        yield json.dumps({"custom_id": row.custom_id, "said": row.said(comparable)}).encode()


def _changes(asked: LinesById, rows: Iterator[_Row], comparable: Comparable) -> LabelChanges:
    found = LabelChanges()
    for row in rows:
        if (line := asked.take(row.custom_id)) is None:
            continue
        now: Mapping[str, Any] | None = decoded(line)["said"]
        before = row.said(comparable)
        if now is None:
            found.unlike["no_answer_now"] += 1
        elif before is None:
            found.unlike["no_answer_before"] += 1
        else:
            found.add(row.custom_id, comparable.changes(before, now))
    if left := sum(1 for _ in asked.left()):
        found.unlike["not_in_earlier_result"] += left
    return found
