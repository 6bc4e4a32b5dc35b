"""A port before the simulator that refuses connections from a point that a test chooses."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.raw_server import read_message


@dataclass
class Relay:
    """A port before the simulator, which closes behind some answers, and opens again when it is told to.

    :param target: The simulator's Base URL.
    :param answers: How many it lets through before it closes; below zero, all.
    """

    target: str
    answers: int = -1
    port: int = 0
    requests: list[str] = field(default_factory=list)
    _listener: socket.socket | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def open(self, answers: int = -1) -> None:
        """Take connections, if it does not."""
        self.answers = answers
        if self._listener is not None:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            request = read_message(client)
            self.requests.append(request.split(b" HTTP/1.1")[0].split(b"?")[0].decode())
            with socket.create_connection(("127.0.0.1", urlsplit(self.target).port)) as platform:
                platform.sendall(request)
                answer = read_message(platform)
            self.answers -= 1
            if not self.answers:
                self.close()
            client.sendall(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
