"""Calls are repeated as long as that can help, and no longer."""

import io
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

import pytest

from airflow_provider_kimi.calls.patience import (
    PATIENCE_SECONDS,
    PAUSES_SECONDS,
    RATE_LIMIT_PATIENCE_SECONDS,
    Calls,
    Patience,
    next_pause,
)
from airflow_provider_kimi.exceptions import KimiApiError, KimiConnectionConfigError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.raw_server import connect_to, raw_server, reply


@dataclass
class Reader:
    """Raises the given errors in turn, then answers."""

    errors: list[Exception]
    calls: int = 0
    slept: list[float] = field(default_factory=list)
    log: LogRecord = field(default_factory=LogRecord)

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def read(self) -> str:
        sleep: Callable[[float], None] = self.slept.append
        return Calls(KimiHook(), self.log, sleep, jitter=lambda: 0.0).read(self)


def busy(retry_after_seconds: float | None = None) -> KimiApiError:
    return KimiApiError("busy.", status_code=429, retryable=True, retry_after_seconds=retry_after_seconds)


def down(retry_after_seconds: float | None = None) -> KimiApiError:
    return KimiApiError("down.", status_code=503, retryable=True, retry_after_seconds=retry_after_seconds)


def test_a_read_that_is_answered_at_once_needs_no_pause() -> None:
    reader = Reader([])
    assert reader.read() == "answer"
    assert (reader.calls, reader.slept, reader.log.warnings) == (1, [], [])


@pytest.mark.parametrize("faults", [1, 2, 3], ids=["1 fault", "2 faults", "3 faults"])
def test_a_read_is_repeated_until_a_passing_fault_is_over(faults: int) -> None:
    reader = Reader([KimiNoAnswerError("gone.") for _ in range(faults)])
    assert reader.read() == "answer"
    assert reader.calls == faults + 1
    assert reader.slept == [1.0, 4.0, 15.0][:faults]


def test_a_read_raises_the_last_of_too_many_passing_faults() -> None:
    reader = Reader([down(), down(), down(), KimiNoAnswerError("the last")])
    with pytest.raises(KimiNoAnswerError, match="the last"):
        reader.read()
    assert reader.calls == len(PAUSES_SECONDS) + 1
    assert reader.slept == [1.0, 4.0, 15.0]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KimiApiError("no", status_code=404), id="not found"),
        pytest.param(
            KimiApiError("no", status_code=429, error_type="exceeded_current_quota_error"), id="quota exceeded"
        ),
        pytest.param(KimiConnectionConfigError("no"), id="connection not usable"),
        pytest.param(ValueError("no"), id="a defect of ours"),
    ],
)
def test_a_read_raises_a_permanent_fault_at_once(error: Exception) -> None:
    reader = Reader([error])
    with pytest.raises(type(error), match="no") as caught:
        reader.read()
    assert caught.value is error
    assert (reader.calls, reader.slept) == (1, [])


def test_a_read_raises_a_permanent_fault_that_follows_a_passing_one() -> None:
    reader = Reader([down(), KimiApiError("gone", status_code=404)])
    with pytest.raises(KimiError, match="gone"):
        reader.read()
    assert reader.slept == [1.0]


def test_a_fault_that_says_it_lasts_may_be_taken_for_a_passing_one() -> None:
    patience = Patience(KimiHook())
    assert patience.pause_after(KimiApiError("not yet", status_code=404), may_pass=True) == 1.0
    assert patience.pause_after(KimiApiError("not yet", status_code=404)) is None


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        pytest.param(None, 1.0, id="no pause asked for"),
        pytest.param(0.0, 1.0, id="zero seconds"),
        pytest.param(0.5, 1.0, id="a shorter pause"),
        pytest.param(7.0, 7.0, id="a longer pause"),
        pytest.param(600.0, 600.0, id="ten minutes"),
        pytest.param(PATIENCE_SECONDS, PATIENCE_SECONDS, id="all of the patience"),
    ],
)
def test_a_read_is_repeated_after_as_long_as_the_platform_asks(asked: float | None, pause: float) -> None:
    reader = Reader([down(asked)])
    assert reader.read() == "answer"
    assert reader.slept == [pause]


@pytest.mark.parametrize("error", [down(PATIENCE_SECONDS + 1), busy(86_400.0)], ids=["503", "429"])
def test_a_read_ends_at_once_if_the_platform_asks_for_more_than_the_patience(error: KimiApiError) -> None:
    """Airflow's own retry comes later than this call may."""
    reader = Reader([error])
    with pytest.raises(KimiApiError) as caught:
        reader.read()
    assert caught.value.retryable
    assert reader.slept == []


@pytest.mark.parametrize(
    ("requests_per_minute", "pauses"),
    [
        pytest.param(None, [20, 40, 60, 60], id="unknown, so the lowest tier"),
        pytest.param(3, [20, 40, 60, 60], id="3"),
        pytest.param(20, [3, 6, 12, 24, 48, 60, 60], id="20"),
        pytest.param(0.5, [120, 120, 120], id="one in two minutes"),
        pytest.param(6000, [1, 2, 4, 8, 16, 32, 60, 60], id="6000"),
    ],
)
def test_pauses_after_rate_limits_begin_at_what_one_request_takes(
    requests_per_minute: float | None, pauses: list[float]
) -> None:
    found = [next_pause(busy(), attempt, 0.0, requests_per_minute) for attempt in range(len(pauses))]
    assert found == pauses


def test_tasks_that_were_refused_together_ask_again_apart() -> None:
    assert next_pause(busy(), 0, 0.0, 20, jitter=1.0) == 4.5
    assert next_pause(busy(30.0), 0, 0.0, 20, jitter=0.5) == 37.5


def test_rate_limits_are_waited_out_for_four_hours_and_no_longer() -> None:
    reader = Reader([busy(1.0) for _ in range(999)])
    with pytest.raises(KimiApiError, match="busy"):
        reader.read()
    assert RATE_LIMIT_PATIENCE_SECONDS - 60 <= sum(reader.slept) <= RATE_LIMIT_PATIENCE_SECONDS == 4 * 3600


def minutes_until_all_got_through(tasks: int, calls: int, per_minute: int, told: float | None) -> float:
    """Let tasks that start together make their calls one after the other, on a platform with a sliding window."""
    chance = Random(tasks)
    due = [(chance.random(), task, 0, 0, 0.0) for task in range(tasks)]
    taken: deque[float] = deque()
    now = 0.0
    while due:
        now, task, done, attempt, elapsed = heappop(due)
        while taken and taken[0] <= now - 60:
            taken.popleft()
        if len(taken) < per_minute:
            taken.append(now)
            if done + 1 < calls:
                heappush(due, (now + 0.3, task, done + 1, 0, 0.0))
            continue
        pause = next_pause(busy(1.0), attempt, elapsed, told, chance.random())
        assert pause is not None, f"task {task} gave up in minute {now / 60:.0f}, at call {done + 1}"
        heappush(due, (now + pause, task, done, attempt + 1, elapsed + pause))
    return now / 60


@pytest.mark.parametrize(
    ("tasks", "calls", "per_minute", "told"),
    [
        pytest.param(1, 6, 3, None, id="one create at the lowest tier"),
        pytest.param(6, 6, 3, 3, id="six creates at the lowest tier"),
        pytest.param(30, 6, 20, 20, id="30 creates at 20 a minute"),
        pytest.param(30, 6, 20, None, id="30 creates at 20 a minute, which the connection does not say"),
        pytest.param(30, 25, 20, None, id="30 whole jobs of two rounds at 20 a minute"),
        pytest.param(30, 25, 3, None, id="30 whole jobs of two rounds at the lowest tier"),
    ],
)
def test_tasks_that_share_a_limit_all_get_through(tasks: int, calls: int, per_minute: int, told: float | None) -> None:
    """The platform asks for one second each time, which is never enough."""
    fastest = tasks * calls / per_minute
    assert minutes_until_all_got_through(tasks, calls, per_minute, told) < fastest * 1.5 + 3


def test_rate_limits_use_up_no_attempt_of_other_faults() -> None:
    reader = Reader([busy(), down(), busy(), down(), down()])
    assert reader.read() == "answer"
    assert reader.slept == [20.0, 1.0, 40.0, 4.0, 15.0]


def test_every_repetition_of_a_read_is_logged_with_its_pause() -> None:
    reader = Reader([busy(27.0), KimiNoAnswerError("gone.")])
    reader.read()
    assert reader.log.warnings == ["busy. Trying again in 27 s.", "gone. Trying again in 1 s."]


@pytest.mark.parametrize("status", [503, 429])
def test_an_upload_that_met_a_passing_fault_is_sent_again_from_its_start(
    sim: KimiSimulator, connect: Connect, status: int
) -> None:
    sim.inject("upload_file", status=status, times=2)
    calls = Calls(connect(sim), LogRecord(), sim.advance)
    image = b"\x89PNG\r\n\x1a\n" + bytes(100)
    file_id = calls.upload(io.BytesIO(image), "a.png", "image").id
    assert sim.file_content(file_id) == image
    assert [call.status for call in sim.journal if call.name == "upload_file"] == [status, status, 200]


def test_a_file_that_is_refused_for_good_is_sent_once(sim: KimiSimulator, connect: Connect) -> None:
    sim.inject("upload_file", status=400, times=None)
    with pytest.raises(KimiApiError):
        Calls(connect(sim), LogRecord(), sim.advance).upload(io.BytesIO(b"x"), "a.png", "image")
    assert len(sim.journal) == 1


@pytest.mark.parametrize(("asked", "slept"), [("20", [20.0, 20.0, 30.0]), ("315360000", [])])
def test_an_unknown_batch_is_read_again_unless_the_pause_that_is_asked_for_is_beyond_patience(
    monkeypatch: pytest.MonkeyPatch, asked: str, slept: list[float]
) -> None:
    pauses: list[float] = []
    with raw_server(lambda request: [reply(b"{}", "404 Not Found", retry_after=asked)]) as server:
        calls = Calls(connect_to(monkeypatch, server.base_url), LogRecord(), pauses.append)
        with pytest.raises(KimiApiError, match="HTTP 404"):
            calls.read_batch("b")
    assert pauses == slept
