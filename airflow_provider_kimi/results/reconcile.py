"""Reconcile: join every row to its request, and write one result for each."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.files.line_ids import id_of, name_of_unreadable
from airflow_provider_kimi.files.lines import lines_at
from airflow_provider_kimi.records.dead_letters import dead_letter, letter_of_unsent
from airflow_provider_kimi.records.rows import Row, absent_row, skipped_row
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.answer_files import AnswerFiles
from airflow_provider_kimi.results.batch_files import Part
from airflow_provider_kimi.results.columns import ColumnSource, without_binary
from airflow_provider_kimi.results.result_lines import ResultLines, columns_of
from airflow_provider_kimi.results.tally import Tally


def write_rows(
    parts: Sequence[Part],
    table: ColumnSource | None,
    check: AnswerCheck,
    results: BinaryIO,
    dead_letters: BinaryIO,
    log: Log,
) -> Tally:
    """Write a result for every row, in input order, and each request without a usable answer.

    :param table: The table that the batches were made from, for its columns; None for none.
    :param check: What is asked of every answer.
    """
    tally = Tally()
    lines = ResultLines(check.fields)
    for part in parts:
        model = _asked_model(part)
        of_batch = (part.batch.id, 1, Tags.of(part.batch).prompt_fingerprint)
        with AnswerFiles(part.output, part.error, part.answer_lines) as answers:
            for row, columns, letter in _rows(part, answers, table, check):
                tally.add(row, model)
                results.write(lines.encode(row, columns, of_batch))
                if letter is not None:
                    dead_letters.write(letter)
            if part.requests is None:
                tally.add_unnamed(part.batch.counts.total - answers.taken, part.batch.status)
            tally.unclaimed += answers.unreadable + answers.left
            _report(part.batch, answers, log)
    return tally


def _rows(
    part: Part, answers: AnswerFiles, table: ColumnSource | None, check: AnswerCheck
) -> Iterator[tuple[Row, dict[str, Any], bytes | None]]:
    """Every row of one batch in input order, with its columns, and what is to be asked again."""
    verbatim = Tags.of(part.batch).verbatim_columns
    reason = answers.batch_error if part.batch.status == "failed" else None
    skipped = part.skipped_rows
    waiting = next(skipped, None)
    for sent, (custom_id, request) in enumerate(_requests(part, answers)):
        while waiting is not None and waiting.position <= sent:
            yield _left_out(waiting, table)
            waiting = next(skipped, None)
        found = answers.take(custom_id)
        row = check.judge(found) if found else absent_row(custom_id, part.batch.status, reason)
        table_row = table.row_of(custom_id, request, verbatim) if table and request else None
        letter = dead_letter(row, request, without_binary(table_row)) if request and row.status != "succeeded" else None
        yield row, columns_of(table_row), letter
    while waiting is not None:
        yield _left_out(waiting, table)
        waiting = next(skipped, None)


def _left_out(skipped: SkippedRow, table: ColumnSource | None) -> tuple[Row, dict[str, Any], bytes]:
    row = skipped_row(skipped.custom_id, skipped.place, skipped.reason)
    table_row = table.row_at(skipped.number) if table else None
    return row, columns_of(table_row), letter_of_unsent(row, table_row)


def _requests(part: Part, answers: AnswerFiles) -> Iterator[tuple[str, bytes | None]]:
    if part.requests is None:
        yield from ((custom_id, None) for custom_id in answers.left_ids())
        return
    for offset, line in lines_at(part.requests):
        request = line if offset else line.removeprefix(BOM_UTF8)
        if (custom_id := id_of(request)) is not None:
            yield custom_id, request
        elif line.strip():
            yield name_of_unreadable(request) or f"request-at-byte-{offset}", None


def _report(batch: Batch, answers: AnswerFiles, log: Log) -> None:
    """Tell what of the files belongs to no row, and where the platform's counts are others than theirs."""
    set_aside = {"unreadable": answers.unreadable, "repeated": answers.duplicates, "foreign": answers.left}
    if any(set_aside.values()):
        log.warning(
            "Result files of batch %s hold %s lines that are set aside: they belong to no row, or to one that has its "
            "line already.",
            batch.id,
            ", ".join(f"{count} {kind}" for kind, count in set_aside.items() if count),
        )
    counted = {"output": batch.counts.completed, "error": batch.counts.failed}
    if any(counted.values()) and counted != answers.lines:
        log.warning(
            "Batch %s counts %s completed and %s failed requests; its files hold %s output lines and %s error lines. "
            "The lines decide.",
            *(batch.id, counted["output"], counted["error"], answers.lines["output"], answers.lines["error"]),
        )


def _asked_model(part: Part) -> str | None:
    """Read the model that the requests of a batch name, which is one for all; None where they are not known."""
    if part.requests is not None:
        for _, line in lines_at(part.requests):
            with suppress(msgspec.DecodeError, KeyError, TypeError):
                return str(msgspec.json.decode(line)["body"]["model"])
            break
    return None
