"""Wait: poll batches again and again until the decision says stop."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.alone import Alone, InWorker, Polled, Sleep, pause_after, poll_all
from airflow_provider_kimi.waiting.cancel import ask_for_cancels
from airflow_provider_kimi.waiting.clock import by_platform, clock_of, skew_in_words, skew_of
from airflow_provider_kimi.waiting.decision import TIMED_OUT, Cancel, Finish, decide_next, end_of_wait
from airflow_provider_kimi.waiting.doubles import next_look
from airflow_provider_kimi.waiting.known import Known, Seen, just_read, known_after
from airflow_provider_kimi.waiting.looks import cancel_doubles
from airflow_provider_kimi.waiting.pace import LONGEST_PAUSE_SECONDS
from airflow_provider_kimi.waiting.poll import Platform
from airflow_provider_kimi.waiting.wait_log import WaitLog

Show = Callable[[Progress], None]


class Polls(Protocol):
    """How a wait learns of its batches: alone, or by the polls that many share."""

    @property
    def platform(self) -> Platform:
        """The connection that cancels go over."""

    @property
    def polled_at(self) -> float | None:
        """Unix seconds, on the platform's clock, since when what is known is at the oldest; None for just now."""

    async def poll(self, until: float | None, log_at: float | None) -> Mapping[str, Seen]:
        """Return what is known of each batch, when there may be something to decide.

        :param until: Unix seconds at which the time alone changes the decision; None if it never does.
        :param log_at: Unix seconds at which there is something to log; None if there is not.
        """


class _Course:
    """The course of one wait: what it knows, and when it decides again.

    :param clock: The platform's clock, in unix seconds; None for the one that its answers show.
    :param looked_at: Since when doubles were not looked for, in unix seconds.
    """

    def __init__(
        self,
        platform: Platform,
        watch: Watch,
        wait_log: WaitLog,
        show: Show | None = None,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Sleep = asyncio.sleep,
        looked_at: float = -math.inf,
    ) -> None:
        self._platform = platform
        self._show = show
        self._sleep = sleep
        self._is_clock_known = clock is not None
        self._looked_at = looked_at
        self._cancel_at = 0.0
        self._reasons: dict[tuple[str, ...], str] = {}
        self.clock = clock or clock_of(platform)
        self.watch = watch
        self.wait_log = wait_log
        self.known: Mapping[str, Known] = {}
        self.until = watch.first_end

    @property
    def is_in_doubt(self) -> bool:
        """Whether a fault of the last poll looks permanent."""
        return any(what.fault is not None and not what.fault.retryable for what in self.known.values())

    async def step(self, seen: Mapping[str, Seen], polled_at: float | None = None) -> BatchEvent | None:
        """Decide after a poll, and do what was decided; return the event once the wait is over.

        :param polled_at: When that was, in unix seconds; None for just now.
        """
        now = self.clock()
        polled_at = now if polled_at is None else polled_at
        self.known = known_after(self.known, seen, now)
        if not self._is_clock_known and (skew := skew_of(self._platform)):
            self.wait_log.warn(skew_in_words(skew), subject="the clock")
        step = decide_next(self.watch, self.known, now)
        progress = self.wait_log.write(self.known, step, now, polled_at)
        if progress is not None and self._show is not None:
            self._show(progress)
        if isinstance(step, Finish):
            await self._cancel(step.cancels, TIMED_OUT)
            reasons = " ".join(self._reasons.values())
            return replace(step.event, message=step.event.message or reasons, polled_at=float(round(polled_at)))
        self.until = step.until
        if isinstance(step, Cancel):
            if now >= self._cancel_at:  # all was just read; between two cancels, a batch may have gone on
                self._reasons.setdefault(step.batch_ids, step.reason)
                await self._cancel(step.batch_ids, step.reason)
                self._cancel_at = step.until
            self.until = self._cancel_at
        await self._look_for_doubles(now)
        return None

    async def _look_for_doubles(self, now: float) -> None:
        ours = {batch_id: what.batch for batch_id, what in self.known.items() if what.batch is not None}
        if next_look(ours.values(), self._looked_at) <= now:
            is_done = await cancel_doubles(self._platform, ours, now, self.wait_log, self._sleep)
            self._looked_at = now if is_done else self._looked_at
        look_at = next_look(ours.values(), self._looked_at)
        if now < look_at < math.inf:
            self.until = min(look_at, math.inf if self.until is None else self.until)

    async def _cancel(self, batch_ids: Collection[str], reason: str) -> None:
        read = (what.batch for what in self.known.values() if what.batch is not None)
        batches = [batch for batch in read if batch.id in batch_ids]
        await ask_for_cancels(self._platform, batches, reason, self.wait_log)


async def until_finished(
    polls: Polls,
    watch: Watch,
    log: Log,
    *,
    show: Show | None = None,
    clock: Callable[[], float] | None = None,
    sleep: Sleep = asyncio.sleep,
) -> BatchEvent:
    """Poll until the decision says stop, and show progress meanwhile.

    :param clock: The platform's clock, in unix seconds; None for the one that its answers show.
    """
    begun = (clock or clock_of(polls.platform))()
    wait_log = WaitLog(log, len(watch.batch_ids), begun, watch.logged_statuses, watch.to_come)
    course = _Course(polls.platform, watch, wait_log, show, clock=clock, sleep=sleep)
    while True:
        seen = await polls.poll(course.until, course.wait_log.again_at)
        if (event := await course.step(seen, polls.polled_at)) is not None:
            return event


class FirstPoll(NamedTuple):
    """What a single poll came to.

    :param event: Why the wait is over; None where it goes on.
    :param watch: The wait as it goes on: by the platform's clock, with the statuses that are logged now.
    :param read: The batches that could be read.
    :param is_in_doubt: Whether a batch could not be read for a reason that looks permanent.
    :param pause_seconds: How long to wait before the next poll.
    """

    event: BatchEvent | None
    watch: Watch
    read: Mapping[str, Batch]
    is_in_doubt: bool
    pause_seconds: float

    @property
    def ends_at(self) -> float:
        """Unix seconds at which the wait is over at the latest, without the hour for cancels."""
        return end_of_wait(self.watch, self.read.values())


def poll_once(
    hook: KimiHook,
    watch: Watch,
    log: Log,
    *,
    is_only_one: bool = False,
    clock: Callable[[], float] | None = None,
    sleep: Sleep = asyncio.sleep,
) -> FirstPoll:
    """Poll every batch once, and cancel what is to be cancelled.

    :param watch: Its deadline is by the clock of this machine.
    :param is_only_one: Whether no loop with a memory follows, as in a task that is rescheduled. Then the poll is
        repeated while a fault is in doubt, and the time at which a deadline was set may be of another machine.
    :param clock: The platform's clock, in unix seconds; None for the one that its answers show.
    """

    async def step() -> FirstPoll:
        platform = InWorker(hook)
        polled = await poll_all(platform, watch.batch_ids, Polled())
        ours = watch if clock is not None else by_platform(watch, skew_of(platform), is_own=not is_only_one)
        begun = (clock or clock_of(platform))()
        wait_log = WaitLog(log, len(watch.batch_ids), begun, (), watch.to_come)
        looked_at = _looked_at(watch, begun) if is_only_one else math.inf  # a loop that follows looks for itself
        course = _Course(platform, ours, wait_log, clock=clock, sleep=sleep, looked_at=looked_at)
        event = await course.step(polled.seen)
        alone = Alone(platform, ours, polled, clock=clock, sleep=sleep)
        while is_only_one and event is None and course.is_in_doubt:
            event = await course.step(await alone.poll(course.until, None))
        read, now = just_read(course.known), course.clock()
        pause = pause_after(alone.polled or polled, ours, hook.requests_per_minute, now)
        if course.until is not None:
            pause = min(pause, course.until - now)
        statuses = tuple(sorted({batch.status for batch in read.values()}))
        return FirstPoll(event, replace(ours, logged_statuses=statuses), read, course.is_in_doubt, pause)

    return asyncio.run(step())


def _looked_at(watch: Watch, now: float) -> float:
    """When a task that is rescheduled has looked for doubles, if it ever did: about at its last poll."""
    return now - 2 * max(watch.pause_seconds or 0.0, LONGEST_PAUSE_SECONDS)


def wait_here(hook: KimiHook, watch: Watch, log: Log) -> BatchEvent:
    """Wait in this process, with the very loop of the trigger."""
    return asyncio.run(until_finished(Alone(InWorker(hook), watch), watch, log))
