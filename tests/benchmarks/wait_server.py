"""A platform whose batches only wait: each call takes a tenth of a second, batch `i` of `n` ends 20 to 25 seconds on.

It answers as Kimi and OpenAI do (`/v1/batches`), and as Anthropic does (`/v1/messages/batches`), and counts. So cheap
that it never bounds what is measured against it.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LATENCY_SECONDS = 0.1
FIRST_END_SECONDS = 20.0
LAST_END_SECONDS = 25.0


class Waiting:
    """The batches, and what was asked about them."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, count: int, stretch: float = 1.0) -> dict[str, Any]:
        """Create new batches; `stretch` makes everything take so many times longer."""
        self.count, self.stretch = count, stretch
        self.begun = time.time()
        self.requests = self.opened = self.open = self.most_open = 0
        return {"begun": self.begun}

    def end_of(self, number: int) -> float:
        """When a batch ends, in unix seconds."""
        share = number / max(1, self.count - 1)
        return self.begun + self.stretch * (FIRST_END_SECONDS + share * (LAST_END_SECONDS - FIRST_END_SECONDS))

    def batch(self, number: int) -> dict[str, Any]:
        """One batch as it stands now."""
        done = time.time() >= self.end_of(number)
        return {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": f"file-{number}",
            "completion_window": "24h",
            "status": "completed" if done else "in_progress",
            "created_at": int(self.begun),
            "in_progress_at": int(self.begun),
            "expires_at": int(self.begun) + 86_400,
            "output_file_id": f"file-out-{number}" if done else None,
            "error_file_id": None,
            "request_counts": {"total": 1000, "completed": 1000 if done else 0, "failed": 0},
            "metadata": {"airflow_dag_id": "reviews", "airflow_run_id": "scheduled__2026-11-27", "kimi_shard": "1/1"},
        }

    def message_batch(self, number: int) -> dict[str, Any]:
        """One batch in Anthropic's words."""
        done = time.time() >= self.end_of(number)
        counts = {"processing": 0 if done else 1000, "succeeded": 1000 if done else 0}
        return {
            "id": f"batch_{number}",
            "type": "message_batch",
            "processing_status": "ended" if done else "in_progress",
            "request_counts": {**counts, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": "2026-11-27T00:00:00Z",
            "expires_at": "2026-11-28T00:00:00Z",
            "ended_at": "2026-11-27T00:00:25Z" if done else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": None,
        }

    def answer(self, target: str) -> dict[str, Any]:
        """Answer a GET."""
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case ["begin"]:
                return self.begin(int(query["n"]), float(query["stretch"]))
            case ["figures"]:
                return {"requests": self.requests, "opened": self.opened, "most_open": self.most_open}
            case ["v1", "batches"]:
                newest = int(query["after"].removeprefix("batch_")) if "after" in query else self.count
                numbers = range(newest - 1, max(-1, newest - 1 - int(query["limit"])), -1)
                data = [self.batch(number) for number in numbers]
                return {"object": "list", "data": data, "has_more": bool(numbers) and numbers[-1] > 0}
            case ["v1", "batches", name]:
                return self.batch(int(name.removeprefix("batch_")))
            case ["v1", "messages", "batches", name]:
                return self.message_batch(int(name.removeprefix("batch_")))
        return {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive until the client closes it."""
        counted = False
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ", 2)[1].decode()
                if target.startswith("/v1"):
                    self.requests += 1
                    self.opened += not counted
                    self.open += not counted
                    counted = True
                    self.most_open = max(self.most_open, self.open)
                    await asyncio.sleep(LATENCY_SECONDS)
                body = json.dumps(self.answer(target)).encode()
                kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(kind + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= counted
            writer.close()


async def serve(certificate: Path | None) -> None:
    """Print the port, and serve until killed."""
    waiting = Waiting()
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    plain = await asyncio.start_server(waiting.serve, "127.0.0.1", 0, backlog=2048)
    measured = await asyncio.start_server(waiting.serve, "127.0.0.1", 0, backlog=2048, ssl=context)
    print(*(server.sockets[0].getsockname()[1] for server in (plain, measured)), flush=True)
    await measured.serve_forever()


@contextmanager
def running_wait_server(certificate: Path | None = None) -> Iterator[tuple[str, str]]:
    """Run the server in a process of its own, and yield its address for figures and the one to measure against.

    :param certificate: Key and certificate of a server that speaks TLS; None for one that does not.
    """
    command = [sys.executable, "-m", "tests.benchmarks.wait_server", *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            control, measured = process.stdout.readline().split()
            scheme = "https" if certificate else "http"
            yield f"http://127.0.0.1:{control}", f"{scheme}://localhost:{measured}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
