"""Limits on how good the answers of a result have to be, and what is said of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_kimi.choices import Limit
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.failure_limits import read_share

#: How many labels a message names that have moved.
_MAX_NAMED = 3


@dataclass(frozen=True)
class QualityLimits:
    """What is asked of the answers.

    :param min_agreement: Share of compared answers that has to agree with gold; None for any.
    :param max_drift: How far the shares of labels may be from those of an earlier result; None for any.
    """

    min_agreement: float | None = None
    max_drift: float | None = None

    @classmethod
    def read(cls, min_agreement: Limit, max_drift: Limit) -> QualityLimits:
        """Read the parameters of an operator.

        :raises KimiInputError: One is not a share.
        """
        return cls(read_share("min_agreement", min_agreement), read_share("max_drift", max_drift))

    def breaches(self, manifest: Manifest) -> list[str]:
        """Say which limits a result does not keep."""
        return [*self._of_gold(manifest.gold or {}), *self._of_drift(manifest.drift or {})]

    def _of_gold(self, gold: Mapping[str, Any]) -> Iterator[str]:
        if self.min_agreement is None:
            return
        if not (compared := gold.get("compared", 0)):
            yield f"no answer was compared with a gold label, and min_agreement={self.min_agreement:g}"
        elif Fraction(gold["agreed"], compared) < _exact(self.min_agreement):
            yield f"{_agreed(gold)}, which is less than min_agreement={self.min_agreement:g}"

    def _of_drift(self, drift: Mapping[str, Any]) -> Iterator[str]:
        if self.max_drift is not None and drift and _exact(drift["distance"]) > _exact(self.max_drift):
            yield f"the {_moved(drift)}, which is more than max_drift={self.max_drift:g}"


def not_good_enough(breaches: Sequence[str], batch_ids: Sequence[str]) -> str:
    """Say what happened, what is true now, and what to do."""
    return (
        f"The answers are not as they have to be: {'; '.join(breaches)}. Every row is landed, and billed as far as it "
        "ran; no batch is running. Look at gold and drift in the manifest. To accept this result, change the limit "
        "and clear this task: nothing is paid again. To ask anew, change the prompt, set on_changed_input='fresh' and "
        f"clear it. Batches: {', '.join(batch_ids)}."
    )


def quality_said(manifest: Manifest) -> str:
    """Say in one line how good the answers are; empty if nothing was compared."""
    said = []
    if gold := manifest.gold or {}:
        said.append(f"{_agreed(gold)}." if gold.get("compared") else "No answer was compared with a gold label.")
        said += [f"{rows:,} rows with one have no usable answer." for rows in [gold.get("unanswered")] if rows]
        said += [f"{rows:,} ask something else by now." for rows in [gold.get("changed")] if rows]
    if drift := manifest.drift or {}:
        said.append(f"The {_moved(drift)}.")
    return " ".join(said)


def unknown_gold(manifest: Manifest) -> str:
    """Say how many gold labels are none of the labels; empty if all are."""
    gold: Mapping[str, Any] = manifest.gold or {}
    if not (rows := gold.get("unknown")):
        return ""
    return (
        f"{rows:,} of {gold['rows']:,} gold labels in {gold['column']!r} are none of the labels of output_schema, and "
        "were compared with nothing. Correct them in the input, then clear this task: nothing is paid again."
    )


def _agreed(gold: Mapping[str, Any]) -> str:
    agreed, compared = gold["agreed"], gold["compared"]
    return f"{agreed:,} of {compared:,} answers agree with gold labels in {gold['column']!r} ({agreed / compared:.2%})"


def _moved(drift: Mapping[str, Any]) -> str:
    since = f" since {drift['since']}" if drift.get("since") else ""
    moves = [f"{move['label']!r} from {move['before']:.1%} to {move['now']:.1%}" for move in drift.get("moves", [])]
    named = f" ({', '.join(moves[:_MAX_NAMED])})" if moves else ""
    return f"shares of labels have moved by {drift['distance']:.4f}{since}{named}"


def _exact(share: float) -> Fraction:
    """The share that a number is written as: 0.9 is nine tenths."""
    return Fraction(repr(float(share)))
