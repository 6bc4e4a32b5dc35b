"""Failures: how many rows without a usable answer a task accepts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.results.tally import Tally

#: What becomes of the task where there are more.
OnTooManyFailed = Literal["fail", "skip", "warn"]

_UNUSABLE = [status for status in ROW_STATUSES if status != "succeeded"]


class _Limit(NamedTuple):
    """One limit; a status of None means all rows without a usable answer."""

    name: str
    status: str | None
    most: float

    def rows(self, tally: Tally) -> int:
        return tally.unusable if self.status is None else tally.counts[self.status]

    @property
    def kind(self) -> str:
        return self.status or "unusable"


@dataclass(frozen=True)
class FailureLimits:
    """Limits on rows without a usable answer.

    :param rows: Their number, or that of each status; None sets no such limit.
    :param ratio: Their share of all rows, 0 to 1, or that of each status; None sets no such limit.
    :raises ValueError: One is no limit.
    """

    rows: int | Mapping[str, int] | None = None
    ratio: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for limit in _limits("max_failed_rows", self.rows):
            if limit.most < 0:
                raise ValueError(f"{limit.name} is {limit.most}; it is a number of rows")
        for limit in _limits("max_failed_ratio", self.ratio):
            if not 0 <= limit.most <= 1:
                raise ValueError(f"{limit.name} is {limit.most}; it is a share between 0 and 1")

    def exceeded(self, tally: Tally) -> list[str]:
        """Say which limits a result exceeds. Where all rows have no limit, one without any usable row does too."""
        limited = any(isinstance(limit, int | float) for limit in (self.rows, self.ratio))
        found = ["no row has a usable answer"] if tally.status == "failed" and not limited else []
        for limit in _limits("max_failed_rows", self.rows):
            if (rows := limit.rows(tally)) > limit.most:
                found.append(f"{rows:,} {limit.kind} rows are more than {limit.name}={limit.most:,}")
        for limit in _limits("max_failed_ratio", self.ratio):
            ratio = limit.rows(tally) / tally.total if tally.total else 1.0
            if ratio > limit.most:
                found.append(f"a share of {ratio:.2%} {limit.kind} rows is more than {limit.name}={limit.most:g}")
        return found


def too_many_failed(exceeded: Sequence[str], tally: Tally, batch_ids: Sequence[str]) -> str:
    """Say what happened, what is true now, and what to do."""
    return (
        f"Batches {', '.join(batch_ids)} ended, but {' and '.join(exceeded)}. {tally.summary()}. Every row is landed "
        "and billed as far as it ran; nothing runs any more. The rows without an answer are in dead_letter.jsonl, "
        "which can be given to KimiCreateBatchOperator as input; rows that were never sent are corrected first."
    )


def _limits(parameter: str, given: float | Mapping[str, float] | None) -> Iterator[_Limit]:
    if isinstance(given, Mapping):
        for status, most in given.items():
            if status not in _UNUSABLE:
                raise ValueError(f"{parameter} names the status {status!r}; it may name {', '.join(_UNUSABLE)}")
            yield _Limit(f"{parameter}[{status!r}]", status, most)
    elif given is not None:
        yield _Limit(parameter, None, given)
