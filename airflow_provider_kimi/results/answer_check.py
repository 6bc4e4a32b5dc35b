"""Whether an answer can be used: without the model's thoughts in it, as the schema wants it, and as the user checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from airflow_provider_kimi.choices import Reasoning, RowCheck
from airflow_provider_kimi.records.rows import RESULT_FIELDS, Row
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.label_reading import LabelReading
from airflow_provider_kimi.results.leaked_thoughts import part
from airflow_provider_kimi.results.quality import Quality
from airflow_provider_kimi.results.row_check import refusal
from airflow_provider_kimi.results.schema import AnswerSchema


@dataclass(frozen=True)
class AnswerCheck:
    """What is asked of every answer.

    :param schema: What it has to be; None for any text.
    :param reasoning: What becomes of the model's thoughts.
    :param check: The user's own check of a row that fits the schema; None for none.
    :param gold_column: The column of the input with labels that are known to be right; None for none.
    """

    schema: AnswerSchema | None = None
    reasoning: Reasoning = "drop"
    check: RowCheck | None = None
    gold_column: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a results row, in order."""
        unused = {"parsed": self.schema is None, "reasoning": self.reasoning != "column"}
        return tuple(name for name in RESULT_FIELDS if not unused.get(name))

    def quality(self) -> Quality | None:
        """Begin to count labels, and to compare them with gold; None if there is neither."""
        reading = LabelReading.of(self.schema, self.gold_column)
        return Quality.of(reading) if reading.has_labels or reading.gold_column is not None else None

    def judge(self, row: Row, columns: Mapping[str, Any] | None = None) -> Row:
        """Remove thoughts that leaked, then check the answer against the schema, then as the user wants.

        :param columns: The row's columns of the input, for the user's check; None if they are not known.
        """
        if self.reasoning != "keep" and row.content:
            row = _without_thoughts(row, row.content)
        if self.schema is not None and row.status == "succeeded":
            row = _parsed(row, self.schema)
        if self.check is None or row.status != "succeeded":
            return row
        reason = refusal(self.check, row, columns)
        return row if reason is None else replace(row, status="invalid", error_code="check", error_message=reason)


def _parsed(row: Row, schema: AnswerSchema) -> Row:
    try:
        return replace(row, parsed=schema.read(row.content or ""))
    except SchemaMismatch as error:
        return replace(row, status="invalid", error_code="schema_mismatch", error_message=str(error))


def _without_thoughts(row: Row, text: str) -> Row:
    parted = part(text, may_be_half=not row.reasoning)
    if parted is None:
        return row
    row = replace(row, content=parted.answer, reasoning=row.reasoning or parted.thoughts, leaked=True)
    if row.status == "succeeded" and not parted.answer.strip():
        reason = "the answer has no content but the model's thoughts"
        return replace(row, status="invalid", error_code="empty_answer", error_message=reason)
    return row
