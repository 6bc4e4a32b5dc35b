"""Schedule: when which batches are polled, for all who wait over one connection. It has no clock and no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.known import Seen, is_passing
from airflow_provider_kimi.waiting.pace import (
    CONFIRM_SECONDS,
    pause_after_faults,
    pause_between_polls,
    seconds_per_request,
)
from airflow_provider_kimi.waiting.sweep import SweepResult

#: When a poll that could not wait is tried again after a sweep that did not get to it.
AGAIN_SECONDS = 1.0

NEVER = float("inf")


class Waiter(Protocol):
    """One wait for batches; its times are in unix seconds.

    :param first_at: Before this it wants no poll.
    :param until: At this the time alone changes its decision, so it wants to know how things stand.
    :param unread: Batches that it wants to know that of.
    """

    watch: Watch
    first_at: float
    until: float
    unread: set[str]

    def notify(self, batch_id: str, what: Seen, now: float) -> bool:
        """Learn what a poll has shown; whether that wakes the wait."""

    def wake(self) -> None:
        """Go on, since the watcher has failed."""


@dataclass(eq=False, slots=True)
class Watched:
    """A batch that is waited for.

    :param pause: Seconds between two polls, as last chosen.
    :param due_at: When it is polled next, as far as there are requests to spare.
    :param until: When it is polled in any case.
    """

    batch_id: str
    waiters: list[Waiter] = field(default_factory=list)
    batch: Batch | None = None
    pause: float = 0.0
    due_at: float = NEVER
    until: float = NEVER

    @property
    def has_ended(self) -> bool:
        """Whether it was seen to have ended."""
        return self.batch is not None and self.batch.is_terminal

    @property
    def has_own_pause(self) -> bool:
        """Whether users choose how often it is polled: all who wait for it, or one with a shorter pause than ours."""
        own = [waiter.watch.pause_seconds for waiter in self.waiters]
        given = [seconds for seconds in own if seconds is not None]
        return bool(given) and (len(given) == len(own) or min(given) <= self.pause)

    def set_next(self, start: float, jitter: float) -> None:
        """Set when it is polled after a sweep that began at `start`."""
        later = [waiter for waiter in self.waiters if waiter.first_at > start]
        waiting = later if self.has_ended else self.waiters
        self.until = min((waiter.until for waiter in waiting if waiter.until > start), default=NEVER)
        self.due_at = min((waiter.first_at for waiter in later), default=NEVER)
        if not self.has_ended:
            self.pause = self._shortest(pause_between_polls(self.batch, start) * jitter)
            if len(later) < len(self.waiters):
                self.due_at = min(self.due_at, start + self.pause)

    def set_again(self, start: float) -> None:
        """Set when it is polled after a sweep that showed nothing of it."""
        self.due_at = start + min(self._shortest(CONFIRM_SECONDS), CONFIRM_SECONDS)
        if self.until <= start:
            self.until = start + AGAIN_SECONDS

    def _shortest(self, chosen: float) -> float:
        """The shortest pause of all who wait for it, `chosen` for those who leave that to us."""
        pauses = [waiter.watch.pause_seconds for waiter in self.waiters]
        return min(chosen if own is None else own for own in pauses)


class Schedule:
    """What is due, by what was seen, asked for and refused so far.

    A batch whose users chose no pause waits until the connection has requests to spare; so does every batch where
    the connection says how many. A moment at which the time alone decides waits for nothing but a platform in trouble,
    and takes nothing from the others.

    :param jitter: Factor of each pause of our choice, so that many triggerers do not move in step.
    """

    def __init__(self, jitter: float = 1.0) -> None:
        self.requests_per_minute: float | None = None
        self.watched: dict[str, Watched] = {}
        self.faults = 0
        self._jitter = jitter
        self._not_before = 0.0
        self._free_at = 0.0

    def add(self, waiter: Waiter) -> None:
        """Poll the batches of a wait too."""
        for batch_id in waiter.watch.batch_ids:
            watched = self.watched.setdefault(batch_id, Watched(batch_id))
            watched.waiters.append(waiter)
            watched.due_at = min(watched.due_at, waiter.first_at)

    def remove(self, waiter: Waiter) -> set[str]:
        """Poll batches no longer that only this wait waits for; return them."""
        gone = set()
        for batch_id in waiter.watch.batch_ids:
            watched = self.watched[batch_id]
            watched.waiters.remove(waiter)
            if not watched.waiters:
                del self.watched[batch_id]
                gone.add(batch_id)
        return gone

    def poll_by(self, waiter: Waiter) -> None:
        """See to it that the batches of a wait are polled when the time alone changes its decision."""
        for batch_id in waiter.unread:
            watched = self.watched[batch_id]
            watched.until = min(watched.until, waiter.until)

    def next_at(self) -> float:
        """When the next sweep is, as things stand."""
        return min(map(self._may_be_read_at, self.watched.values()), default=NEVER)

    def _may_be_read_at(self, watched: Watched) -> float:
        free_at = self._free_at if self._is_limited(watched) else 0.0
        return max(min(max(watched.due_at, free_at), watched.until), self._not_before)

    def _is_limited(self, watched: Watched) -> bool:
        return self.requests_per_minute is not None or not watched.has_own_pause

    def due(self, start: float) -> list[str]:
        """Choose what a sweep polls."""
        return [watched.batch_id for watched in self.watched.values() if self._is_taken_along(watched, start)]

    def _is_taken_along(self, watched: Watched, start: float) -> bool:
        """Whether a batch is due, or will be before half of its pause has passed."""
        if watched.until <= start:
            return True
        return watched.due_at - watched.pause / 2 <= start and (self._free_at <= start or not self._is_limited(watched))

    def note(self, watched: Watched, what: Seen, start: float) -> Seen:
        """Take in what a sweep has shown of a batch; return what is known of it now."""
        is_missed = watched.until <= start and is_passing(what)
        if isinstance(what, Batch):
            watched.batch = what
        elif watched.batch is not None and watched.has_ended:
            what = watched.batch  # it ended for good, whatever happens to a later poll
        watched.set_next(start, self._jitter)
        if is_missed:
            watched.until = min(watched.until, start + AGAIN_SECONDS)
        return what

    def settle(self, start: float, result: SweepResult) -> None:
        """End a sweep: space the next one by what this one took and met."""
        due = [self.watched[batch_id] for batch_id in result.due if batch_id in self.watched]
        self.faults = 0 if result.answered else self.faults + 1
        for watched in due:
            if watched.batch_id in result.unseen:
                watched.set_again(start)
            elif self.faults:
                watched.due_at = max(watched.due_at, start + pause_after_faults(watched.pause, self.faults, None))
        if result.faults:
            pauses = (watched.pause for watched in self.watched.values() if not watched.has_ended)
            pause = min([CONFIRM_SECONDS, *pauses])
            self._not_before = start + pause_after_faults(pause, self.faults, result.retry_after)
        if self._free_at <= start and any(map(self._is_limited, due)):
            self._free_at = start + result.requests * seconds_per_request(self.requests_per_minute, None)
