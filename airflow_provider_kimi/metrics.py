"""What a landed result, or a sweep of polls, is worth in metrics. Names and units are promises."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.tags import TaskIdentity

#: What a backend may not take in the value of a tag.
_NOT_OF_A_TAG = re.compile(r"[^A-Za-z0-9_.-]")

#: Kinds of tokens, by their names in a manifest.
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


@dataclass(frozen=True)
class Metric:
    """One number for Airflow's stats.

    :param value: Of a counter, or of a timer.
    :param tags: For backends that have tags; the name says enough without them.
    """

    name: str
    value: int | timedelta
    tags: Mapping[str, str] = field(default_factory=dict)


def metrics_of_result(manifest: Manifest, batches: Iterable[Batch], task: TaskIdentity | None) -> Iterator[Metric]:
    """Count a result that was landed, and time its batches."""
    texts = {"dag_id": task and task.dag_id, "task_id": task and task.task_id, "model": manifest.model}
    tags = {name: _NOT_OF_A_TAG.sub("_", text) for name, text in texts.items() if text}
    counts = {f"results.{manifest.status}": 1}
    counts |= {f"rows.{status}": count for status, count in manifest.counts.items() if status != "total"}
    counts |= {f"tokens.{name.removesuffix('_tokens')}": manifest.usage.get(name, 0) for name in _TOKENS}
    cost = manifest.cost or {}
    if isinstance(amount := cost.get("amount"), int | float):
        counts[f"cost_millionths.{str(cost.get('currency')).lower()}"] = round(amount * 1_000_000)
    for name, count in counts.items():
        if count > 0:
            yield Metric(f"kimi.{name}", count, tags)
    for batch in batches:
        yield from _times_of(batch, tags)


def _times_of(batch: Batch, tags: Mapping[str, str]) -> Iterator[Metric]:
    spans = {"queued": (batch.created_at, batch.in_progress_at), "running": (batch.in_progress_at, batch.ended_at)}
    for name, (begin, end) in spans.items():
        if begin is not None and end is not None and end >= begin:
            yield Metric(f"kimi.batches.{name}", timedelta(seconds=end - begin), tags)


def metrics_of_sweep(requests: int, faults: int) -> Iterator[Metric]:
    """Count the requests of a sweep of polls, and those that met a fault."""
    for name, count in {"requests": requests, "errors": faults}.items():
        if count > 0:
            yield Metric(f"kimi.polls.{name}", count)
