"""Reads are repeated as long as that can help, and no longer."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from airflow_provider_kimi.calls.patience import MAX_PAUSE_SECONDS, PAUSES_SECONDS, Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiConnectionConfigError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.support.logs import LogRecord


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
        return Calls(KimiHook(), self.log, sleep).read(self)


def busy(retry_after_seconds: float | None = None) -> KimiApiError:
    return KimiApiError("busy.", status_code=429, retryable=True, retry_after_seconds=retry_after_seconds)


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
    reader = Reader([busy(), busy(), busy(), KimiNoAnswerError("the last")])
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
    reader = Reader([busy(), KimiApiError("gone", status_code=404)])
    with pytest.raises(KimiError, match="gone"):
        reader.read()
    assert reader.slept == [1.0]


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        pytest.param(None, 1.0, id="no pause asked for"),
        pytest.param(0.0, 1.0, id="zero seconds"),
        pytest.param(0.5, 1.0, id="a shorter pause"),
        pytest.param(7.0, 7.0, id="a longer pause"),
        pytest.param(MAX_PAUSE_SECONDS, 120.0, id="the longest pause"),
        pytest.param(86_400.0, 120.0, id="a pause of a day"),
    ],
)
def test_the_platform_may_ask_for_a_longer_pause_before_a_read_is_repeated(asked: float | None, pause: float) -> None:
    reader = Reader([busy(asked)])
    assert reader.read() == "answer"
    assert reader.slept == [pause]


def test_every_repetition_of_a_read_is_logged_with_its_pause() -> None:
    reader = Reader([busy(7.0), KimiNoAnswerError("gone.")])
    reader.read()
    assert reader.log.warnings == ["busy. Trying again in 7 s.", "gone. Trying again in 4 s."]
