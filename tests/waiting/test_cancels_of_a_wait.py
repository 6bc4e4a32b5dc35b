"""Cancels of a wait: asked for by what was just read, never by news of another batch."""

from collections.abc import Mapping

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.waiting.decision import CANCEL_AGAIN_SECONDS, TIME_IS_OVER, Seen, Watch
from airflow_provider_kimi.waiting.wait import until_finished
from tests.support.logs import LogRecord
from tests.support.samples import make_batch

DEADLINE = 1_000_000.0
AGAIN = DEADLINE + CANCEL_AGAIN_SECONDS


class Told:
    """What a wait is told at which time; notes by when it has asked for a look at all its batches."""

    def __init__(self, told: Mapping[float, Mapping[str, str]]) -> None:
        self._told = iter(told.items())
        self.now = 0.0
        self.asked: list[float | None] = []

    async def look(self, until: float | None, speak_at: float | None) -> Mapping[str, Seen]:
        self.asked.append(until)
        self.now, statuses = next(self._told)
        return {batch_id: make_batch(status, batch_id) for batch_id, status in statuses.items()}


async def test_one_that_failed_is_asked_for_again_by_a_fresh_look_though_others_bring_news_before() -> None:
    """B may assemble its results by then, and a cancel was seen to lose rows."""
    told = Told(
        {
            DEADLINE: {"a": "in_progress", "b": "in_progress"},
            DEADLINE + 20: {"a": "cancelling", "b": "in_progress"},
            DEADLINE + 40: {"a": "cancelled", "b": "in_progress"},
            AGAIN: {"a": "cancelled", "b": "in_progress"},
            AGAIN + 20: {"a": "cancelled", "b": "cancelled"},
        }
    )
    cancels: list[tuple[float, str]] = []

    async def cancel(batch_id: str) -> Batch:
        cancels.append((told.now, batch_id))
        if batch_id == "b":
            raise KimiNoAnswerError("No answer.")
        return make_batch("cancelling", batch_id)

    watch = Watch(("a", "b"), 5.0, DEADLINE, "cancel")
    event = await until_finished(told, cancel, watch, log := LogRecord(), clock=lambda: told.now)
    assert event.outcome == "timed_out"
    assert [line for line in log.warnings if "Cancelling" in line] == [
        f"{TIME_IS_OVER} Cancelling a, b.",
        f"{TIME_IS_OVER} Cancelling b.",
    ]
    assert sorted(cancels) == [(DEADLINE, "a"), (DEADLINE, "b"), (AGAIN, "b")]
    assert told.asked == [DEADLINE, AGAIN, AGAIN, AGAIN, AGAIN + CANCEL_AGAIN_SECONDS]
