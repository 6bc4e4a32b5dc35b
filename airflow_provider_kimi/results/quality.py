"""How good the answers of a result are: how often each label comes, and how many agree with gold labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, UnsetType

from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.records.tags import shortened
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.label_reading import LabelReading, is_empty

#: Characters of a label that is named. A longer one is shortened, or not named if it may be any text.
MAX_LABEL_CHARS = 64

#: How many labels, and pairs of a gold label and an answer, are counted apart.
MAX_COUNTED = 10_000

#: How many rows that differ from gold are named, and with how many characters.
MAX_DIFFERING = 1_000
MAX_ID_CHARS = 64

#: How many labels the manifest names.
MAX_LABELS = 50

#: What counts labels that are not named.
OTHER = "…other"


@dataclass
class Gold:
    """Compares answers with gold labels, row by row.

    :param rows: Rows that have a gold label; each is one of those below, or was compared.
    :param unanswered: Those without a usable answer.
    :param unknown: Those whose gold label is none of the labels.
    :param changed: Those that ask something else by now, so that the label may be one of another text.
    :param confusion: How often an answer was given where another one, or the same, is right: (gold, answer).
    :param differ: The ids of the first rows that differ.
    """

    column: str
    rows: int = 0
    unanswered: int = 0
    unknown: int = 0
    changed: int = 0
    agreed: int = 0
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    differ: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """How many rows were compared."""
        return self.rows - self.unanswered - self.unknown - self.changed

    def to_dict(self) -> dict[str, Any]:
        """Write it as the manifest holds it, with all that it has."""
        counts = {name: getattr(self, name) for name in ("rows", "compared", "unanswered", "unknown")}
        counts |= {"changed": self.changed} if self.changed else {}
        agreement = self.agreed / self.compared if self.compared else None
        cells = self.confusion.most_common()
        return {
            **{"column": shortened(storable(self.column), MAX_LABEL_CHARS), **counts},
            **{"agreed": self.agreed, "agreement": agreement},
            "confusion": [{"gold": gold, "answer": answer, "count": count} for (gold, answer), count in cells],
            "differ": [*self.differ],
        }


def shorter_gold(gold: dict[str, Any] | UnsetType, most: int) -> dict[str, Any] | UnsetType:
    """What a manifest says of gold, with so many cells at most, and a fifth as many ids."""
    if gold is UNSET:
        return UNSET
    confusion, differ = gold.get("confusion", []), gold.get("differ", [])
    cut = {"confusion_cut": True} if len(confusion) > most else {}
    return {**gold, "confusion": confusion[:most], "differ": differ[: most // 5], **cut}


def most_frequent(labels: Mapping[str, int], most: int) -> dict[str, int]:
    """The most frequent labels first; behind them one number for all that are not among them, if there are any."""
    apart = sorted((label for label in labels if label != OTHER), key=lambda label: (-labels[label], label))[:most]
    named = {label: labels[label] for label in apart}
    rest = sum(labels.values()) - sum(named.values())
    return {**named, OTHER: rest} if rest else named


@dataclass
class Quality:
    """Counts the labels of usable answers, and compares them with gold labels, row by row.

    :param labels: How often each label comes; nothing if answers have none.
    :param gold: None without a gold column.
    """

    reading: LabelReading
    labels: Counter[str] = field(default_factory=Counter)
    gold: Gold | None = None

    @classmethod
    def of(cls, reading: LabelReading) -> Quality:
        """Begin to count."""
        return cls(reading, gold=None if reading.gold_column is None else Gold(reading.gold_column))

    def add(self, row: Row) -> None:
        """Count one row."""
        answer = self.reading.answer(row) if row.status == "succeeded" else None
        if answer is not None and self.reading.has_labels:
            label = self._named(answer)
            self.labels[label if label in self.labels or len(self.labels) < MAX_COUNTED else OTHER] += 1
        if self.gold is not None and not is_empty(row.gold):
            self._compare(self.gold, row, answer)

    @property
    def named_labels(self) -> dict[str, int]:
        """The most frequent labels, and the sum of the others."""
        return most_frequent(self.labels, MAX_LABELS)

    def _compare(self, gold: Gold, row: Row, answer: str | None) -> None:
        gold.rows += 1
        try:
            right = self.reading.gold(row.gold)
        except SchemaMismatch:
            gold.unknown += 1
            return
        if row.input_change == "changed":
            gold.changed += 1
        elif answer is None:
            gold.unanswered += 1
        else:
            pair = (self._named(right), self._named(answer))
            gold.confusion[pair if pair in gold.confusion or len(gold.confusion) < MAX_COUNTED else (OTHER, OTHER)] += 1
            gold.agreed += right == answer
            if right != answer and len(gold.differ) < MAX_DIFFERING:
                gold.differ.append(shortened(storable(row.custom_id), MAX_ID_CHARS))

    def _named(self, label: str) -> str:
        """What a label is called; a long text that is no label may be anything, and is not repeated."""
        if len(label) > MAX_LABEL_CHARS and not self.reading.has_labels:
            return OTHER
        return shortened(storable(label), MAX_LABEL_CHARS)
