"""A platform that only swallows uploads and gives files out: so cheap that it never bounds what is measured against it.

The simulator parses, checks and keeps what it is sent; here an upload is read into one buffer over and over, and a
file goes out by `sendfile`. The content of file `x` lies in the folder as `x`, batch `b` as `b.json`.
"""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import parse_headers
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, cast

#: Bytes read at once.
CHUNK_BYTES = 1 << 20


class DrainServer(ThreadingTCPServer):
    """Counts what it was sent, and gives every file and batch an id of its own."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), DrainHandler)
        self.folder = folder
        self.numbers = itertools.count(1)
        self.drained_bytes = 0
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, size: int, sent: dict[str, Any]) -> dict[str, Any] | None:
        """Answer a request; None for one that nobody is expected to make."""
        match method, path.split("?")[0].strip("/").split("/"):
            case "GET", ["drained"]:
                return {"bytes": self.drained_bytes}
            case "GET", ["v1", "models"]:
                return {"object": "list", "data": [{"id": "kimi-k2.6", "object": "model"}]}
            case "GET", ["v1", "files" | "batches"]:
                return {"object": "list", "data": [], "has_more": False}
            case "GET", ["v1", "batches", name]:
                return cast(dict[str, Any], json.loads((self.folder / f"{name}.json").read_text()))
            case "POST", ["v1", "files"]:
                added = {"id": f"file-{next(self.numbers)}", "object": "file", "bytes": size, "created_at": 0}
                return {**added, "filename": "input.jsonl", "purpose": "batch", "status": "ok"}
            case "POST", ["v1", "batches"]:
                added = {"id": f"batch-{next(self.numbers)}", "object": "batch", "created_at": 0}
                return {**sent, **added, "status": "validating"}
            case "DELETE", ["v1", kind, name]:
                return {"id": name, "object": kind, "deleted": True}
        return None


class DrainHandler(StreamRequestHandler):
    """One connection, kept alive until the client closes it."""

    rbufsize = CHUNK_BYTES
    disable_nagle_algorithm = True
    server: DrainServer

    def handle(self) -> None:
        self.buffer = memoryview(bytearray(CHUNK_BYTES))
        while first := self.rfile.readline().split():
            headers = parse_headers(self.rfile)
            if headers.get("Expect", "").lower() == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size, sent = self._body(headers)
            with self.server.lock:
                self.server.drained_bytes += size
            match first[1].decode().split("/"):
                case ["", "v1", "files", name, "content"]:
                    self._send(self.server.folder / name)
                case _:
                    self._reply(self.server.answer(first[0].decode(), first[1].decode(), size, sent))

    def _body(self, headers: Message) -> tuple[int, dict[str, Any]]:
        """Read a body to its end, and return its size and, of JSON, the content."""
        length = int(headers.get("Content-Length", 0))
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._drain_chunks(), {}
        if headers.get_content_type() == "application/json" and length:
            return length, json.loads(self.rfile.read(length))
        return self._drain(length), {}

    def _drain_chunks(self) -> int:
        size = 0
        while length := int(self.rfile.readline().split(b";")[0], 16):
            size += self._drain(length)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return size

    def _drain(self, length: int) -> int:
        left = length
        while left:
            got = self.rfile.readinto(self.buffer[:left])
            if not got:
                raise ConnectionError("the client closed the connection in the middle of a body")
            left -= got
        return length

    def _send(self, path: Path) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nContent-Length: {path.stat().st_size}\r\n\r\n"
        self.wfile.write(head.encode())
        with path.open("rb") as content:
            self.connection.sendfile(content)

    def _reply(self, answer: dict[str, Any] | None) -> None:
        status = "200 OK" if answer is not None else "404 Not Found"
        body = json.dumps(answer or {"error": {"message": "not a call of the benchmark"}}).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


@contextmanager
def running_drain(folder: Path) -> Iterator[str]:
    """Run the server in a process of its own, and yield its address."""
    command = [sys.executable, "-m", "tests.benchmarks.drain_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    with DrainServer(Path(sys.argv[1])) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
