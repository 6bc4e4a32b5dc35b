"""A platform that does what its test says, however odd: how batches end, and how creates are answered."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

#: What a create is answered with: a status and a body; None creates a batch.
Refuse = Callable[[dict[str, Any]], tuple[int, dict[str, Any]] | None]


def refusal(message: str, status: int = 429, kind: str = "rate_limit_reached_error") -> tuple[int, dict[str, Any]]:
    """An error of the platform."""
    return status, {"error": {"type": kind, "message": message}}


MODELS = ("kimi-k2.6", "kimi-k2.7-code")

NOT_FOUND = refusal("not found", 404, "resource_not_found_error")


@dataclass
class OddPlatform:
    """The platform.

    :param clock: By how many seconds its clock is ahead.
    :param lists_metadata: Whether the list of batches shows metadata.
    :param carries_out: Whether a refused create makes a batch all the same.
    :param chats: What chat calls have asked.
    :param ids: Names a file or a batch, by its kind and its number.
    :param shows: How a batch is shown.
    :param writes_body: How the body of an answer stands in an output file.
    """

    refuse: Refuse = lambda create: None
    balance: float | None = 100.0
    clock: float = 0.0
    lists_metadata: bool = True
    carries_out: bool = False
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    chats: list[str] = field(default_factory=list)
    ids: Callable[[str, int], str] = "{}_{:04}".format
    shows: Callable[[dict[str, Any]], dict[str, Any]] = dict
    writes_body: Callable[[dict[str, Any]], object] = dict
    base_url: str = ""
    api_key: str = "sk-odd-platform"
    _number: Iterator[int] = field(default_factory=lambda: count(1))

    def advance(self, seconds: float) -> None:
        """Move its clock on."""
        self.clock += seconds

    def now(self) -> float:
        """Unix seconds there."""
        return time.time() + self.clock

    def keep(self, name: str, content: bytes) -> str:
        """Keep a file."""
        file_id = self.ids("file", next(self._number))
        self.files[file_id] = name, content
        return file_id

    def lines(self, batch_id: str) -> list[dict[str, Any]]:
        """The requests of a batch."""
        return [json.loads(line) for line in self.files[self.batches[batch_id]["input_file_id"]][1].splitlines()]

    def asked(self) -> list[list[str]]:
        """The ids that each batch asks for."""
        return [[line["custom_id"] for line in self.lines(batch_id)] for batch_id in self.batches]

    def complete(self, batch_id: str, *, status: str = "completed", rows: int | None = None) -> None:
        """End a batch, with answers to its first rows."""
        lines = self.lines(batch_id)
        done = lines if rows is None else lines[:rows]
        answers = b"".join(json.dumps(self._written(line)).encode() + b"\n" for line in done)
        self.batches[batch_id] |= {
            "status": status,
            "output_file_id": self.keep(f"{batch_id}.jsonl", answers) if done else None,
            "request_counts": {"total": len(lines), "completed": len(done), "failed": 0},
            "completed_at": int(self.now()),
        }

    def _written(self, line: dict[str, Any]) -> dict[str, Any]:
        answer = _answer(line)
        answer["response"]["body"] = self.writes_body(answer["response"]["body"])
        return answer

    def complete_all(self) -> None:
        """End every batch that runs."""
        for batch_id in self.running():
            self.complete(batch_id)

    def running(self) -> list[str]:
        """The batches that run."""
        return [batch_id for batch_id, batch in self.batches.items() if batch["status"] == "in_progress"]

    def fail(self, batch_id: str, reason: str | None = None) -> None:
        """Let a batch fail before its rows are counted."""
        self.batches[batch_id] |= {"status": "failed", "failed_at": int(self.now())}
        if reason is not None:
            self.give_reason(batch_id, reason)

    def give_reason(self, batch_id: str, reason: str) -> None:
        """Give a failed batch an error file."""
        line = {"error": {"code": "failed", "message": reason}}
        self.batches[batch_id]["error_file_id"] = self.keep("errors", json.dumps(line).encode() + b"\n")

    def create(self, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a create."""
        refused = self.refuse(sent)
        if refused and not self.carries_out:
            return refused
        if sent["input_file_id"] not in self.files:
            return refusal(f"file {sent['input_file_id']} not found", 400, "invalid_request_error")
        batch_id, now = self.ids("batch", next(self._number)), int(self.now())
        self.batches[batch_id] = {
            "id": batch_id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "status": "in_progress",
            "input_file_id": sent["input_file_id"],
            "completion_window": "24h",
            "created_at": now,
            "in_progress_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": sent.get("metadata"),
        }
        return refused or (200, self.shows(self.batches[batch_id]))

    def cancel(self, batch_id: str) -> tuple[int, dict[str, Any]]:
        """Answer a cancel."""
        batch = self.batches[batch_id]
        if batch["status"] != "in_progress":
            return refusal("it has ended", 400, "invalid_request_error")
        batch["status"] = "cancelled"
        return 200, self.shows(batch)

    def listed(self, after: str | None) -> dict[str, Any]:
        """A page of batches, the newest first."""
        newest = list(reversed(self.batches.values()))
        begin = 1 + next((at for at, batch in enumerate(newest) if batch["id"] == after), -1)
        hidden: dict[str, Any] = {} if self.lists_metadata else {"metadata": None}
        page = [self.shows(batch | hidden) for batch in newest[begin : begin + 100]]
        return {"object": "list", "data": page, "has_more": begin + 100 < len(newest)}

    def file(self, file_id: str) -> dict[str, Any]:
        """A file, as it is listed."""
        name, content = self.files[file_id]
        shown = {"id": file_id, "object": "file", "bytes": len(content), "created_at": int(self.now())}
        return shown | {"filename": name, "purpose": "batch", "status": "ready"}

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, Any]:
        """Answer any call."""
        self.calls.append(f"{method} {path}")
        match path.strip("/").split("/")[1:]:
            case ["models"]:
                return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]}
            case ["users", "me", "balance"] if self.balance is not None:
                money = {"available_balance": self.balance, "voucher_balance": 0, "cash_balance": self.balance}
                return 200, {"code": 0, "scode": "0x0", "status": True, "data": money}
            case ["chat", "completions"]:
                asked = json.loads(body)
                self.chats.append(asked["messages"][-1]["content"])
                return 200, _answer({"custom_id": "", "body": asked})["response"]["body"]
            case ["files", *place]:
                return self.answer_files(method, place, body)
            case ["batches", *place]:
                return self.answer_batches(method, place, query, body)
        return NOT_FOUND

    def answer_files(self, method: str, place: list[str], body: bytes) -> tuple[int, Any]:
        """Answer a call of the Files API."""
        match place:
            case [] if method == "POST":
                return 200, self.file(self.keep(*_uploaded(body)))
            case []:
                return 200, {"object": "list", "data": [self.file(each) for each in self.files], "has_more": False}
            case [file_id, "content"] if file_id in self.files:
                return 200, self.files[file_id][1]
            case [file_id] if file_id in self.files and method == "DELETE":
                del self.files[file_id]
                return 200, {"id": file_id, "object": "file", "deleted": True}
            case [file_id] if file_id in self.files:
                return 200, self.file(file_id)
        return NOT_FOUND

    def answer_batches(self, method: str, place: list[str], query: str, body: bytes) -> tuple[int, Any]:
        """Answer a call of the Batch API."""
        match place:
            case [] if method == "POST":
                return self.create(json.loads(body))
            case []:
                after = re.search(r"after=([^&]+)", query)
                return 200, self.listed(after and after[1])
            case [batch_id] if batch_id in self.batches:
                return 200, self.shows(self.batches[batch_id])
            case [batch_id, "cancel"] if batch_id in self.batches:
                return self.cancel(batch_id)
        return NOT_FOUND


def _answer(line: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "positive"}
    body = {
        "id": "chat",
        "object": "chat.completion",
        "model": line["body"]["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "line", "custom_id": line["custom_id"], "response": response, "error": None}


def _uploaded(body: bytes) -> tuple[str, bytes]:
    boundary = body.split(b"\r\n", 1)[0]
    for part in body.split(boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if name := re.search(rb'filename="([^"]+)"', head):
            return name[1].decode(), content.removesuffix(b"\r\n")
    raise AssertionError("no file was sent")


@contextmanager
def odd_platform(**settings: Any) -> Iterator[Any]:
    """Run an `OddPlatform` on a free port; it can stand for a simulator."""
    platform = OddPlatform(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, _, query = self.path.partition("?")
            status, found = platform.answer(self.command, path, query, body)
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response_only(status)
            self.send_header("date", formatdate(platform.now(), usegmt=True))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _reply

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    platform.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
