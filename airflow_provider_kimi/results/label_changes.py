"""The table of changed labels: how many answers of a sample differ from those of an earlier result, and how."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import shortened
from airflow_provider_kimi.results.comparable import WHOLE, Change
from airflow_provider_kimi.results.failures import MAX_BYTES, MAX_ID_CHARS

#: How many ids each change names.
MAX_SAMPLE = 5

#: Longest label that is shown whole.
_MAX_LABEL_CHARS = 64

#: Why a row is not compared.
Unlike = Literal["no_answer_now", "no_answer_before", "not_in_earlier_result"]


@dataclass
class LabelChanges:
    """Counts changes row by row, in memory that grows with the labels only.

    :param rows: How many rows were compared.
    :param changed: How many of them have another answer.
    :param unlike: Why the others were not compared.
    """

    rows: int = 0
    changed: int = 0
    unlike: Counter[Unlike] = field(default_factory=Counter)
    _counts: Counter[str] = field(default_factory=Counter)
    _samples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, custom_id: str, changes: Iterator[Change]) -> None:
        """Count one row that has an answer in both results."""
        found = list(changes)
        self.rows += 1
        self.changed += bool(found)
        for change in map(json.dumps, found):  # as text, because True and 1 are two labels
            self._counts[change] += 1
            if len(sample := self._samples.setdefault(change, [])) < MAX_SAMPLE:
                sample.append(shortened(storable(custom_id), MAX_ID_CHARS))

    @property
    def listed(self) -> list[dict[str, Any]]:
        """The most common ones first; with the field where answers have fields."""
        return [
            {**_described(Change(*json.loads(change))), "count": count, "sample": self._samples[change]}
            for change, count in self._counts.most_common()
        ]


def _described(change: Change) -> dict[str, Any]:
    of_field = {} if change.field == WHOLE else {"field": _shown(change.field)}
    return {**of_field, "from": _shown(change.before), "to": _shown(change.now)}


def _shown(label: Any) -> Any:
    return shortened(storable(label), _MAX_LABEL_CHARS) if isinstance(label, str) else label


def fitted(report: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten the changes of a report until it fits into an XCom: ids go first, then the rarest changes.

    `changes_cut` then says how many kinds of change are left out.
    """
    for shorter in _shorter(report):
        if len(json.dumps(shorter)) <= MAX_BYTES:
            return shorter
    return shorter


def _shorter(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    changes = report["changes"]
    for most in range(MAX_SAMPLE, -1, -1):
        yield {**report, "changes": [{**change, "sample": change["sample"][:most]} for change in changes]}
    for most in range(len(changes) - 1, -1, -1):
        kept = [{**change, "sample": []} for change in changes[:most]]
        yield {**report, "changes": kept, "changes_cut": len(changes) - most}


def table(report: Mapping[str, Any]) -> str:
    """Write a report as lines for the log."""
    changes = report["changes"]
    rows = [(f"{change['count']:,}", _named(change), ", ".join(change["sample"])) for change in changes]
    width = max((len(count) for count, _, _ in rows), default=0)
    wide = max((len(name) for _, name, _ in rows), default=0)
    lines = [f"  {count:>{width}}  {name:<{wide}}  {ids}".rstrip() for count, name, ids in rows]
    cut = [f"  and {report['changes_cut']:,} rarer kinds of change"] if "changes_cut" in report else []
    return "\n".join([_headline(report), *lines, *cut])


def _headline(report: Mapping[str, Any]) -> str:
    asked = f"Preview: {report['rows']:,} of {report['whole_rows']:,} rows were asked{_money(report)}."
    if report["compared_with"] is None:
        return f"{asked} There is no earlier result to compare them with."
    unlike = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in report["not_compared"].items())
    return (
        f"{asked} {report['changed']:,} of the {report['compared']:,} that could be compared with "
        f"{report['compared_with']} have another answer{f' (not compared: {unlike})' if unlike else ''}."
    )


def _money(report: Mapping[str, Any]) -> str:
    cost, whole = report["cost"], report["whole_cost"]
    if whole is None:
        return ", at a price that is not known"
    return f" for {cost['amount']:,.4f} {cost['currency']}; all would cost about {whole['amount']:,.4f}"


def _named(change: Mapping[str, Any]) -> str:
    where = f"{change['field']}: " if "field" in change else ""
    if change["from"] is None and change["to"] is None:
        return f"{where}another text"
    return f"{where}{_word(change['from'])} -> {_word(change['to'])}"


def _word(label: Any) -> str:
    return "(no label)" if label is None else json.dumps(label, ensure_ascii=False)
