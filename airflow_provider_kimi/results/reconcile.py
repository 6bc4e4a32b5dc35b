"""Join every row to its request, and write one result for each."""

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.files.lines import lines_at
from airflow_provider_kimi.records.rows import added_row
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.answer_files import AnswerFiles
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.columns import renamed
from airflow_provider_kimi.results.kept_answers import KeptAnswers
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.outcomes import Outcomes, Reconciled
from airflow_provider_kimi.results.realtime import NO_REALTIME, Realtime, RealtimeFiles
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.saved_rows import SavedRows
from airflow_provider_kimi.results.table import Table
from airflow_provider_kimi.results.tally import Tally
from airflow_provider_kimi.results.twins import OfBatch, Twins

_NO_BATCH: OfBatch = (None, None, None)


@dataclass(frozen=True)
class Sinks:
    """Where rows go.

    :param next_round: Takes the requests of another round; None for none.
    :param kept: Takes the usable answers that were paid; None if no cache keeps them.
    """

    results: BinaryIO
    dead_letters: BinaryIO
    next_round: NextRound | None = None
    kept: KeptAnswers | None = None

    def begin(self, shard: Sequence[BatchFiles], answered: Collection[str]) -> None:
        """Go on with the rows of another shard.

        :param answered: Rows of it that are not to be asked again.
        """
        if self.next_round is not None:
            self.next_round.begin(shard, answered)

    def write(self, found: Reconciled, line: bytes) -> None:
        """Write a row, and its dead letter if it has no usable answer.

        :param line: The row as the results hold it.
        """
        self.results.write(line)
        if found.letter is not None:
            self.dead_letters.write(found.letter)
            if self.next_round is not None and found.asked_in is not None:
                self.next_round.add(found.row, found.letter, found.asked_in)
        if self.kept is not None and found.answer is not None:
            self.kept.add(*found.answer)


def write_rows(
    shards: Sequence[Sequence[BatchFiles]],
    table: Table | None,
    check: AnswerCheck,
    lines: ResultLines,
    sinks: Sinks,
    log: Log,
    realtime: Realtime = NO_REALTIME,
    saved: SavedRows | None = None,
) -> Tally:
    """Write a result for every row, in input order, and each request without a usable answer.

    :param shards: The batches of each shard, in the order of the input; the one that was asked for every row comes
        first. A shard without an id holds only rows that were not sent.
    :param table: The rows of the input beside the requests, for their columns; None for none.
    :param lines: Encodes the results.
    :param realtime: What chat calls have answered; they are the last round of their rows.
    :param saved: The rows that were not sent; None if none could be saved.
    """
    tally = Tally(input_changes=None if table is None else Counter(), quality=check.quality())
    with Twins(saved.twins if saved else array("q")) as twins:
        outcomes = Outcomes(table, check, lines.fields, twins, saved)
        work = _Work(outcomes, lines, sinks, tally, log)
        unnamed = [work.write(shard, realtime.of_shards.get(shard[0].batch.id)) for shard in shards]
    for custom_id, columns in table.added() if table and not any(unnamed) else ():
        row = added_row(custom_id)
        tally.add(row)
        sinks.results.write(lines.encode(row, renamed(columns, lines.fields), _NO_BATCH))
    return tally


@dataclass(frozen=True)
class _Work:
    outcomes: Outcomes
    lines: ResultLines
    sinks: Sinks
    tally: Tally
    log: Log

    def write(self, shard: Sequence[BatchFiles], chat: RealtimeFiles | None) -> int:
        """Write the rows of a shard; return how many answers are to requests that it does not name."""
        tally, whole = self.tally, shard[0]
        model = _asked_model(whole) or (whole.saved.header.model if whole.saved else None)
        if chat:
            tally.realtime.asked[whole.batch.id] = len(chat.ids)
        self.sinks.begin(shard, chat.ids if chat else ())
        with _answers_of(shard, chat) as answers:
            for found in self.outcomes.of_shard(shard, answers, _shared(shard, chat)):
                tally.add(found.row, model, found.of_batch[1], is_realtime=found.is_chat, letter=found.letter)
                self.sinks.write(found, self.lines.encode(found.row, found.columns, found.of_batch))
            if whole.requests is None:
                tally.add_unnamed(whole.batch.counts.total - answers.taken, shard[-1].batch.status)
            tally.unclaimed += answers.unreadable + answers.not_asked
            _add_passed_over(tally, answers, model)
            _report([files.batch for files in shard], answers, self.log, chat)
            return answers.not_asked


def _answers_of(shard: Sequence[BatchFiles], chat: RealtimeFiles | None) -> AnswerFiles:
    """Find the answers of a shard; those of chat calls count first, then those of its newest batch."""
    newest_first: list[BatchFiles | RealtimeFiles] = [*([chat] if chat else []), *shard[::-1]]
    outputs, errors = [files.output for files in newest_first], [files.error for files in newest_first]
    lines = sum(files.answer_lines for files in shard) + (len(chat.digests) if chat else 0)
    return AnswerFiles(outputs, errors, lines, absent=1 if chat else 0)


def _shared(shard: Sequence[BatchFiles], chat: RealtimeFiles | None) -> list[OfBatch]:
    """What the rows of each batch share, of the newest one first; chat calls are the last round, and of no batch."""
    texts = [Tags.of(files.batch).prompt_fingerprint for files in shard]
    of_batches: list[OfBatch] = [
        (files.batch.id or None, number if files.batch.id else None, text)
        for number, (files, text) in enumerate(zip(shard, texts, strict=True), 1)
    ]
    return [*of_batches, *([(None, len(shard) + 1, texts[0])] if chat else [])][::-1]


def _add_passed_over(tally: Tally, answers: AnswerFiles, model: str | None) -> None:
    for place, passed in answers.passed_over.items():
        tally.add_passed_over(passed.usage, passed.uncounted, model, is_realtime=place < answers.absent)


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
