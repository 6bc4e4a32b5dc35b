"""How far the shares of labels have moved since an earlier result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.quality import OTHER

#: How many labels are named that have moved most.
MAX_MOVES = 5


@dataclass(frozen=True)
class Before:
    """The labels of an earlier result.

    :param since: When its last batch ended, in ISO 8601; None if that is not known.
    """

    labels: Mapping[str, int]
    since: str | None = None


def drift_of(labels: Mapping[str, int], before: Before) -> dict[str, Any] | None:
    """The total variation distance between both, as the manifest holds it; None if one has no labels.

    Where the earlier result names only some labels, the others are compared as one, so that the distance may be too
    small, and never too large.
    """
    now = _as_named(labels, before.labels)
    if not any(now.values()) or not any(before.labels.values()):
        return None
    of_now, of_before = _shares(now), _shares(before.labels)
    moved = {name: of_now.get(name, Fraction()) - of_before.get(name, Fraction()) for name in {**of_before, **of_now}}
    largest = sorted((name for name in moved if moved[name]), key=lambda name: (-abs(moved[name]), name))[:MAX_MOVES]
    return {
        "distance": float(sum(map(abs, moved.values())) / 2),
        "since": before.since,
        "moves": [
            {"label": name, "before": float(of_before.get(name, 0)), "now": float(of_now.get(name, 0))}
            for name in largest
        ],
    }


def labels_before(given: Mapping[str, Any]) -> Before | None:
    """The labels that a manifest names, or the extra of an event of an asset; None if it names none.

    Airflow 2 and 3.0 hold a mapping in the event of an alias as its JSON.
    """
    labels = given.get("labels")
    with suppress(ValueError):
        labels = json.loads(labels) if isinstance(labels, str) else labels
    if not isinstance(labels, Mapping) or not labels or not all(map(_is_count, labels.values())):
        return None
    return Before({str(name): count for name, count in labels.items()}, _moment(given.get("completed_at")))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _moment(value: object) -> str | None:
    """A time in ISO 8601; None for what is none."""
    try:
        return value if isinstance(value, str) and datetime.fromisoformat(value) else None
    except ValueError:
        return None


def with_drift(manifest: Manifest, labels: Mapping[str, int], held: Manifest | None, before: Before | None) -> Manifest:
    """Say in a manifest how far its labels have moved.

    :param labels: All that were counted.
    :param held: The result that this one replaces, which is compared if nothing else is.
    :param before: Those of the result that it is compared with; None if there is none.
    """
    if before is None and held is not None:
        if _is_of_same_work(held, manifest):
            return replace(manifest, drift=held.drift)
        before = labels_before(held.to_dict())
    found = drift_of(labels, before) if before else None
    return replace(manifest, drift=found or UNSET)


def _is_of_same_work(held: Manifest, manifest: Manifest) -> bool:
    """Whether a result is of the same batches, or of an earlier landing of the same task instance."""
    is_own = held.landed_by is not UNSET and held.landed_by == manifest.landed_by
    return is_own or not held.works.isdisjoint(manifest.works)


def _as_named(labels: Mapping[str, int], before: Mapping[str, int]) -> Mapping[str, int]:
    """Labels as an earlier result names them: those that it does not are one, if it has such a one."""
    if OTHER not in before:
        return labels
    named = {name: count for name, count in labels.items() if name in before}
    return {**named, OTHER: sum(labels.values()) - sum(named.values()) + named.get(OTHER, 0)}


def _shares(labels: Mapping[str, int]) -> dict[str, Fraction]:
    total = sum(labels.values())
    return {name: Fraction(count, total) for name, count in labels.items()}
