"""Limits on the rows without a usable answer that a task accepts."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_kimi.choices import Limit
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.fields import said
from airflow_provider_kimi.records.rows import ROW_STATUSES

if TYPE_CHECKING:
    from airflow_provider_kimi.results.tally import Tally

_UNUSABLE = [status for status in ROW_STATUSES if status != "succeeded"]


class FailureLimit(NamedTuple):
    """One limit.

    :param name: What messages call it.
    :param status: The status of the rows; None for all rows without a usable answer.
    :param most: How many of these rows are accepted, or which share of all rows.
    """

    name: str
    status: str | None
    most: float
    is_share: bool

    def breach(self, tally: Tally) -> str | None:
        """Say how a result exceeds the limit; None if it does not."""
        rows, kind = (tally.failed(self.status), self.status) if self.status else (tally.unusable, "unusable")
        if not self.is_share:
            return f"{rows:,} {kind} rows are more than {self.name}={self.most:,}" if rows > self.most else None
        share = rows / tally.asked if tally.asked else 1.0
        return f"{share:.2%} {kind} rows are more than {self.name}={self.most:g}" if share > self.most else None


def read_limits(
    max_failed_rows: Limit | Mapping[str, Limit] = None, max_failed_ratio: Limit | Mapping[str, Limit] = None
) -> list[FailureLimit]:
    """Read the limits of an operator: for all rows without a usable answer, or by status; None sets no limit.

    The text of a number or a mapping, as a template renders it, is read as what it says.

    :raises KimiInputError: A value is not a limit.
    """
    return [
        *_read("max_failed_rows", max_failed_rows, is_share=False),
        *_read("max_failed_ratio", max_failed_ratio, is_share=True),
    ]


def read_share(parameter: str, given: Limit) -> float | None:
    """Read a share of an operator, or the text that a template renders; None for no limit.

    :raises KimiInputError: It is not one.
    """
    most: Any = said(given)
    if most is None:
        return None
    if isinstance(most, int | float) and not isinstance(most, bool) and 0 <= most <= 1:
        return float(most)
    raise _wrong(parameter, given, "a share from 0 to 1, such as 0.9 for 90 %")


def _read(parameter: str, given: Limit | Mapping[str, Limit], *, is_share: bool) -> Iterator[FailureLimit]:
    limits = said(given)
    if isinstance(limits, Mapping):
        for status, most in limits.items():
            if status not in _UNUSABLE:
                raise _wrong(f"the status in {parameter}", status, f"one of {', '.join(map(repr, _UNUSABLE))}")
            name = f"{parameter}[{status!r}]"
            yield FailureLimit(name, status, _most(name, most, is_share=is_share), is_share)
    elif limits is not None:
        yield FailureLimit(parameter, None, _most(parameter, given, is_share=is_share), is_share)


def _most(name: str, given: object, *, is_share: bool) -> float:
    most: Any = said(given)
    is_number = isinstance(most, int | float) and not isinstance(most, bool)
    if is_share:
        if is_number and 0 <= most <= 1:
            return float(most)
        raise _wrong(name, given, "a share from 0 to 1, such as 0.05 for 5 %; for a number of rows use max_failed_rows")
    if is_number and most >= 0 and most % 1 == 0:
        return int(most)
    raise _wrong(name, given, "a number of rows, such as 5; for a share use max_failed_ratio")


def _wrong(name: str, value: object, allowed: str) -> KimiInputError:
    return KimiInputError(
        f"{name} is {reprlib.repr(value)}; it must be {allowed}. Nothing was landed; the results stay on the platform."
    )


def breaches(limits: Iterable[FailureLimit], tally: Tally) -> list[str]:
    """Say which limits a result exceeds. A result without any usable row is one, unless a limit holds for all rows."""
    found = [breach for limit in limits if (breach := limit.breach(tally))]
    if tally.status == "failed" and all(limit.status for limit in limits):
        return ["no row has a usable answer", *found]
    return found


def too_many_failed(breaches: Sequence[str], tally: Tally, batch_ids: Sequence[str], to_come: str = "") -> str:
    """Say what happened, what is true now, and what to do.

    :param to_come: What is still to come, and when; empty if nothing is.
    """
    remedy = to_come or (
        "To ask only these rows again, pass dead_letter.jsonl to another KimiBatchOperator as input, without prompt "
        "and key_column; correct rows that were never sent first."
    )
    return (
        f"Too many rows failed: {'; '.join(breaches)}. {tally.summary()}. Every row is landed, and billed as far as it "
        f"ran; no batch is running. {remedy} Batches: {', '.join(batch_ids)}."
    )
