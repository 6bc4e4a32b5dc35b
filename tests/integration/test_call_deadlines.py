"""A blocking call ends within its timeout, however slowly the server sends or reads; only a file that moves may not."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from airflow_provider_kimi.exceptions import KimiApiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.support.every_call import ASYNC_CALLS, CALLS, answer_to
from tests.support.raw_server import Pieces, connect_to, raw_server, reply

TIMEOUT = 0.4

#: How much later than its timeout a call may end.
MARGIN = 1.0

BATCH = reply(b'{"id": "batch_1", "status": "completed"}')


def trickle(data: bytes) -> Iterator[bytes | float]:
    """Send a byte, pause, and so on: each comes long before the timeout of a single read."""
    for byte in data:
        yield bytes((byte,))
        yield 0.05


def trickled_headers(request: bytes) -> Pieces:
    return trickle(reply(b"{}", x_filler="x" * 400))


def trickled_body(request: bytes) -> Pieces:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
    yield from trickle(b" " * 500)


def trickled_chunks(request: bytes) -> Pieces:
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    for _ in range(400):
        yield b"1\r\n \r\n"
        yield 0.05


def processing_for_ever(request: bytes) -> Pieces:
    for _ in range(400):
        yield b"HTTP/1.1 102 Processing\r\n\r\n"
        yield 0.05


ANSWERS = [trickled_headers, trickled_body, trickled_chunks, processing_for_ever]


def seconds_until_no_answer(call: Callable[[], object]) -> float:
    begin = time.monotonic()
    with pytest.raises(KimiNoAnswerError, match=rf"did not answer within {TIMEOUT:g} s"):
        call()
    return time.monotonic() - begin


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
@pytest.mark.parametrize("call", ["get_batch", "create_batch", "upload_file", "download_file"])
def test_a_call_whose_answer_trickles_ends_within_its_timeout(
    monkeypatch: pytest.MonkeyPatch, call: str, answer: Callable[[bytes], Pieces]
) -> None:
    with raw_server(answer) as server:
        hook = connect_to(monkeypatch, server.base_url, timeout=TIMEOUT)
        assert seconds_until_no_answer(lambda: CALLS[call](hook)) < TIMEOUT + MARGIN


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("upload_file", "download_file")])
def test_every_other_call_is_bounded_in_a_thread_too(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Where no signal could end it."""
    took: list[float] = []
    with raw_server(trickled_headers) as server:
        hook = connect_to(monkeypatch, server.base_url, timeout=TIMEOUT)
        thread = threading.Thread(target=lambda: took.append(seconds_until_no_answer(lambda: CALLS[call](hook))))
        thread.start()
        thread.join(TIMEOUT + MARGIN)
    assert len(took) == 1


def test_the_next_call_after_an_overdue_one_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[Pieces] = iter([trickled_body(b""), [BATCH]])
    with raw_server(lambda request: next(answers)) as server:
        hook = connect_to(monkeypatch, server.base_url, timeout=TIMEOUT)
        seconds_until_no_answer(lambda: hook.get_batch("batch_1"))
        assert hook.get_batch("batch_1").status == "completed"


def test_an_upload_to_a_server_that_stops_reading_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and never reads
        hook = connect_to(monkeypatch, f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout=TIMEOUT)
        content = io.BytesIO(bytes(30_000_000))  # more than all buffers between the two hold
        assert seconds_until_no_answer(lambda: hook.upload_file(content, "a.png", "image")) < TIMEOUT + MARGIN


def test_a_download_that_moves_takes_as_long_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = 8
    part = bytes(1 << 15)

    def answer(request: bytes) -> Pieces:
        yield f"HTTP/1.1 200 OK\r\ncontent-length: {pieces * len(part)}\r\n\r\n".encode()
        for _ in range(pieces):
            yield 0.1
            yield part

    with raw_server(answer) as server:
        hook = connect_to(monkeypatch, server.base_url, timeout=TIMEOUT)
        begin = time.monotonic()
        assert hook.download_file("file_1", io.BytesIO()) == pieces * len(part)
        assert time.monotonic() - begin > TIMEOUT


def test_an_upload_that_moves_takes_as_long_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.BytesIO):
        """Comes from a slow disk."""

        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.1)
            return super().read(size)

    with raw_server(answer_to) as server:
        hook = connect_to(monkeypatch, server.base_url, timeout=TIMEOUT)
        begin = time.monotonic()
        assert hook.upload_file(Slow(bytes(800_000)), "a.png", "image").id == "batch_1"
        assert time.monotonic() - begin > TIMEOUT


# The platform's clock

DATE = "Thu, 26 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize("call", ["get_batch", "aget_batch", "download_file"])
@pytest.mark.parametrize("ahead", [-86_400, 0, 3600])
def test_a_hook_knows_how_far_the_platforms_clock_is_ahead(
    monkeypatch: pytest.MonkeyPatch, call: str, ahead: int
) -> None:
    def answer(request: bytes) -> Pieces:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + ahead))
        return [reply(b'{"id": "batch_1", "status": "completed"}', date=date)]

    async def once(hook: KimiHook) -> float | None:
        await ASYNC_CALLS[call](hook)
        skew = hook.clock_skew_seconds
        await hook.aclose()
        return skew

    with raw_server(answer) as server:
        hook = connect_to(monkeypatch, server.base_url)
        assert hook.clock_skew_seconds is None
        skew = asyncio.run(once(hook)) if call in ASYNC_CALLS else (CALLS[call](hook), hook.clock_skew_seconds)[1]
    assert skew == pytest.approx(ahead, abs=2.5)


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_an_answer_without_a_date_says_nothing_of_the_clock(monkeypatch: pytest.MonkeyPatch, date: str | None) -> None:
    headers = {} if date is None else {"date": date}
    answers = iter([reply(b"{}", "404 Not Found", date=DATE), reply(b'{"data": []}', **headers)])
    with raw_server(lambda request: [next(answers)]) as server:
        hook = connect_to(monkeypatch, server.base_url)
        hook.test_connection()  # a refusal has a date too
        before = hook.clock_skew_seconds
        hook.list_files()
        assert hook.clock_skew_seconds == before is not None


@pytest.mark.parametrize("has_date", [True, False])
def test_a_point_in_time_to_come_back_is_measured_by_the_platforms_clock(
    monkeypatch: pytest.MonkeyPatch, has_date: bool
) -> None:
    """The worker's clock is an hour behind; only a platform that never says its time is measured by that."""
    ahead = 3600.0 if has_date else 0.0

    def answer(request: bytes) -> Pieces:
        now = time.time() + ahead
        headers = {"date": formatdate(now, usegmt=True)} if has_date else {}
        return [reply(b"{}", "503 Busy", retry_after=formatdate(now + 300, usegmt=True), **headers)]

    with raw_server(answer) as server, pytest.raises(KimiApiError) as caught:
        connect_to(monkeypatch, server.base_url).get_batch("batch_1")
    assert caught.value.retry_after_seconds == pytest.approx(300, abs=2)
