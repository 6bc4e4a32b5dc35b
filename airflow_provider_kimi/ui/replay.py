"""What the page says of rows without a usable answer: why, and the conf of a run that asks them again.

A manifest comes from an XCom, which people may edit, so nothing in it is trusted, and no file that it names is opened.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from airflow_provider_kimi.records.manifest import Failure, Manifest
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.records.tags import shortened
from airflow_provider_kimi.results.failures import MAX_ID_CHARS, MAX_REASONS, MAX_SAMPLE, OTHER
from airflow_provider_kimi.results.merge import NEVER_SENT
from airflow_provider_kimi.results.staging import DEAD_LETTER_NAME

#: Longest JSON of a manifest that is read, in bytes, and longest location in it.
_MOST_BYTES = 1 << 20
_MOST_CHARS = 1024

#: The largest count that JavaScript keeps.
_MOST_ROWS = (1 << 53) - 1

#: Formats of the results file.
_FORMATS = ("jsonl", "csv", "parquet")


def failures_view(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Say what failed: `status`, `reason`, `count` and `sample`, all of them short; empty if nothing is known.

    An earlier version has counted statuses only.
    """
    read = _read(manifest)
    if read is None:
        return []
    failures = read.failures
    if failures is UNSET:
        counts = {status: read.counts.get(status, 0) for status in ROW_STATUSES if status != "succeeded"}
        failures = [Failure(status=status, reason=OTHER, count=rows) for status, rows in counts.items() if rows]
    return [_shown(failure) for failure in failures[: MAX_REASONS + 1]]


def replay_conf(manifest: Mapping[str, Any], conn_id: str | None) -> dict[str, Any] | None:
    """The conf by which `example_kimi_replay` asks the dead letters of a result again, and merges the answers into it.

    None if there are none that can be asked, or if they do not lie beside the results.

    :param conn_id: The connection that the result came over; None if that is not known.
    """
    read = _read(manifest)
    if read is None or (failures := read.failures) and all(failure.reason in NEVER_SENT for failure in failures):
        return None
    directory, _, name = (read.dead_letter_file or "").rpartition("/")
    results, _, output_format = (read.results_file or "").rpartition(".")
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


def _is_plain(uri: str) -> bool:
    """Whether a URI is short, and holds neither a password, nor a way up, nor characters that cannot be seen."""
    _, separator, rest = uri.partition("://")
    has_password = ":" in rest.partition("/")[0].rpartition("@")[0]
    is_way_up = ".." in rest.split("/")
    return bool(separator) and len(uri) <= _MOST_CHARS and uri.isprintable() and not has_password and not is_way_up


def _read(manifest: Mapping[str, Any]) -> Manifest | None:
    try:
        content = msgspec.json.encode(manifest)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return None
    return Manifest.of_json(content) if len(content) <= _MOST_BYTES else None


def _shown(failure: Failure) -> dict[str, Any]:
    return {
        "status": _short(failure.status),
        "reason": _short(failure.reason),
        "count": min(max(failure.count, 0), _MOST_ROWS),
        "sample": [_short(custom_id) for custom_id in failure.sample[:MAX_SAMPLE]],
    }


def _short(text: str) -> str:
    return shortened(storable(text), MAX_ID_CHARS)
