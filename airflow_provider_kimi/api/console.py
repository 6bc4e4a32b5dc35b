"""Where people see batches: the console of the platform, or what the connection names in its place."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from airflow_provider_kimi.api.limits import REGION_CONSOLES
from airflow_provider_kimi.exceptions import KimiConnectionConfigError

#: What stands in braces, closed or not.
_BRACES = re.compile(r"\{[^{}]*\}|[{}]")

_BATCH_ID, _REGION = "{batch_id}", "{region}"

#: What no link may hold: spaces, quotes, brackets, invisible characters.
_NOT_OF_A_URL = re.compile(r"[^!-~]|[\"'<>`\\]")

_REMEDY = (
    "Give an http(s) URL without a user or a key, in which {batch_id} and {region} may stand behind the host: "
    "https://platform.kimi.com/console/projects/PROJECT/batches/{batch_id}."
)


def read_console_url(conn_id: str, value: str | None, api_key: str) -> str | None:
    """Read the template of links to a console; None if there is none.

    :raises KimiConnectionConfigError: Its links would lead nowhere, run something, or show the key. It is not repeated.
    """
    template = (value or "").strip()
    if not template:
        return None
    if fault := _fault(template, api_key):
        raise KimiConnectionConfigError.of(conn_id, f"has a console_url in its extra that {fault}", _REMEDY)
    return template


def _fault(template: str, api_key: str) -> str | None:
    try:
        parts = urlsplit(template)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an http(s) URL"
    if "@" in parts.netloc or api_key in template:
        return "holds a user, a password or a key, which a link would show"
    if _NOT_OF_A_URL.search(template):
        return "has a space, a quote or another character that no URL has"
    if _BRACES.search(parts.netloc) or not set(_BRACES.findall(template)) <= {_BATCH_ID, _REGION}:
        return "has other braces than {batch_id} and {region} behind its host"
    return None


def console_link(template: str | None, region: str, batch_ids: Sequence[str]) -> str:
    """Return where people see batches; of several, the first.

    :param template: What the connection names; None for the console of the region.
    """
    if template is None:
        return REGION_CONSOLES[region]
    if _BATCH_ID in template and not batch_ids:
        return "{0.scheme}://{0.netloc}/".format(urlsplit(template))
    values: Mapping[str, str] = {_BATCH_ID: batch_ids[0] if batch_ids else "", _REGION: region}
    return _BRACES.sub(lambda name: quote(values[name[0]], safe=""), template)
