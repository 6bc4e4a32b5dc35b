"""The extra of a connection: one JSON object, of which every name means something."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from airflow_provider_kimi.exceptions import KimiConnectionConfigError

#: What an extra may say.
NAMES = ("region", "model", "timeout", "console_url", "requests_per_minute", "max_in_flight", "progress")

#: What belongs elsewhere, by the names that other clients give it.
_ELSEWHERE = {
    **dict.fromkeys(("base_url", "api_base", "base", "endpoint", "host", "url"), "put the host into Base URL"),
    **dict.fromkeys(("api_key", "key", "password", "token"), "put the key into the API key field"),
    **dict.fromkeys(("http_proxy", "https_proxy", "proxies", "proxy"), "set HTTPS_PROXY where the task runs"),
}


def read_extra(conn_id: str, extra: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Read an extra, also one that was encoded twice, and refuse what means nothing here.

    Airflow itself takes an extra that is not JSON for an empty one.

    :param extra: As it is stored, or decoded.
    """
    decoded: Any = extra
    try:
        while isinstance(decoded, str) and decoded.strip():
            decoded = json.loads(decoded)
    except ValueError:
        decoded = False
    if isinstance(decoded, str) or decoded is None:
        return {}
    if not isinstance(decoded, Mapping):
        raise KimiConnectionConfigError.of(
            conn_id, "has an extra that is not a JSON object", 'Write it as {"region": "intl"}, or leave it empty.'
        )
    unknown = [name for name, value in decoded.items() if name not in NAMES and value not in (None, "")]
    if unknown:
        hints = "; ".join(hint for name in unknown if (hint := _hint(name)))
        raise KimiConnectionConfigError.of(
            conn_id,
            f"has {', '.join(map(repr, unknown))} in its extra, which means nothing there",
            f"{hints[:1].upper()}{hints[1:]}{'. ' if hints else ''}The extra may hold {', '.join(NAMES)}.",
        )
    return decoded


def _hint(name: str) -> str:
    """What somebody may have meant by an unknown name; empty if that is not known."""
    bare = name.lower().removeprefix("extra__kimi__").replace("-", "_")
    if bare in _ELSEWHERE:
        return f"for {name!r}, {_ELSEWHERE[bare]}"
    near = [one for one in NAMES if one in bare] or get_close_matches(bare, NAMES, n=1)
    return f"for {name!r}, write {near[0]!r}" if near else ""
