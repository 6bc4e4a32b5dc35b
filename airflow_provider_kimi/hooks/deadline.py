"""Deadline: how long a blocking call may take as a whole. The HTTP client's own timeout restarts with every byte."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from socket import SOCK_STREAM, getaddrinfo
from time import monotonic
from typing import Any


class Limit:
    """The time that one call has.

    :param seconds: From now until its end.
    :param per_bytes: None for a limit of the whole call. A number for a limit of each so many bytes that come or go: a
        large file takes as long as it needs, as long as it moves.
    """

    def __init__(self, seconds: float, per_bytes: int | None = None) -> None:
        self._seconds = seconds
        self._per_bytes = per_bytes
        self._moved = 0
        self._end = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below zero where the call is overdue."""
        return self._end - monotonic()

    def moved(self, count: int) -> None:
        """Count bytes that came or went."""
        self._moved += count
        if self._per_bytes is not None and self._moved >= self._per_bytes:
            self._moved = 0
            self._end = monotonic() + self._seconds


_running: ContextVar[Limit | None] = ContextVar("limit of the running call", default=None)


@contextmanager
def limited(limit: Limit) -> Iterator[None]:
    """Keep what this thread sends and receives to a limit."""
    token = _running.set(limit)
    try:
        yield
    finally:
        _running.reset(token)


def within_limit(seconds: float) -> float:
    """Return so many seconds, or what is left of the limit that this thread keeps to, if that is less."""
    limit = _running.get()
    return seconds if limit is None else max(min(seconds, limit.left), 0.001)


def bound(http_client: Any) -> None:
    """Make a blocking HTTP client keep to limits, whichever proxies it goes through."""
    for transport in (http_client._transport, *http_client._mounts.values()):
        if transport is not None:
            pool = transport._pool
            library = import_module(type(pool).__module__.partition(".")[0])  # httpcore2, or httpcore below openai 3
            pool._network_backend = _Backend(pool._network_backend, library)


class _Bounded:
    """Something of the HTTP client's network, with every step kept to the limit.

    :param library: Its errors are raised when no time is left.
    """

    def __init__(self, inner: Any, library: Any) -> None:
        self._inner = inner
        self._library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _within(self, timeout: float | None, *, connects: bool = False) -> float | None:
        limit = _running.get()
        if limit is None:
            return timeout
        if (left := limit.left) <= 0:
            overdue = self._library.ConnectTimeout if connects else self._library.ReadTimeout
            raise overdue("the call took too long as a whole")
        return left if timeout is None else min(timeout, left)


class _Backend(_Bounded):
    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> "_Stream":
        """Try each address of a host in turn; the limit is for all of them."""
        fault: Exception | None = None
        for address in _addresses(host, port):
            try:
                within = self._within(timeout, connects=True)
                stream = self._inner.connect_tcp(address, port, timeout=within, **options)
            except UnicodeError as error:  # which the SDK would let pass
                raise self._library.ConnectError(f"{host} is not a host name") from error
            except Exception as error:
                fault = error
            else:
                return _Stream(stream, self._library)
        raise fault or self._library.ConnectError(f"{host} has no address")


#: Bytes that are sent at a time, so that the limit is looked at meanwhile: what the SDK reads of a file at once.
_WRITTEN_AT_ONCE = 1 << 16


class _Stream(_Bounded):
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._inner.read(max_bytes, self._within(timeout))
        _count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        for start in range(0, len(view), _WRITTEN_AT_ONCE):
            part = view[start : start + _WRITTEN_AT_ONCE]
            self._inner.write(part, self._within(timeout))
            _count(len(part))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Stream":
        within = self._within(timeout, connects=True)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, within), self._library)


def _count(moved: int) -> None:
    if (limit := _running.get()) is not None:
        limit.moved(moved)


def _addresses(host: str, port: int) -> Iterable[str]:
    with suppress(OSError, UnicodeError):
        return dict.fromkeys(str(found[4][0]) for found in getaddrinfo(host, port, type=SOCK_STREAM))
    return [host]  # the HTTP client says what is wrong with it
