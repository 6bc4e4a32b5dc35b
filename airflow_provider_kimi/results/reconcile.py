"""Join every row to its request, and write one result for each."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.files.line_ids import decoded
from airflow_provider_kimi.files.lines import lines_at
from airflow_provider_kimi.records.dead_letters import dead_letter, letter_of_unsent
from airflow_provider_kimi.records.rows import InputChange, Row, absent_row, added_row, skipped_row
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.answer_files import AnswerFiles
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.columns import renamed
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.realtime import NO_REALTIME, Realtime, RealtimeFiles
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.sent_rows import SentRow, sent_rows
from airflow_provider_kimi.results.table import Beside, Table
from airflow_provider_kimi.results.tally import Tally

#: A row, the columns of the input, and the line of `dead_letter.jsonl`: None if the answer is usable, or the request is
#: not known.
_Reconciled = tuple[Row, bytes, bytes | None]

#: Values of the fields that all rows of a batch share.
_OfBatch = tuple[str | None, int | None, str | None]

_NO_BATCH: _OfBatch = (None, None, None)
_NOTHING_BESIDE = Beside()


@dataclass(frozen=True)
class Sinks:
    """Where rows go.

    :param next_round: Takes the requests of another round; None for none.
    """

    results: BinaryIO
    dead_letters: BinaryIO
    next_round: NextRound | None = None

    def begin(self, shard: Sequence[BatchFiles], answered: Collection[str]) -> None:
        """Go on with the rows of another shard.

        :param answered: Rows of it that are not to be asked again.
        """
        if self.next_round is not None:
            self.next_round.begin(shard, answered)

    def write(self, row: Row, line: bytes, letter: bytes | None = None, number: int | None = None) -> None:
        """Write a row, and its dead letter if it has no usable answer.

        :param number: Which batch of its shard the row is of, from 1.
        """
        self.results.write(line)
        if letter is not None:
            self.dead_letters.write(letter)
            if self.next_round is not None:
                self.next_round.add(row, letter, number or 1)


def write_rows(
    shards: Sequence[Sequence[BatchFiles]],
    table: Table | None,
    check: AnswerCheck,
    lines: ResultLines,
    sinks: Sinks,
    log: Log,
    realtime: Realtime = NO_REALTIME,
) -> Tally:
    """Write a result for every row, in input order, and each request without a usable answer.

    :param shards: The batches of each shard, in the order of the input; the one that was asked for every row comes
        first.
    :param table: The rows of the input beside the requests, for their columns; None for none.
    :param lines: Encodes the results.
    :param realtime: What chat calls have answered; they are the last round of their rows.
    """
    tally = Tally(input_changes=None if table is None else Counter(), quality=check.quality())
    are_known = True
    for shard in shards:
        whole, model = shard[0], _asked_model(shard[0])
        chat = realtime.of_shards.get(whole.batch.id)
        of_batches = _shared(shard, chat)
        if chat:
            tally.realtime.asked[whole.batch.id] = len(chat.ids)
        sinks.begin(shard, chat.ids if chat else ())
        with _answers_of(shard, chat) as answers:
            for row, columns, letter in _reconciled(shard, answers, table, check):
                of_batch = of_batches[answers.taken_from]
                tally.add(row, model, of_batch[1], is_realtime=answers.taken_from < answers.absent)
                sinks.write(row, lines.encode(row, columns, of_batch), letter, of_batch[1])
            if whole.requests is None:
                tally.add_unnamed(whole.batch.counts.total - answers.taken, shard[-1].batch.status)
            tally.unclaimed += answers.unreadable + answers.not_asked
            are_known &= not answers.not_asked
            _add_passed_over(tally, answers, model)
            _report([files.batch for files in shard], answers, log, chat)
    for custom_id, columns in table.added() if table and are_known else ():
        row = added_row(custom_id)
        tally.add(row)
        sinks.write(row, lines.encode(row, renamed(columns), _NO_BATCH))
    return tally


def _answers_of(shard: Sequence[BatchFiles], chat: RealtimeFiles | None) -> AnswerFiles:
    """Find the answers of a shard; those of chat calls count first, then those of its newest batch."""
    newest_first: list[BatchFiles | RealtimeFiles] = [*([chat] if chat else []), *shard[::-1]]
    outputs, errors = [files.output for files in newest_first], [files.error for files in newest_first]
    lines = sum(files.answer_lines for files in shard) + (len(chat.digests) if chat else 0)
    return AnswerFiles(outputs, errors, lines, absent=1 if chat else 0)


def _shared(shard: Sequence[BatchFiles], chat: RealtimeFiles | None) -> list[_OfBatch]:
    """What the rows of each batch share, of the newest one first; chat calls are the last round, and of no batch."""
    texts = [Tags.of(files.batch).prompt_fingerprint for files in shard]
    of_batches: list[_OfBatch] = [
        (files.batch.id, number, text) for number, (files, text) in enumerate(zip(shard, texts, strict=True), 1)
    ]
    return [*of_batches, *([(None, len(shard) + 1, texts[0])] if chat else [])][::-1]


def _add_passed_over(tally: Tally, answers: AnswerFiles, model: str | None) -> None:
    for place, passed in answers.passed_over.items():
        tally.add_passed_over(passed.usage, passed.uncounted, model, is_realtime=place < answers.absent)


def _reconciled(
    shard: Sequence[BatchFiles], answers: AnswerFiles, table: Table | None, check: AnswerCheck
) -> Iterator[_Reconciled]:
    """Every row of one shard in input order; then answers to what its requests do not name, which are paid too.

    Such an answer stands for a request whose name cannot be read, if there is one.
    """
    nameless: list[_Reconciled] = []
    for is_named, row in _asked(shard, answers, table, check):
        if is_named:
            yield row
        else:
            nameless.append(row)
    if shard[0].requests is not None:
        answers.not_asked = answers.left
    yield from _without_request(answers, table, check)
    answers.taken_from = answers.absent
    yield from nameless[answers.not_asked - answers.left :]


def _asked(
    shard: Sequence[BatchFiles], answers: AnswerFiles, table: Table | None, check: AnswerCheck
) -> Iterator[tuple[bool, _Reconciled]]:
    """The row of every request that is known, and whether its name is; rows that were left out are among them."""
    status = shard[-1].batch.status
    reason = answers.batch_error if status == "failed" else None
    for item in sent_rows(shard[0]):
        beside = table.next(was_sent=isinstance(item, SentRow)) if table else _NOTHING_BESIDE
        if isinstance(item, SkippedRow):
            # it was left out of the first batch, and no other has asked it
            answers.taken_from = answers.absent + len(shard) - 1
            yield True, _left_out(item, beside)
            continue
        found = answers.take(item.custom_id)
        row = found or absent_row(item.custom_id, status, reason)
        row = _with_beside(row, beside)
        if found:
            row = _judged(check, row, beside.columns)
        letter = dead_letter(row, item.line, beside.columns) if item.line and row.status != "succeeded" else None
        yield item.is_named, (row, renamed(beside.columns), letter)


def _without_request(answers: AnswerFiles, table: Table | None, check: AnswerCheck) -> Iterator[_Reconciled]:
    """Rows whose requests are not known, in the order of their answers."""
    change: InputChange | None = None if table is None else "not_compared"
    for left in answers.left_rows():
        if (not answers.not_asked or left.status != "failed") and (row := answers.take(left.custom_id)):
            yield check.judge(replace(row, input_change=change)), b"", None


def _judged(check: AnswerCheck, row: Row, columns: bytes) -> Row:
    return check.judge(row, decoded(renamed(columns)) if check.check and columns else None)


def _with_beside(row: Row, beside: Beside) -> Row:
    """Note of a row what is known of the row beside it."""
    if beside.change is None and beside.gold is None:
        return row
    return replace(row, input_change=beside.change, gold=beside.gold)


def _left_out(skipped: SkippedRow, beside: Beside) -> _Reconciled:
    row = _with_beside(skipped_row(skipped.custom_id, skipped.place, skipped.reason), beside)
    return row, renamed(beside.columns), letter_of_unsent(row, beside.columns)


def _report(batches: Sequence[Batch], answers: AnswerFiles, log: Log, chat: RealtimeFiles | None) -> None:
    """Log lines that belong to no row, and counts of the platform that differ from the lines.

    Where several batches have worked on the same rows, it is usual that rows have several lines.
    """
    repeated = answers.duplicates if len(batches) == 1 and not chat else 0
    set_aside = {"unreadable": answers.unreadable, "repeated": repeated, "foreign": answers.left}
    ids = ", ".join(batch.id for batch in batches)
    if any(set_aside.values()):
        log.warning(
            "Result files of batch %s hold %s lines that are set aside: they belong to no row, or to one that already "
            "has a line.",
            ids,
            ", ".join(f"{count} {kind}" for kind, count in set_aside.items() if count),
        )
    if paid := answers.not_asked - answers.left:
        log.warning(
            "Result files of batch %s hold %s answers to requests that its input file does not name. They are landed "
            "behind the others, without columns of the input, and no row of the input is called added, because it may "
            "have been asked. Clear this task to try again: nothing is paid again.",
            *(ids, paid),
        )
    counted = {
        "output": sum(batch.counts.completed for batch in batches),
        "error": sum(batch.counts.failed for batch in batches),
    }
    if any(counted.values()) and counted != answers.lines and not chat:
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
