"""What the fields of a connection mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kimi.api.base_url import read_base_url, region_of
from airflow_provider_kimi.api.catalogue import DEFAULT_MODEL
from airflow_provider_kimi.api.console import read_console_url
from airflow_provider_kimi.api.extra import read_extra
from airflow_provider_kimi.api.limits import REGION_BASE_URLS
from airflow_provider_kimi.exceptions import KimiConnectionConfigError

#: Seconds per HTTP call. The SDK's own 600 hold a poll for ten minutes on a dead connection.
DEFAULT_TIMEOUT_SECONDS = 120.0

#: What people paste along with a key, which no header takes or no key has: spaces, quotes, invisible characters.
_NOT_OF_A_KEY = re.compile(r"[^!-~]|[\"'`]")


@dataclass(frozen=True)
class ConnectionSettings:
    """A usable connection.

    :param conn_id: The Airflow connection's id, for messages.
    :param base_url: Where calls go, without a trailing slash.
    :param api_key: The key; never shown.
    :param region: `cn` or `intl`; None if the host is neither (a gateway, the simulator).
    :param billing_region: Region whose prices apply: that of the host, or else the one that the connection names.
    :param model: Model to use if an operator names none.
    :param timeout_seconds: Seconds per HTTP call.
    :param console_url: Template for links, with `{batch_id}` and `{region}`; None for the region's console.
    :param requests_per_minute: Requests that waits may send; None if the connection does not say.
    :param max_in_flight: Most batches of the account that may run at a time; None if the connection does not say.
    :param progress: Whether waits push the XCom `progress`.
    """

    conn_id: str
    base_url: str
    api_key: str = field(repr=False)
    region: str | None
    billing_region: str
    model: str
    timeout_seconds: float
    console_url: str | None
    requests_per_minute: float | None = None
    max_in_flight: int | None = None
    progress: bool = True


def read_settings(
    conn_id: str,
    *,
    host: str | None,
    port: int | str | None,
    password: str | None,
    extra: str | Mapping[str, Any] | None,
    schema: str | None = None,
    login: str | None = None,
) -> ConnectionSettings:
    """Read the fields of a connection, and refuse wrong ones; null and empty fields count as unset.

    A login beside a key means nothing: a call carries the key alone.
    """
    for name, value in {"Base URL": host, "Schema": schema, "Login": login}.items():
        if (value or "").strip().startswith("sk-") and "." not in (value or ""):
            raise KimiConnectionConfigError.of(
                conn_id,
                f"has a key in its {name}, which Airflow shows and does not mask",
                "Make a new key, and put it into the API key field (in a URI: kimi://:KEY@HOST).",
            )
    api_key = _api_key(conn_id, password)
    extra = read_extra(conn_id, extra)
    for name in ("model", "console_url"):
        if not isinstance(extra.get(name) or "", str):
            raise KimiConnectionConfigError.of(conn_id, f"has {name} {extra[name]!r} in its extra", "It must be text.")
    region = extra.get("region") or "cn"
    if not isinstance(region, str) or region not in REGION_BASE_URLS:
        known = ", ".join(REGION_BASE_URLS)
        raise KimiConnectionConfigError.of(conn_id, f"has region {region!r}", f"Use one of {known}.")
    base_url = read_base_url(conn_id, host=host, port=port, schema=schema, region=region)
    return ConnectionSettings(
        conn_id=conn_id,
        base_url=base_url,
        api_key=api_key,
        region=region_of(base_url),
        billing_region=region_of(base_url) or region,
        model=extra.get("model") or DEFAULT_MODEL,
        timeout_seconds=_positive(conn_id, "timeout", extra, "Give seconds per HTTP call, for example 120.")
        or DEFAULT_TIMEOUT_SECONDS,
        console_url=read_console_url(conn_id, extra.get("console_url"), api_key),
        requests_per_minute=_positive(
            conn_id, "requests_per_minute", extra, "Give a number above 0: requests of waits in a minute."
        ),
        max_in_flight=_whole(
            conn_id, "max_in_flight", extra, "Give a whole number from 1: batches that may run at a time."
        ),
        progress=_flag(conn_id, "progress", extra),
    )


def _api_key(conn_id: str, password: str | None) -> str:
    api_key = (password or "").strip()
    if not api_key:
        raise KimiConnectionConfigError.of(
            conn_id,
            "has no API key",
            "Put the key (it starts with 'sk-') into its API key field (in a URI: kimi://:KEY@HOST).",
        )
    if _NOT_OF_A_KEY.search(api_key):
        raise KimiConnectionConfigError.of(
            conn_id,
            "has an API key with an invalid character: a space or a quote ('Bearer ' before it?), or one that is "
            "invisible and was pasted along",
            "Copy the key alone (it starts with 'sk-') into the API key field again.",
        )
    if api_key.startswith("sk-kimi-"):
        raise KimiConnectionConfigError.of(
            conn_id,
            "has the key of a Kimi Code subscription (sk-kimi-...), which the open platform refuses",
            "Create a key on the platform's console, under API keys, and put it into the API key field.",
        )
    return api_key


def _whole(conn_id: str, name: str, extra: Mapping[str, Any], remedy: str) -> int | None:
    """Read a whole number above zero; None if it is not set."""
    number = _positive(conn_id, name, extra, remedy)
    if number is not None and not number.is_integer():
        raise KimiConnectionConfigError.of(conn_id, f"has {name} {extra[name]!r}", remedy)
    return None if number is None else int(number)


def _flag(conn_id: str, name: str, extra: Mapping[str, Any]) -> bool:
    """Read true or false, which the URI of a connection holds as text; true if it is not set."""
    value = extra.get(name)
    said = {"": True, "true": True, "false": False}.get("" if value is None else str(value).lower())
    if said is None:
        raise KimiConnectionConfigError.of(conn_id, f"has {name} {value!r}", "Give true or false.")
    return said


def _positive(conn_id: str, name: str, extra: Mapping[str, Any], remedy: str) -> float | None:
    """Read a number above zero; None if it is not set."""
    value = extra.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise KimiConnectionConfigError.of(conn_id, f"has {name} {value!r}", remedy)
    return number
