"""Chat calls against a host that answers otherwise than the platform should: no paid answer is lost, nothing leaks."""

import gzip
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.realtime import AskedRow, RealtimeRound
from airflow_provider_kimi.records.realtime import read_line
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.realtime import AnswerParts

KEY = "sk-of-the-tests-0123456789"
SECRET = "a prompt that nobody may see"

#: What the host does with the call of a number, from 0: it writes on the open connection itself.
Script = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script
    calls: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.calls.append(self.path)
        type(self).script(self, len(self.calls) - 1)

    def send(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None: ...


def answer(**fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    return json.dumps({"id": "c", "model": "kimi-k2.6", "choices": [choice], "usage": usage, **fields}).encode()


@contextmanager
def host(script: Script, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> Iterator[list[str]]:
    calls: list[str] = []
    handler = type("Scripted", (Handler,), {"script": staticmethod(script), "calls": calls})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    fields = {"conn_type": "kimi", "host": address, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
    try:
        yield calls
    finally:
        server.shutdown()
        server.server_close()


def rows(number: int) -> Iterator[AskedRow]:
    for n in range(number):
        yield AskedRow(f"r{n}", "batch_1", {"model": "kimi-k2.6", "messages": [{"role": "user", "content": SECRET}]})


class Said:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, *args: Any) -> None:
        self.lines.append(event % args)

    warning = info


def round_of(folder: Path, log: Said | None = None, **options: Any) -> RealtimeRound:
    calls = Calls(KimiHook(), log or Said(), lambda seconds: None, jitter=lambda: 0.0)
    parts = options.pop("parts", None) or AnswerParts(OutputDirectory(str(folder)), ".kimi-chat-a-")
    return RealtimeRound(calls, parts, **{"is_killed": lambda: False, **options})


def kept(folder: Path) -> list[str]:
    lines = [line for part in sorted(folder.glob(".kimi-chat-*.jsonl")) for line in part.read_bytes().splitlines()]
    return sorted(found.custom_id for line in lines if (found := read_line(line)))


def gzipped(handler: Handler, number: int) -> None:
    handler.send(gzip.compress(answer()), content_encoding="gzip")


def chunked(handler: Handler, number: int) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for byte in answer():
        handler.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")


def until_closed(handler: Handler, number: int) -> None:
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + answer())


def bare(handler: Handler, number: int) -> None:
    handler.send(b'{"choices": [{"message": {"content": "yes"}}]}', content_type="text/html")


def of_another_model(handler: Handler, number: int) -> None:
    handler.send(answer(model="kimi-k9", id=None, usage=None, created=10**30))


def spaced(handler: Handler, number: int) -> None:
    handler.send(b"\n" * 50 + answer() + b"\n\n")


@pytest.mark.parametrize("script", [gzipped, chunked, until_closed, bare, of_another_model, spaced])
def test_an_answer_in_an_odd_form_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: Script) -> None:
    with host(script, monkeypatch) as calls:
        round = round_of(tmp_path)
        round.ask(rows(9))
    assert (round.answered, round.unfinished, len(calls)) == (9, "", 9)
    assert kept(tmp_path) == sorted(row.custom_id for row in rows(9))


def html(handler: Handler, number: int) -> None:
    handler.send(f"<html>{SECRET} {KEY}</html>".encode(), content_type="text/html")


def empty(handler: Handler, number: int) -> None:
    handler.send(b"")


def error_in_200(handler: Handler, number: int) -> None:
    handler.send(json.dumps({"error": {"message": f"{SECRET} {KEY}", "type": "engine_overloaded_error"}}).encode())


def streamed(handler: Handler, number: int) -> None:
    handler.send(b"data: " + answer() + b"\n\ndata: [DONE]\n\n", content_type="text/event-stream")


def cut(handler: Handler, number: int) -> None:
    handler.send(answer(), content_length="9999")
    handler.close_connection = True


def redirected(handler: Handler, number: int) -> None:
    handler.send(b"", 307, location=f"https://user:{KEY}@elsewhere.example/v1")


def key_refused(handler: Handler, number: int) -> None:
    said = {"error": {"message": f"<org-abc123><ak-secret99> {KEY}", "type": "invalid_authentication_error"}}
    handler.send(json.dumps(said).encode(), 401)


def limited(handler: Handler, number: int) -> None:
    said = {"error": {"message": "<org-abc123><ak-secret99> slow down", "type": "rate_limit_reached_error"}}
    handler.send(json.dumps(said).encode(), 429, retry_after="999999999")


def refused_by_a_gateway(handler: Handler, number: int) -> None:
    handler.send(f"<html>Bad Request {SECRET}</html>".encode(), 400, content_type="text/html")


NEVER = [refused_by_a_gateway, html, empty, error_in_200, streamed, cut, redirected, key_refused, limited]


@pytest.mark.parametrize("script", NEVER)
def test_what_is_no_answer_ends_the_calls_soon_and_leaks_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    log = Said()
    caplog.set_level(logging.INFO)
    with host(script, monkeypatch) as calls:
        round = round_of(tmp_path, log)
        round.ask(rows(1000))
    assert round.answered == 0
    assert len(calls) < 60
    assert "The other rows were not asked" in round.unfinished
    said = "\n".join([round.unfinished, round.done, *log.lines, caplog.text])
    assert not any(secret in said for secret in (KEY, SECRET, "ak-secret99", "org-abc123"))
    assert kept(tmp_path) == []


def test_a_drip_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def drip(handler: Handler, number: int) -> None:
        if number >= 4:
            return handler.send(answer())
        handler.send_response(200)
        handler.send_header("content-length", "9999")
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" ")
                time.sleep(0.05)
        except OSError:
            pass
        return None

    with host(drip, monkeypatch, timeout=0.3):
        round = round_of(tmp_path, seconds=0.3)
        round.ask(rows(9))
    assert (round.answered, round.unfinished) == (9, "")


def test_a_long_wait_is_in_the_log_and_many_short_ones_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def slow_down(handler: Handler, number: int) -> None:
        seconds = {0: "7200", 1: "5", 2: "5", 3: "5"}.get(number)
        if seconds is None:
            return handler.send(answer())
        said = {"error": {"message": f"slow down, {KEY}", "type": "rate_limit_reached_error"}}
        return handler.send(json.dumps(said).encode(), 429, retry_after=seconds)

    log = Said()
    with host(slow_down, monkeypatch):
        round = round_of(tmp_path, log, at_once=1)
        round.ask(rows(9))
    assert round.answered == 9
    (line,) = log.lines
    assert "answered, and that are billed: 0" in line
    assert "slow down" in line
    assert "Trying again in 7,200 s." in line
    assert KEY not in line


class FailingOnce(AnswerParts):
    """Parts on a storage that fails once."""

    has_failed = False

    def write(self, lines: Sequence[bytes]) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise KeyError("what the storage says")
        super().write(lines)


def test_a_fault_that_nobody_foresaw_lets_calls_under_way_end_and_keeps_their_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def slow_but_first(handler: Handler, number: int) -> None:
        time.sleep(0.3 if number else 0)
        return handler.send(answer())

    with host(slow_but_first, monkeypatch) as calls:
        parts = FailingOnce(OutputDirectory(str(tmp_path)), ".kimi-chat-a-")
        round = round_of(tmp_path, at_once=4, parts=parts)
        with pytest.raises(KeyError):
            round.ask(rows(50))
    assert len(calls) == 4
    assert len(kept(tmp_path)) == 4
