"""The SDK's clients, with everything said explicitly: nothing of a worker's environment reaches our requests.

Importing this module loads the SDK and an HTTP client, so it is imported at the first call.
"""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI, Timeout  # noqa: TID253

from airflow_provider_kimi.api.base_url import is_loopback
from airflow_provider_kimi.api.errors import unix_time
from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.api.unreachable import CONNECT_TIMEOUT_SECONDS, chain_of, safe_cause, unusable_client
from airflow_provider_kimi.hooks.deadline import bound

#: What the SDK reads from the worker's environment where it is not given.
_OF_ENVIRONMENT = ("organization", "project", "admin_api_key", "webhook_secret")


class PlatformClock:
    """What the answers of a client say about the platform's clock."""

    #: Platform time minus local time, as of the last answer with a date; None before one.
    skew_seconds: float | None = None

    def note(self, response: Any) -> None:
        """Read the time of an answer; one without gets ours, which a Retry-After with a date is measured by."""
        now = time.time()
        if (platform := unix_time(response.headers.get("date"))) is not None:
            self.skew_seconds = platform - now
        else:
            response.headers["date"] = formatdate(now + (self.skew_seconds or 0.0), usegmt=True)

    async def anote(self, response: Any) -> None:
        """Read the time of an answer to the async client."""
        self.note(response)


class KimiClient(OpenAI):
    """The SDK's client for one connection.

    :param options: As for the SDK's client.
    """

    def __init__(self, *, clock: PlatformClock | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock or PlatformClock()
        self.proxy = _proxy_of(self)
        _forget_environment(self, options)


class AsyncKimiClient(AsyncOpenAI):
    """The SDK's async client for one connection.

    :param options: As for the SDK's client.
    """

    def __init__(self, *, clock: PlatformClock | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock or PlatformClock()
        self.proxy = _proxy_of(self)
        _forget_environment(self, options)


class _HttpClient(DefaultHttpxClient):
    """Closes its connections when nobody holds it any more, like the one that the SDK makes itself."""

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be built
            self.close()


def build_client(settings: ConnectionSettings) -> KimiClient:
    """Return a blocking client, whose calls keep to `hooks.deadline`.

    :raises KimiConnectionConfigError: The environment of this process does not allow one.
    """
    clock = PlatformClock()
    with _building(settings):
        http_client = _HttpClient(event_hooks={"response": [clock.note]}, **_http_options(settings))
        bound(http_client)
        return KimiClient(clock=clock, http_client=http_client, **_options(settings))


def build_async_client(settings: ConnectionSettings) -> AsyncKimiClient:
    """Return a client for an event loop.

    :raises KimiConnectionConfigError: The environment of this process does not allow one.
    """
    clock = PlatformClock()
    with _building(settings):
        http_client = DefaultAsyncHttpxClient(event_hooks={"response": [clock.anote]}, **_http_options(settings))
        return AsyncKimiClient(clock=clock, http_client=http_client, **_options(settings))


@contextmanager
def _building(settings: ConnectionSettings) -> Iterator[None]:
    """Say in words why the proxies and certificates of this process allow no client."""
    try:
        _check_certificates(settings)
        yield
    except Exception as error:
        if (found := unusable_client(error, settings, os.environ)) is None:
            raise
        raise found from safe_cause(chain_of(error))


def _check_certificates(settings: ConnectionSettings) -> None:
    """Refuse directories of certificates that are not there, which the HTTP client takes for empty ones."""
    directories = os.environ.get("SSL_CERT_DIR")
    if not directories or os.environ.get("SSL_CERT_FILE") or not settings.base_url.startswith("https:"):
        return
    if not any(Path(directory).is_dir() for directory in directories.split(os.pathsep)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directories)


def _proxy_of(client: Any) -> str:
    """The address of the proxy that calls go through, without credentials; empty if there is none."""
    url = getattr(getattr(client._client._transport_for_url(client.base_url), "_pool", None), "_proxy_url", None)
    if url is None:
        return ""
    host = url.host.decode()
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme.decode()}://{f'[{host}]' if ':' in host else host}{port}"


def timeout_of(seconds: float) -> Timeout:
    """Return a timeout of the HTTP client."""
    return Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT_SECONDS))


def _options(settings: ConnectionSettings) -> dict[str, Any]:
    _quieten()
    timeout = timeout_of(settings.timeout_seconds)
    return {"api_key": settings.api_key, "base_url": settings.base_url, "max_retries": 0, "timeout": timeout}


def _http_options(settings: ConnectionSettings) -> dict[str, Any]:
    """No redirect is followed, and no proxy stands between this machine and itself."""
    host = urlsplit(settings.base_url).hostname or ""
    authority = f"[{host}]" if ":" in host else host
    own = {f"all://{authority}": None} if is_loopback(host) else {}
    return {"follow_redirects": False, "mounts": own}


def _forget_environment(client: Any, given: dict[str, Any]) -> None:
    """Take back what the SDK has read from the environment, also when it copies a client for `with_options`."""
    for name in _OF_ENVIRONMENT:
        setattr(client, name, given.get(name))
    client._custom_headers = dict(given.get("default_headers") or {})  # no OPENAI_CUSTOM_HEADERS


def _quieten() -> None:
    """Keep polls and prompts out of task logs: OPENAI_LOG makes the SDK, and below openai 3 httpx, log requests.

    Where Airflow logs at DEBUG, the network logs a proxy's password, and the account's id and cookies of each answer.
    """
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
        log = logging.getLogger(name)
        if log.level == logging.NOTSET or "OPENAI_LOG" in os.environ:
            log.setLevel(logging.WARNING)
