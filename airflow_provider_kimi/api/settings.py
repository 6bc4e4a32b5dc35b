"""What the fields of a connection mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_kimi.api.catalogue import DEFAULT_MODEL
from airflow_provider_kimi.api.limits import REGION_BASE_URLS
from airflow_provider_kimi.exceptions import KimiConnectionConfigError

#: Seconds per HTTP call. The SDK's own 600 hold a poll for ten minutes on a dead connection.
DEFAULT_TIMEOUT_SECONDS = 120.0

#: A name or an address, as `urlsplit` returns it.
_HOST_NAME = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.IGNORECASE)


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
    :param console_url: Template for links; None for the region's console.
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
    conn_id: str, *, host: str | None, port: int | None, password: str | None, extra: Mapping[str, Any]
) -> ConnectionSettings:
    """Read the fields of a connection, and refuse wrong ones; null and empty fields count as unset."""
    api_key = _api_key(conn_id, password)
    for name in ("model", "console_url"):
        if not isinstance(extra.get(name) or "", str):
            raise _wrong(conn_id, f"has {name} {extra[name]!r} in its extra", "It must be text.")
    region = extra.get("region") or "cn"
    if not isinstance(region, str) or region not in REGION_BASE_URLS:
        raise _wrong(conn_id, f"has region {region!r}", f"Use one of {', '.join(REGION_BASE_URLS)}.")
    base_url = _base_url(conn_id, host, port) if host else REGION_BASE_URLS[region]
    return ConnectionSettings(
        conn_id=conn_id,
        base_url=base_url,
        api_key=api_key,
        region=_region_of(base_url),
        billing_region=_region_of(base_url) or region,
        model=extra.get("model") or DEFAULT_MODEL,
        timeout_seconds=_positive(conn_id, "timeout", extra, "Give seconds per HTTP call, for example 120.")
        or DEFAULT_TIMEOUT_SECONDS,
        console_url=extra.get("console_url") or None,
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
        raise _wrong(conn_id, "has no API key", "Put the key (it starts with 'sk-') into its API key field.")
    if not (api_key.isascii() and api_key.isprintable()):
        raise _wrong(
            conn_id,
            "has an API key with an invalid character, often an invisible one that was pasted along",
            "Copy the key (it starts with 'sk-') into the API key field again.",
        )
    if api_key.startswith("sk-kimi-"):
        raise _wrong(
            conn_id,
            "has the key of a Kimi Code subscription (sk-kimi-...), which the open platform refuses",
            "Create a key on the platform's console, under API keys, and put it into the API key field.",
        )
    return api_key


def _wrong(conn_id: str, fault: str, remedy: str) -> KimiConnectionConfigError:
    return KimiConnectionConfigError(f"Connection {conn_id!r} {fault}. Nothing was sent. {remedy}")


def _base_url(conn_id: str, host: str, port: int | None) -> str:
    remedy = "Write it as https://name/v1."
    try:
        url = _with_scheme(host.strip().rstrip("/"))
        parts = urlsplit(url)
        written_port = parts.port
    except ValueError:
        raise _wrong(conn_id, f"has a Base URL that is not a URL: {host!r}", remedy) from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong(conn_id, "has a Base URL with credentials or a query in it", remedy)
    if not parts.hostname or not _HOST_NAME.fullmatch(parts.hostname):
        raise _wrong(conn_id, f"has a Base URL without a valid host name: {host!r}", remedy)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise _wrong(
            conn_id,
            f"would send its key unencrypted to {parts.hostname!r} ({parts.scheme}://)",
            "Use https; http is accepted for loopback addresses only.",
        )
    netloc = parts.netloc.removesuffix(":")
    if port and written_port is None:
        netloc = f"{netloc}:{port}"
    return f"{parts.scheme}://{netloc}{parts.path or '/v1'}"


def _with_scheme(host: str) -> str:
    if "://" in host or host.startswith(("http:", "https:")):
        return host
    return f"{'http' if is_loopback(urlsplit(f'//{host}').hostname) else 'https'}://{host}"


def is_loopback(hostname: str | None) -> bool:
    """Whether a host name means this machine."""
    if hostname == "localhost":
        return True
    try:
        return ip_address(hostname or "").is_loopback
    except ValueError:
        return False


def _region_of(base_url: str) -> str | None:
    """Compare whole host names, because a name that only begins like the platform's belongs to another owner."""
    hostname = urlsplit(base_url).hostname
    return next((region for region, url in REGION_BASE_URLS.items() if urlsplit(url).hostname == hostname), None)


def _whole(conn_id: str, name: str, extra: Mapping[str, Any], remedy: str) -> int | None:
    """Read a whole number above zero; None if it is not set."""
    number = _positive(conn_id, name, extra, remedy)
    if number is not None and not number.is_integer():
        raise _wrong(conn_id, f"has {name} {extra[name]!r}", remedy)
    return None if number is None else int(number)


def _flag(conn_id: str, name: str, extra: Mapping[str, Any]) -> bool:
    """Read true or false, which the URI of a connection holds as text; true if it is not set."""
    value = extra.get(name)
    said = {"": True, "true": True, "false": False}.get("" if value is None else str(value).lower())
    if said is None:
        raise _wrong(conn_id, f"has {name} {value!r}", "Give true or false.")
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
        raise _wrong(conn_id, f"has {name} {value!r}", remedy)
    return number
