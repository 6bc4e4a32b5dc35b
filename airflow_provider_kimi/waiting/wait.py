"""Wait: poll batches again and again until the decision says stop."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.alone import Alone, InWorker, Sleep, pause_after, poll_confirmed
from airflow_provider_kimi.waiting.cancel import ask_for_cancels
from airflow_provider_kimi.waiting.decision import TIMED_OUT, Cancel, Finish, decide_next, end_of_wait
from airflow_provider_kimi.waiting.known import Known, Seen, just_read, known_after
from airflow_provider_kimi.waiting.poll import Platform
from airflow_provider_kimi.waiting.wait_log import WaitLog

Show = Callable[[Progress], None]


class Polls(Protocol):
    """How a wait learns of its batches: alone, or by the polls that many share."""

    @property
    def platform(self) -> Platform:
        """The connection that cancels go over."""

    async def poll(self, until: float | None, log_at: float | None) -> Mapping[str, Seen]:
        """Return what is known of each batch, when there may be something to decide.

        :param until: Unix seconds at which the time alone changes the decision; None if it never does.
        :param log_at: Unix seconds at which there is something to log; None if there is not.
        """


class _Course:
    """The course of one wait: what it knows, and when it decides again."""

    def __init__(self, platform: Platform, watch: Watch, log: WaitLog, show: Show | None = None) -> None:
        self._platform = platform
        self._show = show
        self._cancel_at = 0.0
        self._reasons: dict[tuple[str, ...], str] = {}
        self.watch = watch
        self.log = log
        self.known: Mapping[str, Known] = {}
        self.until = watch.deadline

    async def step(self, seen: Mapping[str, Seen], now: float) -> BatchEvent | None:
        """Decide after a poll, and do what was decided; return the event once the wait is over."""
        self.known = known_after(self.known, seen, now)
        step = decide_next(self.watch, self.known, now)
        progress = self.log.write(self.known, step, now)
        if progress is not None and self._show is not None:
            self._show(progress)
        if isinstance(step, Finish):
            await self._cancel(step.cancels, TIMED_OUT)
            reasons = " ".join(self._reasons.values())
            return step.event if step.event.message else replace(step.event, message=reasons)
        self.until = step.until
        if isinstance(step, Cancel):
            if now >= self._cancel_at:  # all was just read; between two cancels, a batch may have gone on
                self._reasons.setdefault(step.batch_ids, step.reason)
                await self._cancel(step.batch_ids, step.reason)
                self._cancel_at = step.until
            self.until = self._cancel_at
        return None

    async def _cancel(self, batch_ids: Collection[str], reason: str) -> None:
        read = (what.batch for what in self.known.values() if what.batch is not None)
        batches = [batch for batch in read if batch.id in batch_ids]
        await ask_for_cancels(self._platform, batches, reason, self.log)


async def until_finished(
    polls: Polls, watch: Watch, log: Log, *, show: Show | None = None, clock: Callable[[], float] = time.time
) -> BatchEvent:
    """Poll until the decision says stop, and show progress meanwhile."""
    course = _Course(polls.platform, watch, WaitLog(log, len(watch.batch_ids), clock(), watch.logged_statuses), show)
    while True:
        seen = await polls.poll(course.until, course.log.again_at)
        if (event := await course.step(seen, clock())) is not None:
            return event


class FirstPoll(NamedTuple):
    """What a single poll came to.

    :param event: Why the wait is over; None where it goes on.
    :param ends_at: Unix seconds at which it is over at the latest, without the hour for cancels.
    :param statuses: Statuses of the batches, which are logged now.
    :param pause_seconds: How long to wait before the next poll.
    """

    event: BatchEvent | None
    ends_at: float
    statuses: tuple[str, ...]
    pause_seconds: float


def poll_once(
    hook: KimiHook, watch: Watch, log: Log, clock: Callable[[], float] = time.time, sleep: Sleep = asyncio.sleep
) -> FirstPoll:
    """Poll every batch once, and cancel what is to be cancelled."""

    async def step() -> FirstPoll:
        platform = InWorker(hook)
        polled = await poll_confirmed(platform, watch.batch_ids, sleep)
        now = clock()
        course = _Course(platform, watch, WaitLog(log, len(watch.batch_ids), now, logged_statuses=()))
        event = await course.step(polled.seen, now)
        batches = just_read(course.known).values()
        pause = pause_after(polled, watch, hook.requests_per_minute, now)
        if course.until is not None:
            pause = min(pause, course.until - now)
        statuses = tuple(sorted({batch.status for batch in batches}))
        return FirstPoll(event, end_of_wait(watch, batches), statuses, pause)

    return asyncio.run(step())


def wait_here(hook: KimiHook, watch: Watch, log: Log) -> BatchEvent:
    """Wait in this process, with the very loop of the trigger."""
    return asyncio.run(until_finished(Alone(InWorker(hook), watch), watch, log))
