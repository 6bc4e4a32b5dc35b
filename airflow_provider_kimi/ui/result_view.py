"""What the page shows of a landed result, and the conf of a run that asks its dead letters again.

A manifest comes from an XCom, which people may edit: no part is trusted, and no file that it names is opened.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET

from airflow_provider_kimi.records.manifest import Failure, Manifest
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.results.failures import MAX_ID_CHARS, MAX_REASONS, MAX_SAMPLE, OTHER
from airflow_provider_kimi.results.merge import NEVER_SENT
from airflow_provider_kimi.results.staging import DEAD_LETTER_NAME
from airflow_provider_kimi.ui.batch_view import shown

#: Longest location that is shown.
MOST_CHARS = 1024

#: The largest whole number that JavaScript keeps.
LARGEST = (1 << 53) - 1

#: The token counts that are shown.
USAGE = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")

#: Formats of the results file.
_FORMATS = ("jsonl", "csv", "parquet")


def manifest_of(value: object) -> Manifest | None:
    """Read the value of an XCom, which may be the text of its JSON; None if it is not a manifest of ours."""
    return Manifest.of_json(value.encode(errors="replace")) if isinstance(value, str) else Manifest.of_value(value)


def result_of(manifest: Manifest, conn_id: str | None = None) -> dict[str, Any]:
    """Show a landed result as plain JSON: numbers, where its files are, what failed, and how to ask that again.

    :param conn_id: The connection that it came over; None if that is not known.
    """
    cost = manifest.cost or {}
    return {
        "status": shown(manifest.status),
        "model": shown(manifest.model),
        "counts": {name: whole(manifest.counts.get(name)) for name in ("total", *ROW_STATUSES)},
        "usage": {name: whole(manifest.usage.get(name)) for name in USAGE},
        "cost": {"amount": amount(cost.get("amount")), "currency": text(cost.get("currency"))},
        "rounds": whole(manifest.rounds),
        "completed_at": moment(manifest.completed_at),
        "files": [[name, shown(location, MOST_CHARS)] for name, location in manifest.plain_locations.items()],
        "failures": failures_view(manifest),
        "replay_conf": replay_conf(manifest, conn_id),
    }


def failures_view(manifest: Manifest) -> list[dict[str, Any]]:
    """Say what failed: `status`, `reason`, `count` and `sample`, all of them short; empty if nothing is known.

    An earlier version has counted statuses only.
    """
    failures = manifest.failures
    if failures is UNSET:
        counts = {status: manifest.counts.get(status, 0) for status in ROW_STATUSES if status != "succeeded"}
        failures = [Failure(status=status, reason=OTHER, count=rows) for status, rows in counts.items() if rows]
    return [
        {
            "status": _short(failure.status),
            "reason": _short(failure.reason),
            "count": whole(failure.count),
            "sample": [_short(custom_id) for custom_id in failure.sample[:MAX_SAMPLE]],
        }
        for failure in failures[: MAX_REASONS + 1]
    ]


def replay_conf(manifest: Manifest, conn_id: str | None = None) -> dict[str, Any] | None:
    """The conf by which `example_kimi_replay` asks the dead letters of a result again, and merges the answers into it.

    None if there are none that can be asked, or if they do not lie beside the results.

    :param conn_id: The connection that the result came over; None if that is not known.
    """
    failures = manifest.failures or ()
    if failures and all(failure.reason in NEVER_SENT for failure in failures):
        return None
    directory, _, name = (manifest.dead_letter_file or "").rpartition("/")
    results, _, output_format = (manifest.results_file or "").rpartition(".")
    if name != DEAD_LETTER_NAME or results != f"{directory}/results" or output_format not in _FORMATS:
        return None
    if not _is_plain(directory):
        return None
    conf = {
        "dead_letters": f"{directory}/{name}",
        "merge_with": directory,
        "output": f"{directory}/replay",
        "output_format": output_format,
    }
    return conf | ({"kimi_conn_id": conn_id} if conn_id else {})


def whole(value: object) -> int:
    """Return a count that JavaScript keeps; 0 for what is none."""
    return min(max(value, 0), LARGEST) if isinstance(value, int) else 0


def amount(value: object) -> float | None:
    """Return a number that JSON can say; None for what is none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        return None
    return float(value)


def text(value: object) -> str | None:
    """Return a short text; None for what is none."""
    return shown(value) if isinstance(value, str) else None


def moment(value: str | None) -> str | None:
    """Return a time in UTC and ISO 8601, which a browser can read; None for what is none."""
    try:
        at = datetime.fromisoformat(value or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def numbers(stored: Mapping[str, Any]) -> dict[str, int]:
    """Return counts by name, some of them."""
    return {shown(name) or "": whole(value) for name, value in list(stored.items())[:20]}


def _is_plain(uri: str) -> bool:
    """Whether a URI is short, and holds neither a password, nor a way up, nor characters that cannot be seen."""
    _, separator, rest = uri.partition("://")
    has_password = ":" in rest.partition("/")[0].rpartition("@")[0]
    is_way_up = ".." in rest.split("/")
    return bool(separator) and len(uri) <= MOST_CHARS and uri.isprintable() and not has_password and not is_way_up


def _short(value: str) -> str:
    return shown(value, MAX_ID_CHARS) or ""
