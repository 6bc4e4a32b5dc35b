"""A TCP server that keeps what arrives byte for byte, and answers with whatever bytes a test wants."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook

#: The key of the connection.
KEY = "sk-ours0123456789"

#: What is sent for a request: pieces of bytes, or seconds to pause between them.
Pieces = Iterable[bytes | float]


@dataclass
class RawServer:
    """Answers each request with pieces that its test chooses by the raw request."""

    answer: Callable[[bytes], Pieces]
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def head(self, request: int = -1) -> dict[str, str]:
        """The headers of a request, by their names in lower case."""
        return headers_of(self.requests[request])

    def serve(self, connection: socket.socket) -> None:
        while request := read_message(connection):
            self.requests.append(request)
            for piece in self.answer(request):
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                else:
                    time.sleep(piece)


def headers_of(request: bytes) -> dict[str, str]:
    """The headers of a request, by their names in lower case."""
    lines = request.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def read_message(connection: socket.socket) -> bytes:
    """Read a request or an answer; nothing if the other side has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(1 << 16)):
            return b""
        data += more
    head = data.split(b"\r\n\r\n")[0]
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(data) < len(head) + 4 + length:
        if not (more := connection.recv(1 << 16)):
            break
        data += more
    return data


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give each connection to a port of 127.0.0.1 to a function, and then close it."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handle(connection)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


@contextmanager
def raw_server(answer: Callable[[bytes], Pieces]) -> Iterator[RawServer]:
    """Run a server on a free port of 127.0.0.1."""
    server = RawServer(answer)
    with listening(server.serve) as server.port:
        yield server


def connect_to(monkeypatch: pytest.MonkeyPatch, base_url: str, **extra: object) -> KimiHook:
    """Point the connection `kimi_default` at a server, and return its hook."""
    fields = {"conn_type": "kimi", "host": base_url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
    return KimiHook()


def reply(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer. Underscores in the names of headers are hyphens."""
    kind = "text/html" if body.startswith(b"<") else "application/json"
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", f"content-type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
