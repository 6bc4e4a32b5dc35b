"""What became of every row of a shard: of those that were sent, by their answers, and of those that were not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from airflow_provider_kimi.files.line_ids import decoded
from airflow_provider_kimi.records.dead_letters import dead_letter, letter_of_unsent
from airflow_provider_kimi.records.rows import SOURCE_FIELD, Row, Source, absent_row, skipped_row, twinless_row
from airflow_provider_kimi.records.saved import SavedRow
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.answer_files import AnswerFiles
from airflow_provider_kimi.results.answer_lines import row_of_answer, unpaid
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.columns import renamed
from airflow_provider_kimi.results.saved_rows import SavedRows
from airflow_provider_kimi.results.sent_rows import SentRow, sent_rows
from airflow_provider_kimi.results.table import Beside, Table
from airflow_provider_kimi.results.twins import OfBatch, Twins

_NOTHING_BESIDE = Beside()


class Reconciled(NamedTuple):
    """A row on its way into the results.

    :param columns: Of the input, under the names that the results give them.
    :param of_batch: What it shares with the other rows of its batch.
    :param letter: The line of `dead_letter.jsonl`; None if the answer is usable, or the request is not known.
    :param asked_in: Which batch of its shard has asked it last, from 1; None if no further round asks it by itself.
    :param is_chat: Whether a chat call has answered it.
    :param answer: Its first request, and the line of a usable answer that was paid; None if there is none.
    """

    row: Row
    columns: bytes
    of_batch: OfBatch
    letter: bytes | None = None
    asked_in: int | None = None
    is_chat: bool = False
    answer: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class Outcomes:
    """Makes the rows of one result.

    :param table: The rows of the input beside the requests, for their columns; None for none.
    :param fields: The fields of a results row.
    :param twins: Keeps the outcomes that other rows repeat.
    :param saved: The rows that were not sent; None if none could be saved.
    """

    table: Table | None
    check: AnswerCheck
    fields: tuple[str, ...]
    twins: Twins
    saved: SavedRows | None = None

    def of_shard(
        self, shard: Sequence[BatchFiles], answers: AnswerFiles, of_batches: Sequence[OfBatch]
    ) -> Iterator[Reconciled]:
        """Every row in input order; then answers to what the requests do not name, which are paid too.

        Such an answer stands for a request whose name cannot be read, if there is one. Where the requests are not
        known, the answers come first, because rows that were not sent may repeat them.

        :param of_batches: What the rows of each batch share, in the order of the files of `answers`.
        """
        rows = _ShardRows(self, shard, answers, of_batches)
        if shard[0].requests is None:
            yield from rows.without_request()
            yield from (row for _, row in rows.known())
            return
        nameless: list[Reconciled] = []
        for is_named, row in rows.known():
            if is_named:
                yield row
            else:
                nameless.append(row)
        answers.not_asked = answers.left
        yield from rows.without_request()
        yield from nameless[answers.not_asked - answers.left :]

    def judged(self, row: Row, columns: bytes) -> Row:
        """Check the answer of a row, beside its columns of the input if the user's own check wants them."""
        wants = self.check.check is not None and columns
        return self.check.judge(row, decoded(renamed(columns, self.fields)) if wants else None)

    def beside(self, item: SentRow | SkippedRow | SavedRow) -> Beside:
        """The next row of the input."""
        return self.table.next(was_sent=not isinstance(item, SkippedRow)) if self.table else _NOTHING_BESIDE


@dataclass(frozen=True)
class _ShardRows:
    of: Outcomes
    shard: Sequence[BatchFiles]
    answers: AnswerFiles
    of_batches: Sequence[OfBatch]

    def known(self) -> Iterator[tuple[bool, Reconciled]]:
        """The row of every request that is known, and whether its name is, and every row that was not sent."""
        for item in sent_rows(self.shard[0]):
            beside = self.of.beside(item)
            if isinstance(item, SkippedRow):
                yield True, self._left_out(item, beside)
            elif isinstance(item, SavedRow):
                yield True, self._repeated(item, item.twin, beside) if item.twin else self._cached(item, beside)
            else:
                yield item.is_named, self._sent(item, beside)

    def without_request(self) -> Iterator[Reconciled]:
        """Rows whose requests are not known, in the order of their answers."""
        beside = Beside(b"", None if self.of.table is None else "not_compared")
        answers = self.answers
        for left in answers.left_rows():
            if (not answers.not_asked or left.status != "failed") and (row := answers.take(left.custom_id)):
                yield self._paid(row, None, beside)

    def _sent(self, item: SentRow, beside: Beside) -> Reconciled:
        found = self.answers.take(item.custom_id)
        if found is not None:
            return self._paid(found, item.line, beside)
        status = self.shard[-1].batch.status
        reason = self.answers.batch_error if status == "failed" else None
        return self._paid(absent_row(item.custom_id, status, reason), item.line, beside)

    def _paid(self, row: Row, request: bytes | None, beside: Beside) -> Reconciled:
        """A row that was sent, with or without an answer."""
        of_batch, is_chat = self.of_batches[self.answers.taken_from], self.answers.taken_from < self.answers.absent
        made = self._made(row, request, beside, of_batch, "chat" if is_chat else "batch")
        answer = (request, self.answers.line_taken) if request and made.row.status == "succeeded" else None
        return made._replace(asked_in=of_batch[1], is_chat=is_chat, answer=answer)

    def _cached(self, item: SavedRow, beside: Beside) -> Reconciled:
        """A row that the cache answers. If its answer was refused here before, a further round may have asked it."""
        request, answers = bytes(item.request), self.answers
        kept = row_of_answer(item.custom_id, bytes(item.answer) if item.answer else b"null")
        found = answers.take(item.custom_id)
        if found is not None and not self._is_usable(kept, beside):
            return self._paid(found, request, beside)
        if found is not None:
            answers.pass_over(found)
        made = self._made(kept, request, beside, self._of_saved, "cache")
        return made._replace(asked_in=1 if self.shard[0].batch.id else None)

    def _is_usable(self, row: Row, beside: Beside) -> bool:
        return self.of.judged(_with_beside(row, beside), beside.columns).status == "succeeded"

    def _repeated(self, item: SavedRow, twin: str, beside: Beside) -> Reconciled:
        """A row that repeats another one: the outcome of that is its own, whatever it is."""
        outcome = self.of.twins.find(twin)
        if outcome is None:
            row, of_batch = twinless_row(item.custom_id, twin), self._of_saved
        else:
            row, of_batch = replace(unpaid(outcome.row), custom_id=item.custom_id), outcome.of_batch
        return self._made(row, bytes(item.request), beside, of_batch, "duplicate")

    @property
    def _of_saved(self) -> OfBatch:
        return None, None, self.of.saved.header.prompt_fingerprint if self.of.saved else None

    def _made(self, row: Row, request: bytes | None, beside: Beside, of_batch: OfBatch, source: Source) -> Reconciled:
        """Keep the outcome for rows that repeat it, and check it for this row."""
        if self.of.saved is not None:
            self.of.twins.keep(row, of_batch)
        if SOURCE_FIELD in self.of.fields:
            row = replace(row, source=source)
        row = self.of.judged(_with_beside(row, beside), beside.columns)
        letter = dead_letter(row, request, beside.columns) if request and row.status != "succeeded" else None
        return Reconciled(row, renamed(beside.columns, self.of.fields), of_batch, letter)

    def _left_out(self, skipped: SkippedRow, beside: Beside) -> Reconciled:
        """A row that was left out of the first batch, and that no other has asked."""
        row = _with_beside(skipped_row(skipped.custom_id, skipped.place, skipped.reason), beside)
        of_batch = self.of_batches[self.answers.absent + len(self.shard) - 1]
        columns = renamed(beside.columns, self.of.fields)
        return Reconciled(row, columns, of_batch, letter_of_unsent(row, beside.columns), of_batch[1])


def _with_beside(row: Row, beside: Beside) -> Row:
    """Note of a row what is known of the row beside it."""
    if beside.change is None and beside.gold is None:
        return row
    return replace(row, input_change=beside.change, gold=beside.gold)
