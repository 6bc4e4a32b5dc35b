"""Which answers of the cache can be used now: those that would be landed as succeeded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kimi.files.line_ids import decoded
from airflow_provider_kimi.records.rows import SOURCE_FIELD
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.answer_lines import row_of_answer
from airflow_provider_kimi.results.columns import encoded, renamed
from airflow_provider_kimi.results.passed_columns import Selection, kept


@dataclass(frozen=True)
class Usable:
    """Says which answers of the cache can be used.

    :param check: What is asked of every answer.
    :param selection: The columns of the input that the result has, and the user's check sees.
    """

    check: AnswerCheck
    selection: Selection

    @property
    def needs_columns(self) -> bool:
        """Whether there is a check of the user's, which may ask for columns of the row."""
        return self.check.check is not None

    def fits(self, answer: bytes) -> bool:
        """Whether an answer is whole, and fits the schema."""
        return replace(self.check, check=None).judge(row_of_answer("-", answer)).status == "succeeded"

    def passes(self, custom_id: str, answer: bytes, columns: Mapping[str, Any] | None) -> bool:
        """Whether an answer that fits passes the user's check of a row, too.

        :param columns: The row's; None if they are not known.
        """
        if self.check.check is None:
            return True
        shown = None if columns is None else decoded(renamed(encoded(kept(columns, self.selection)), (SOURCE_FIELD,)))
        return self.check.judge(row_of_answer(custom_id, answer), shown).status == "succeeded"
