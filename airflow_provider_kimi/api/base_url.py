"""Where calls go: the host, port and schema of a connection, in the forms in which people and Airflow write them."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from airflow_provider_kimi.api.limits import REGION_BASE_URLS
from airflow_provider_kimi.exceptions import KimiConnectionConfigError

#: A name or an address, as `urlsplit` returns it.
_HOST_NAME = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.IGNORECASE)

#: What a path is made of.
_PATH = re.compile(r"[\w./~+-]*")

#: A call of the API, which people copy along with its base.
_CALL = re.compile(r"(?<=/v1)/(?:batches|chat|files|models|tokenizers|users)(?:/.*)?$|/chat/completions$")

#: What calls use where no port is named.
_HTTPS_PORT = 443

_REMEDY = "Write it as https://name/v1."


def read_base_url(conn_id: str, *, host: str | None, port: int | str | None, schema: str | None, region: str) -> str:
    """Return where calls go, without a trailing slash.

    :param port: Some secrets backends give it as text.
    :param schema: A path, where Airflow puts the one of a URI, or `http` or `https`, as in its other connections.
    :param region: Its own host is taken where the connection names none.
    """
    host, schema = (host or "").strip(), (schema or "").strip()
    scheme = schema.lower() if schema.lower() in ("http", "https") else ""
    port = _port(conn_id, port)
    if not host and port not in (None, _HTTPS_PORT):
        raise KimiConnectionConfigError.of(
            conn_id, f"has port {port} but no Base URL", "Put the host into Base URL, or leave the port empty."
        )
    parts = _split(conn_id, host or str(urlsplit(REGION_BASE_URLS[region]).hostname), scheme)
    path = _path(conn_id, parts.path, "" if scheme else schema)
    netloc = parts.netloc.removesuffix(":")
    if host and port and parts.port is None:
        netloc = f"{netloc}:{port}"
    base_url = f"{parts.scheme}://{netloc}{path}"
    if (own := region_of(base_url)) and path != "/v1":
        raise KimiConnectionConfigError.of(
            conn_id,
            f"has the path {path!r} for Kimi's own host, whose API is at {REGION_BASE_URLS[own]}",
            "Put the host of a gateway into Base URL, or leave the path out.",
        )
    return base_url


def _port(conn_id: str, port: int | str | None) -> int | None:
    """Read a port, which is 0 where Airflow's form has none."""
    text = str(port or 0).strip() or "0"
    if not (text.isascii() and text.isdecimal() and int(text) < 1 << 16):
        raise KimiConnectionConfigError.of(
            conn_id, f"has port {port!r}", "Give a whole number up to 65535, or leave the port empty."
        )
    return int(text) or None


def _split(conn_id: str, host: str, scheme: str) -> SplitResult:
    try:
        parts = urlsplit(_with_scheme(host, scheme))
        _ = parts.port  # refuses what is not a number
        _ = "[" in parts.netloc and ip_address(parts.hostname or "")
    except ValueError:
        shown = "its port or brackets are wrong" if {"@", "?"} & set(host) else repr(host)
        raise KimiConnectionConfigError.of(conn_id, f"has a Base URL that is not a URL: {shown}", _REMEDY) from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise KimiConnectionConfigError.of(conn_id, "has a Base URL with credentials or a query in it", _REMEDY)
    if not parts.hostname or not _HOST_NAME.fullmatch(parts.hostname):
        raise KimiConnectionConfigError.of(conn_id, f"has a Base URL without a valid host name: {host!r}", _REMEDY)
    if scheme and scheme != parts.scheme:
        raise KimiConnectionConfigError.of(
            conn_id, f"has {scheme!r} in Schema, but {parts.scheme}:// in its Base URL", "Leave Schema empty."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise KimiConnectionConfigError.of(
            conn_id,
            f"would send its key unencrypted to {parts.hostname!r} ({parts.scheme}://)",
            "Use https; http is accepted for loopback addresses only.",
        )
    return parts


def _with_scheme(host: str, scheme: str) -> str:
    if "://" in host or host.startswith(("http:", "https:")):
        return host
    return f"{scheme or ('http' if is_loopback(urlsplit(f'//{host}').hostname) else 'https')}://{host}"


def _path(conn_id: str, of_host: str, of_schema: str) -> str:
    """Return the path of the API: that of the host, or the one that a URI has behind it."""
    if not _PATH.fullmatch(of_schema):
        raise KimiConnectionConfigError.of(
            conn_id, f"has {of_schema!r} in Schema, which is not a path", "Put the whole URL into Base URL."
        )
    one, other = (_CALL.sub("", re.sub("/+", "/", f"/{path}").rstrip("/")) for path in (of_host, of_schema))
    if one and other and one != other:
        raise KimiConnectionConfigError.of(
            conn_id,
            f"has two paths, {one!r} in its Base URL and {other!r} in Schema",
            "Put the whole URL into Base URL, and leave Schema empty.",
        )
    return one or other or "/v1"


def is_loopback(hostname: str | None) -> bool:
    """Whether a host name means this machine."""
    if hostname == "localhost":
        return True
    try:
        return ip_address(hostname or "").is_loopback
    except ValueError:
        return False


def region_of(base_url: str) -> str | None:
    """Compare whole host names, because a name that only begins like the platform's belongs to another owner."""
    hostname = urlsplit(base_url).hostname
    return next((region for region, url in REGION_BASE_URLS.items() if urlsplit(url).hostname == hostname), None)
