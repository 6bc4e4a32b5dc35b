"""Whether an answer can be used: without the model's thoughts in it, and as the schema wants it."""

import re
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from airflow_provider_kimi.records.rows import RESULT_FIELDS, Row
from airflow_provider_kimi.results.schema import AnswerSchema, SchemaMismatch

#: What becomes of the model's thoughts: `drop` leaves them out, and removes them from an answer that they leaked into;
#: `column` puts them beside the answer; `keep` leaves the answer as it was sent.
Reasoning = Literal["drop", "column", "keep"]

#: Thoughts before an answer.
_LEAKED = re.compile(r"\s*<think>(?P<thoughts>.*?)</think>\s*", re.DOTALL)
_UNCLOSED = re.compile(r"\s*<think>(?P<thoughts>.*)", re.DOTALL)

#: Thoughts without the opening tag, which stayed in the prompt; an answer that is JSON may mention the closing tag.
_HALF_LEAKED = re.compile(r"""(?!\s*[\[{"`])(?P<thoughts>.*?)</think>\s*""", re.DOTALL)


@dataclass(frozen=True)
class AnswerCheck:
    """What is asked of every answer.

    :param schema: What it has to be; None for any text.
    :param reasoning: What becomes of the model's thoughts.
    """

    schema: AnswerSchema | None = None
    reasoning: Reasoning = "drop"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a results row, in order."""
        unused = {"parsed": self.schema is None, "reasoning": self.reasoning != "column"}
        return tuple(name for name in RESULT_FIELDS if not unused.get(name))

    def judge(self, row: Row) -> Row:
        """Remove thoughts that leaked, then check the answer against the schema."""
        if self.reasoning != "keep" and row.content and "think>" in row.content:
            row = _without_thoughts(row)
        if self.schema is None or row.status != "succeeded":
            return row
        try:
            parsed = self.schema.read(row.content or "")
        except SchemaMismatch as error:
            return replace(row, status="invalid", error_code="schema_mismatch", error_message=str(error))
        return replace(row, parsed=parsed)


def _without_thoughts(row: Row) -> Row:
    text = row.content or ""
    found = _LEAKED.match(text) or _UNCLOSED.match(text) or (None if row.reasoning else _HALF_LEAKED.match(text))
    if found is None:
        return row
    answer = text[found.end() :]
    row = replace(row, content=answer, reasoning=row.reasoning or found["thoughts"].strip(), leaked=True)
    if row.status == "succeeded" and not answer.strip():
        reason = "the answer has no content but the model's thoughts"
        return replace(row, status="invalid", error_code="empty_answer", error_message=reason)
    return row
