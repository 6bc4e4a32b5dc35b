"""Cancels of a wait: asked for by what was just read, never by news of another batch."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.decision import CANCEL_AGAIN_SECONDS, TIMED_OUT
from airflow_provider_kimi.waiting.known import Seen
from airflow_provider_kimi.waiting.wait import until_finished
from tests.support.logs import LogRecord
from tests.support.samples import make_batch

DEADLINE = 1_000_000.0
AGAIN = DEADLINE + CANCEL_AGAIN_SECONDS


class Script:
    """What each poll of a wait shows, at which time, on a platform where the cancels of one batch get no answer."""

    requests_per_minute = None
    clock_skew_seconds = None
    polled_at = None

    def __init__(self, polls: Mapping[float, Mapping[str, str]], without_answer: str) -> None:
        self._polls = iter(polls.items())
        self._without_answer = without_answer
        self.now = 0.0
        self.asked: list[float | None] = []
        self.cancels: list[tuple[float, str]] = []
        self.platform = self

    async def poll(self, until: float | None, log_at: float | None) -> Mapping[str, Seen]:
        self.asked.append(until)
        self.now, statuses = next(self._polls)
        return {batch_id: make_batch(status, batch_id) for batch_id, status in statuses.items()}

    async def acancel_batch(self, batch_id: str) -> Batch:
        self.cancels.append((self.now, batch_id))
        if batch_id == self._without_answer:
            raise KimiNoAnswerError("No answer.")
        return make_batch("cancelling", batch_id)

    async def aget_batch(self, batch_id: str) -> Batch:
        raise AssertionError(f"{batch_id} was just read")

    async def alist_batches(self, *, after: str | None = None, limit: int = 0) -> BatchPage:
        raise AssertionError("a cancel needs no list")

    def renew(self) -> None:
        raise AssertionError("a cancel reads no connection again")


async def test_a_cancel_that_failed_is_asked_for_again_by_a_fresh_poll_though_others_bring_news_before() -> None:
    """B may assemble its results by then, and a cancel was seen to lose rows."""
    script = Script(
        {
            DEADLINE: {"a": "in_progress", "b": "in_progress"},
            DEADLINE + 20: {"a": "cancelling", "b": "in_progress"},
            DEADLINE + 40: {"a": "cancelled", "b": "in_progress"},
            AGAIN: {"a": "cancelled", "b": "in_progress"},
            AGAIN + 20: {"a": "cancelled", "b": "cancelled"},
        },
        without_answer="b",
    )
    watch = Watch(("a", "b"), 5.0, DEADLINE, "cancel")
    event = await until_finished(script, watch, log := LogRecord(), clock=lambda: script.now)
    assert event.outcome == "timed_out"
    assert [line for line in log.warnings if "Cancelling" in line] == [
        f"{TIMED_OUT} Cancelling a, b.",
        f"{TIMED_OUT} Cancelling b.",
    ]
    assert sorted(script.cancels) == [(DEADLINE, "a"), (DEADLINE, "b"), (AGAIN, "b")]
    assert script.asked == [DEADLINE, AGAIN, AGAIN, AGAIN, AGAIN + CANCEL_AGAIN_SECONDS]
