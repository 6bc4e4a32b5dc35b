"""What the page shows of a landed result. A manifest comes from an XCom, which people may edit: no part is trusted."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.ui.batch_view import shown
from airflow_provider_kimi.ui.replay import failures_view, replay_conf

#: Longest location that is shown.
MOST_CHARS = 1024

#: The largest whole number that JavaScript keeps.
LARGEST = (1 << 53) - 1

#: The token counts that are shown.
USAGE = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")


def manifest_of(value: object) -> Manifest | None:
    """Read the value of an XCom, which may be the text of its JSON; None if it is not a manifest of ours."""
    return Manifest.of_json(value.encode(errors="replace")) if isinstance(value, str) else Manifest.of_value(value)


def result_of(manifest: Manifest, conn_id: str | None) -> dict[str, Any]:
    """Show a landed result as plain JSON: numbers, where its files are, what failed, and how to ask that again.

    :param conn_id: The connection that it came over; None if that is not known.
    """
    cost, stored = manifest.cost or {}, manifest.to_dict()
    return {
        "status": shown(manifest.status),
        "model": shown(manifest.model),
        "counts": {name: whole(manifest.counts.get(name)) for name in ("total", *ROW_STATUSES)},
        "usage": {name: whole(manifest.usage.get(name)) for name in USAGE},
        "cost": {"amount": amount(cost.get("amount")), "currency": text(cost.get("currency"))},
        "rounds": whole(manifest.rounds),
        "completed_at": moment(manifest.completed_at),
        "files": [[name, shown(location, MOST_CHARS)] for name, location in manifest.plain_locations.items()],
        "failures": failures_view(stored),
        "replay_conf": replay_conf(stored, conn_id),
    }


def whole(value: object) -> int:
    """Return a count that JavaScript keeps; 0 for what is none."""
    return min(max(value, 0), LARGEST) if isinstance(value, int) else 0


def amount(value: object) -> float | None:
    """Return a number that JSON can say; None for what is none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def text(value: object) -> str | None:
    """Return a short text; None for what is none."""
    return shown(value) if isinstance(value, str) else None


def moment(value: str | None) -> str | None:
    """Return a time in ISO 8601, which a browser can read; None for what is none."""
    try:
        return datetime.fromisoformat(value).isoformat() if value else None
    except ValueError:
        return None


def numbers(stored: Mapping[str, Any]) -> dict[str, int]:
    """Return counts by name, some of them."""
    return {shown(name) or "": whole(value) for name, value in list(stored.items())[:20]}
