"""A result with every fact that a report may show."""

from collections.abc import Sequence
from typing import Any

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.records.manifest import Failure, Manifest
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.results.report_facts import ReportFacts, ReportRow
from airflow_provider_kimi.results.tally import Tally

HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">&amp;{{ 7*7 }}"
START = 1_796_000_000


class Full(Manifest, frozen=True, kw_only=True):
    """A manifest with the fields of every feature."""

    saved: Any = None
    budget: Any = None


def manifest_of(name: str = "positive", **changes: Any) -> Full:
    """Describe 100 rows.

    :param name: Of a label, a column and an id, among others.
    """
    counts: dict[str, int] = {
        "total": 100,
        **dict.fromkeys(map(str, ROW_STATUSES), 0),
        "succeeded": 90,
        "failed": 7,
        "invalid": 3,
    }
    cells = [("neutral", "neutral", 30), (name, name, 40), (name, "neutral", 5)]
    fields: dict[str, Any] = {
        "batch_ids": ["batch_1"],
        "status": "partial",
        "model": "kimi-k2.6",
        "counts": counts,
        "usage": {"prompt_tokens": 12_345, "cached_tokens": 0, "completion_tokens": 678, "total_tokens": 13_023},
        "cost": {"currency": "CNY", "amount": 1.25, "price_list_date": "2026-09-01"},
        "created_at": "2026-11-30T20:00:00+00:00",
        "completed_at": "2026-11-30T21:00:00+00:00",
        "failures": [
            Failure(status="failed", reason="server_error", count=7, sample=[name]),
            Failure(status="invalid", reason="schema_mismatch", count=3, sample=["q1"]),
        ],
        "landed_by": {"dag_id": name, "run_id": "manual__1", "task_id": name, "map_index": "-1"},
        "gold": {
            **{"column": name, "rows": 80, "compared": 75, "unanswered": 4, "unknown": 1, "agreed": 70},
            "agreement": 70 / 75,
            "confusion": [{"gold": one, "answer": other, "count": count} for one, other, count in cells],
            "differ": [name, "r2"],
        },
        "labels": {name: 60, "neutral": 30},
        "drift": {
            **{"distance": 0.073, "since": "2026-11-29T21:00:00+00:00"},
            "moves": [{"label": name, "before": 0.42, "now": 0.493}],
        },
        "saved": {"cache": 40, "duplicate": 2, "stored": 48},
        "budget": {"name": name, "window": "day", "amount": 100, "currency": "CNY", "left": 47.9},
    }
    return Full(**{**fields, **changes})


def facts_of(manifest: Manifest, rows: Sequence[ReportRow] = (), batches: Sequence[Batch] = ()) -> ReportFacts:
    """Make the facts of a result."""
    files = ["results.jsonl", "report.html", "manifest.json"]
    tally = Tally()
    tally.succeeded[1] = 48  # of the 90; the others were not sent
    return ReportFacts(manifest, tally, batches, "/data/out", files, lambda: iter(rows))


def batch_of(number: int, **changes: Any) -> Batch:
    """A batch that began and ended some minutes after the one before."""
    at = START + number * 600
    times = {"created_at": at, "in_progress_at": at + 60, "finalizing_at": at + 500, "completed_at": at + 600}
    counts = RequestCounts(total=50, completed=45, failed=5)
    fields: dict[str, Any] = {"id": f"batch_{number}", "status": "completed", "request_counts": counts, **times}
    return Batch(**{**fields, **changes})
