"""Reconcile: join every row to its request, and write one result for each."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.answers import AnswerCheck
from airflow_provider_kimi.batch.columns import ColumnSource, renamed, told_columns
from airflow_provider_kimi.batch.manifest import Tally
from airflow_provider_kimi.batch.results import id_of
from airflow_provider_kimi.batch.rows import Row, absent_row, skipped_row
from airflow_provider_kimi.batch.skipped import SkippedRow
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.parts import Part
from airflow_provider_kimi.storage.answers import AnswerFiles
from airflow_provider_kimi.storage.lines import lines_at


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
    for part in parts:
        model = _asked_model(part)
        with AnswerFiles(part.output, part.error) as answers:
            for row, columns, dead_letter in _rows(part, answers, table, check):
                tally.add(row, model)
                results.write(_result(row, columns, part.batch.id, check.fields) + b"\n")
                if dead_letter is not None:
                    dead_letters.write(dead_letter + b"\n")
            if part.requests is None:
                tally.add_unnamed(part.batch.counts.total - answers.taken, part.batch.status)
            _report_left_over(part.batch, answers, log)
    return tally


def _rows(
    part: Part, answers: AnswerFiles, table: ColumnSource | None, check: AnswerCheck
) -> Iterator[tuple[Row, dict[str, Any], bytes | None]]:
    """Every row of one batch in input order, with its columns, and what is to be asked again."""
    told = told_columns(part.batch.metadata or {})
    skipped = part.skipped_rows
    waiting = next(skipped, None)
    for sent, (custom_id, request) in enumerate(_requests(part, answers)):
        while waiting is not None and waiting.position <= sent:
            yield _left_out(waiting, table)
            waiting = next(skipped, None)
        found = answers.take(custom_id)
        row = check.judge(found) if found else absent_row(custom_id, part.batch.status, answers.batch_error)
        columns = table.columns_of(custom_id, request, told) if table and request else {}
        yield row, columns, request if row.status != "succeeded" else None
    while waiting is not None:
        yield _left_out(waiting, table)
        waiting = next(skipped, None)


def _left_out(skipped: SkippedRow, table: ColumnSource | None) -> tuple[Row, dict[str, Any], bytes]:
    row = skipped_row(skipped.custom_id, skipped.place, skipped.reason)
    found = table.row_at(skipped.number) if table else None
    letter = {"custom_id": row.custom_id, "row": found, "error": {"code": row.error_code, "message": row.error_message}}
    return row, renamed(found) if isinstance(found, dict) else {}, msgspec.json.encode(letter)


def _requests(part: Part, answers: AnswerFiles) -> Iterator[tuple[str, bytes | None]]:
    if part.requests is None:
        yield from ((custom_id, None) for custom_id in answers.left_ids())
        return
    for _, line in lines_at(part.requests):
        if (custom_id := id_of(line)) is not None:
            yield custom_id, line


def _result(row: Row, columns: dict[str, Any], batch_id: str, fields: Sequence[str]) -> bytes:
    known = {**msgspec.structs.asdict(row), "batch_id": batch_id, "round": 1}
    line = {"custom_id": row.custom_id, **columns, **{name: known[name] for name in fields}}
    try:
        return msgspec.json.encode(line, enc_hook=str)
    except (UnicodeEncodeError, OverflowError):  # half a character, or a number of more than 64 bits
        return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace")


def _report_left_over(batch: Batch, answers: AnswerFiles, log: Log) -> None:
    found = {
        "unreadable": answers.unreadable,
        "repeated": answers.duplicates,
        "foreign": answers.left,
    }
    if any(found.values()):
        log.warning(
            "Result files of batch %s hold %s lines that are set aside: they belong to no row, or to one that has its "
            "line already.",
            batch.id,
            ", ".join(f"{count} {kind}" for kind, count in found.items() if count),
        )


def _asked_model(part: Part) -> str | None:
    """Read the model that the requests of a batch name, which is one for all; None where they are not known."""
    if part.requests is not None:
        for _, line in lines_at(part.requests):
            with suppress(msgspec.DecodeError, KeyError, TypeError):
                return str(msgspec.json.decode(line)["body"]["model"])
            break
    return None
