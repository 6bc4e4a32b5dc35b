"""Join every row to its request, and write one result for each."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
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
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.columns import ColumnSource, renamed, without_binary
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.shards import by_shard
from airflow_provider_kimi.results.tally import Tally

#: A request of a batch: its id and its line, which is None if it is not known.
_Request = tuple[str, bytes | None]

#: A row, the columns of the input, and the line of `dead_letter.jsonl`: None if the answer is usable, or the request is
#: not known.
_Reconciled = tuple[Row, dict[str, Any], bytes | None]

#: Values of the fields that all rows of a batch share.
_OfBatch = tuple[str, int, str | None]


def write_rows(
    batches: Sequence[BatchFiles],
    table: ColumnSource | None,
    check: AnswerCheck,
    results: BinaryIO,
    dead_letters: BinaryIO,
    log: Log,
) -> Tally:
    """Write a result for every row, in input order, and each request without a usable answer.

    :param batches: In the order of the input; of one shard, the one that was asked for every row comes first.
    :param table: The input that the batches were made from, for its columns; None for none.
    """
    tally = Tally()
    lines = ResultLines(check.fields)
    for shard in by_shard(batches, lambda files: files.batch):
        whole, model = shard[0], _asked_model(shard[0])
        of_batches = [_shared(files.batch, number) for number, files in enumerate(shard, 1)][::-1]
        with _answers_of(shard) as answers:
            for row, columns, letter in _reconciled(shard, answers, table, check):
                tally.add(row, model)
                results.write(lines.encode(row, columns, of_batches[answers.taken_from]))
                if letter is not None:
                    dead_letters.write(letter)
            if whole.requests is None:
                tally.add_unnamed(whole.batch.counts.total - answers.taken, shard[-1].batch.status)
            tally.unclaimed += answers.unreadable + answers.left
            _report([files.batch for files in shard], answers, log)
    return tally


def _answers_of(shard: Sequence[BatchFiles]) -> AnswerFiles:
    """Find the answers of a shard; those of its newest batch count first."""
    newest_first = shard[::-1]
    outputs, errors = [files.output for files in newest_first], [files.error for files in newest_first]
    return AnswerFiles(outputs, errors, sum(files.answer_lines for files in shard))


def _shared(batch: Batch, number: int) -> _OfBatch:
    return batch.id, number, Tags.of(batch).prompt_fingerprint


def _reconciled(
    shard: Sequence[BatchFiles], answers: AnswerFiles, table: ColumnSource | None, check: AnswerCheck
) -> Iterator[_Reconciled]:
    """Every row of one shard in input order. The table is walked beside it, so rows are looked up in that order too."""
    whole, status = shard[0], shard[-1].batch.status
    verbatim = Tags.of(whole.batch).verbatim_columns
    reason = answers.batch_error if status == "failed" else None
    for item in _with_skipped(_requests(whole, answers), whole.skipped_rows):
        if isinstance(item, SkippedRow):
            answers.taken_from = 0
            yield _left_out(item, table)
            continue
        custom_id, request = item
        found = answers.take(custom_id)
        row = check.judge(found) if found else absent_row(custom_id, status, reason)
        table_row = table.row_of(custom_id, request, verbatim) if table and request else None
        letter = dead_letter(row, request, without_binary(table_row)) if request and row.status != "succeeded" else None
        yield row, renamed(table_row), letter


def _with_skipped(requests: Iterable[_Request], skipped: Iterator[SkippedRow]) -> Iterator[_Request | SkippedRow]:
    """Put the rows that were left out into their places among the requests."""
    waiting = next(skipped, None)
    for position, request in enumerate(requests):
        while waiting is not None and waiting.position <= position:
            yield waiting
            waiting = next(skipped, None)
        yield request
    if waiting is not None:
        yield waiting
        yield from skipped


def _left_out(skipped: SkippedRow, table: ColumnSource | None) -> _Reconciled:
    row = skipped_row(skipped.custom_id, skipped.place, skipped.reason)
    table_row = table.row_at(skipped.number) if table else None
    return row, renamed(table_row), letter_of_unsent(row, table_row)


def _requests(files: BatchFiles, answers: AnswerFiles) -> Iterator[_Request]:
    if files.requests is None:
        yield from ((custom_id, None) for custom_id in answers.left_ids())
        return
    for offset, line in lines_at(files.requests):
        request = line if offset else line.removeprefix(BOM_UTF8)
        if (custom_id := id_of(request)) is not None:
            yield custom_id, request
        elif line.strip():
            yield name_of_unreadable(request) or f"request-at-byte-{offset}", None


def _report(batches: Sequence[Batch], answers: AnswerFiles, log: Log) -> None:
    """Log lines that belong to no row, and counts of the platform that differ from the lines.

    Where several batches have worked on the same rows, it is usual that rows have several lines.
    """
    repeated = answers.duplicates if len(batches) == 1 else 0
    set_aside = {"unreadable": answers.unreadable, "repeated": repeated, "foreign": answers.left}
    ids = ", ".join(batch.id for batch in batches)
    if any(set_aside.values()):
        log.warning(
            "Result files of batch %s hold %s lines that are set aside: they belong to no row, or to one that already "
            "has a line.",
            ids,
            ", ".join(f"{count} {kind}" for kind, count in set_aside.items() if count),
        )
    counted = {
        "output": sum(batch.counts.completed for batch in batches),
        "error": sum(batch.counts.failed for batch in batches),
    }
    if any(counted.values()) and counted != answers.lines:
        log.warning(
            "Batch %s counts %s completed and %s failed requests; its files hold %s output lines and %s error lines. "
            "The lines decide.",
            *(ids, counted["output"], counted["error"], answers.lines["output"], answers.lines["error"]),
        )


def _asked_model(files: BatchFiles) -> str | None:
    """Read the model that all requests of a batch name; None if they are not known."""
    if files.requests is not None:
        for _, line in lines_at(files.requests):
            with suppress(msgspec.DecodeError, KeyError, TypeError):
                return str(msgspec.json.decode(line)["body"]["model"])
            break
    return None
