"""What the report shows, as plain values, from the facts of a result."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.records.tags import Tags, shortened
from airflow_provider_kimi.report.figures import Part, are_there, bar, stacked
from airflow_provider_kimi.results.failures import MAX_ID_CHARS
from airflow_provider_kimi.results.report_facts import ReportFacts, ReportRow

#: Most characters of a text of a row, and of a label.
MOST_CHARS = 2_000
MOST_LABEL_CHARS = 80

#: Most batches, most labels, and most labels of a confusion table that is a square.
MOST_BATCHES = 100
MOST_LABELS = 100
MOST_SQUARE = 12

#: A gold label, an answer, and how many rows have both.
_Cell = tuple[str, str, int]

#: Columns of ours that say something of a row beside its status.
_SAID = ("error_code", "error_message", "content", "parsed", "source")


def view_of(facts: ReportFacts, most_rows: int) -> dict[str, Any]:
    """Show a result.

    :param most_rows: How many rows of text are shown.
    """
    manifest = facts.manifest
    total = manifest.counts["total"]
    gold, labels = _there(manifest.gold), manifest.labels or {}
    differing = frozenset(map(_shown_id, map(str, gold.get("differ", ()) if gold else ())))
    return {
        "manifest": manifest,
        "has_figures": are_there(),
        "total": total,
        "usable": _share(manifest.counts["succeeded"], total),
        "statuses": _bars({name: manifest.counts[name] for name in ROW_STATUSES}, total),
        "whole": stacked((name, _share(manifest.counts[name], total)) for name in ROW_STATUSES),
        "labels": _labels(labels),
        "more_labels": max(len(labels) - MOST_LABELS, 0),
        "gold": gold and _gold(gold),
        "drift": _drift(_there(manifest.drift)),
        "failures": facts.tally.failures.named or manifest.failures or [],
        "sources": _sources(manifest),
        "saved": _there(manifest.saved),
        "budget": _there(manifest.budget),
        "rounds": manifest.by_round or [_only_round(facts)],
        "realtime": _there(manifest.realtime),
        "batches": _time_line(facts.batches[:MOST_BATCHES]),
        "more_batches": len(facts.batches[MOST_BATCHES:]),
        "location": facts.location,
        "files": facts.files,
        "task": manifest.landed_by or {},
        "rows": [_row(row, differing) for row in _chosen(facts, differing, most_rows)] if most_rows else [],
    }


def _there(value: dict[str, Any] | dict[str, int] | msgspec.UnsetType) -> dict[str, Any] | None:
    """What a field of the manifest holds; None if it is not there."""
    return value or None


def _only_round(facts: ReportFacts) -> dict[str, int]:
    """What was asked and came back usable, without the rows that were not sent."""
    saved = facts.manifest.saved or {}
    asked = facts.manifest.counts["total"] - saved.get("cache", 0) - saved.get("duplicate", 0)
    return {"requests": asked, "succeeded": facts.tally.succeeded.total()}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _bars(counts: Mapping[str, int], total: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "count": count, "share": _share(count, total), "bar": stacked([(name, _share(count, total))])}
        for name, count in counts.items()
        if count
    ]


def _labels(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    total = sum(counts.values())
    shown = dict(islice(counts.items(), MOST_LABELS))
    return [
        {**each, "name": _label(each["name"]), "bar": stacked([("label", each["share"])])}
        for each in _bars(shown, total)
    ]


def _gold(gold: Mapping[str, Any]) -> dict[str, Any]:
    cells = [(_label(cell["gold"]), _label(cell["answer"]), cell["count"]) for cell in gold.get("confusion") or ()]
    names = sorted({name for one, other, _ in cells for name in (one, other)})
    return {
        **{name: gold.get(name) for name in ("column", "compared", "unanswered", "unknown", "agreed", "agreement")},
        "names": names,
        "square": _square(cells, names) if len(names) <= MOST_SQUARE else [],
        "cells": cells,
        "is_cut": bool(gold.get("confusion_cut")),
        "differ": [_shown_id(str(custom_id)) for custom_id in gold.get("differ") or ()],
    }


def _square(cells: Sequence[_Cell], names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of each gold label; the share of a cell is that of its line."""
    counts = {(one, other): count for one, other, count in cells}
    sums: Counter[str] = Counter()
    for one, _, count in cells:
        sums[one] += count
    return [{"gold": one, "cells": [_cell(counts, one, other, sums[one]) for other in names]} for one in sorted(sums)]


def _cell(counts: Mapping[tuple[str, str], int], one: str, other: str, of_line: int) -> dict[str, Any]:
    count = counts.get((one, other), 0)
    return {"count": count, "share": _share(count, of_line), "agrees": one == other}


def _drift(drift: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    moves = [
        {
            **{"name": _label(move["label"]), "before": move["before"], "now": move["now"]},
            "bar_before": stacked([("before", move["before"])]),
            "bar_now": stacked([("label", move["now"])]),
        }
        for move in drift.get("moves") or ()
    ]
    return {"distance": drift.get("distance"), "since": drift.get("since"), "moves": moves}


def _sources(manifest: Manifest) -> list[dict[str, Any]]:
    """Where the answers are from, if not all rows were asked in batches."""
    saved, total = manifest.saved or {}, manifest.counts["total"]
    others = {
        "chat": (manifest.realtime or {}).get("rows", 0),
        "cache": saved.get("cache", 0),
        "duplicate": saved.get("duplicate", 0),
    }
    if not any(others.values()):
        return []
    return _bars({"batch": max(total - sum(others.values()), 0), **others}, total)


def _time_line(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    times = [at for batch in batches for at in (batch.created_at, batch.ended_at) if at]
    begin = min(times, default=0)
    return [_line_of(batch, begin, (max(times, default=0) - begin) or 1) for batch in batches]


def _line_of(batch: Batch, begin: int, seconds: int) -> dict[str, Any]:
    created, ended = batch.created_at, batch.ended_at
    moments = [created, batch.in_progress_at, batch.finalizing_at or batch.cancelling_at, ended]
    kinds = zip(("waits", "runs", "ends"), _spans(moments), strict=True)
    parts = [Part(kind, (start - begin) / seconds, (end - start) / seconds) for kind, (start, end) in kinds]
    tags = Tags.of(batch)
    return {
        **{"id": batch.id, "status": batch.status, "counts": batch.counts, "created": created, "ended": ended},
        "seconds": ended - created if created and ended else None,
        "shard": tags.shard,
        "bar": bar(parts),
    }


def _spans(moments: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """From each moment to the next one; a moment that is not known is the one before it."""
    last = next(filter(None, moments), 0)
    for at in moments[1:]:
        yield last, max(at or last, last)
        last = max(at or last, last)


def _chosen(facts: ReportFacts, differing: frozenset[str], most: int) -> Iterable[ReportRow]:
    """The first rows that failed or differ from gold, then the first of the others."""
    wanted: list[ReportRow] = []
    others: list[ReportRow] = []
    for row in facts.rows():
        is_wanted = row.own.get("status") != "succeeded" or _shown_id(row.custom_id) in differing
        found = wanted if is_wanted else others
        if len(found) < most:
            found.append(row)
        if len(wanted) == most:
            break
    return [*wanted, *others][:most]


def _row(row: ReportRow, differing: frozenset[str]) -> dict[str, Any]:
    own = {**row.own, "parsed": None} if row.own.get("parsed") == row.own.get("content") else row.own
    said = [(name, own.get(name)) for name in _SAID]
    texts = [(name, value) for name, value in (*said, *row.of_input.items()) if value not in (None, "", row.custom_id)]
    return {
        "custom_id": _shown_id(row.custom_id),
        "status": row.own.get("status"),
        "differs": _shown_id(row.custom_id) in differing,
        "texts": [(_label(name), _text(value)) for name, value in texts],
    }


def _shown_id(custom_id: str) -> str:
    return shortened(storable(custom_id), MAX_ID_CHARS)


def _label(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= MOST_LABEL_CHARS else f"{text[:MOST_LABEL_CHARS]}…"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    text = storable(text)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}…"
