"""A gate before an S3 server, at which one request meets its fate."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

#: What happens at a request: its sender is killed before it is carried out; it is refused with a 500, or carried out
#: and answered with a 500; or this one and all later ones are refused; or something
#: else is done just before it.
GateKind = Literal["killed", "refused", "lost", "down", "late"]

_CHANGES = frozenset({"PUT", "POST", "DELETE"})
_BUSY = b"<Error><Code>InternalError</Code><Message>We encountered an internal error. Try again.</Message></Error>"
_FORBIDDEN = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Gate:
    """Counts the requests that change something, and strikes at one of them.

    :param server: URL of the S3 server.
    """

    #: Whether the bucket may be listed; where it may not, a file that is not there is forbidden.
    may_list: bool

    def __init__(self, server: str) -> None:
        self._address = urlsplit(server).netloc
        self._lock = threading.Lock()
        self.url = ""
        self.may_list = True
        self.open()

    def open(self) -> None:
        """Let everything pass."""
        self.set("refused", 0)

    def set(self, kind: GateKind, at: int, kill: Callable[[], None] = lambda: None, *, reads: bool = False) -> None:
        """Strike at the n-th change from now on; `reads` counts the other requests instead."""
        with self._lock:
            self._kind, self._at, self._kill, self._reads = kind, at, kill, reads
            self.seen: list[str] = []

    def fate_of(self, method: str, path: str) -> GateKind | None:
        """Count a request, and say what happens to it; None lets it pass."""
        with self._lock:
            fate = self._counted(method, path)
            act = self._kill
        if fate in ("killed", "late"):
            act()
        return None if fate == "late" else fate

    def _counted(self, method: str, path: str) -> GateKind | None:
        if not self._at or (method in _CHANGES) == self._reads:
            return "down" if self._kind == "down" and self._at and len(self.seen) >= self._at else None
        self.seen.append(f"{method} {path}")
        number = len(self.seen)
        return self._kind if number == self._at or (self._kind == "down" and number > self._at) else None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
        """Have the server answer."""
        if self.may_list:
            return self._answered(method, path, headers, body)
        found: tuple[int, Any, bytes] = (403, {}, _FORBIDDEN)
        answer = found if "list-type" in path else self._answered(method, path, headers, body)
        return found if answer[0] == HTTPStatus.NOT_FOUND else answer

    def _answered(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms

        def log_message(self, *given: Any) -> None:
            """Print nothing."""

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fate = gate.fate_of(self.command, self.path)
            if fate == "killed":
                self.close_connection = True
                return
            status, headers, answer = 500, {}, _BUSY
            if fate not in ("refused", "down"):
                passed = gate.answer(self.command, self.path, _forwarded(self.headers), body)
                status, headers, answer = passed if fate is None else (500, {}, _BUSY)
            self._reply(status, headers, answer)

        def _reply(self, status: int, headers: Any, answer: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(0 if self.command == "HEAD" else len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass

    return Handler


def _forwarded(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in ("connection", "expect")}


@contextmanager
def gate_before(server: str) -> Iterator[Gate]:
    """Put a gate before a server."""
    gate = Gate(server)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(gate)) as listener:
        listener.daemon_threads = True
        gate.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            listener.shutdown()
            thread.join()
