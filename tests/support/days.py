"""Days of waiting on simulated time: a platform whose batches run on, and waits that note what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.polling import Seen, Watch
from airflow_provider_kimi.batch.rounds import (
    PAGE_SIZE,
    Ask,
    Page,
    Shown,
    Single,
    Tally,
    requests_of_round,
)
from airflow_provider_kimi.batch.schedule import NEVER, Schedule
from airflow_provider_kimi.batch.turns import Turns
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from tests.unit.samples import make_batch

NOW, MINUTE, HOUR = 1_000_000.0, 60.0, 3600.0


@dataclass(eq=False)
class Wait:
    """A wait that notes when it learned how its batches stand, and what it was told last."""

    watch: Watch
    first_at: float = NOW
    until: float = NEVER
    told: dict[str, list[float]] = field(default_factory=dict)
    known: dict[str, Seen] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def tell(self, batch_id: str, what: Seen, now: float) -> bool:
        if isinstance(what, Batch):
            self.told.setdefault(batch_id, []).append(now)
        self.known[batch_id] = what
        return True


@dataclass
class Days:
    """A platform whose batches run on, and the time that passes there."""

    schedule: Schedule = field(default_factory=Schedule)
    now: float = NOW
    newest_first: list[str] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    limit: int | None = None
    is_out: bool = False
    asked_seconds: float | None = None
    turns: Turns = field(default_factory=Turns)

    def wait(self, *batch_ids: str, every: float | None = None, first_at: float = NOW, until: float = NEVER) -> Wait:
        self.newest_first[:0] = batch_ids
        wait = Wait(Watch(batch_ids, every), first_at, until, unread=set(batch_ids))
        self.schedule.add(wait)
        self.schedule.look_until(wait)
        return wait

    def pass_by(self, seconds: float) -> None:
        """Make every round that is due meanwhile."""
        end = self.now + seconds
        while (at := self.schedule.next_at()) <= end:
            self.now = max(self.now, at)
            self.make_round()
        self.now = end

    def make_round(self) -> None:
        due = self.schedule.due(self.now)
        assert due, "a round that looks at nothing would never end"
        ids = [watched.batch_id for watched in due]
        told: set[str] = set()
        requests = faults = 0
        asks = requests_of_round(self.turns.ordered(ids), from_top=self.turns.from_top)
        ask = next(asks, None)
        while ask is not None and faults < 2:
            requests += 1
            self.calls.append(self.now)
            page = self.page(ask)
            faults += page is None
            if isinstance(ask, Single) and page is None:
                self.turns.has_failed(ask.batch_id)
            if page and isinstance(ask, Page) and ask.after is None:
                self.turns.top_shows(ours=any(batch_id in self.schedule.watched for batch_id in page))
            for batch_id in page or ():
                if batch_id in self.schedule.watched:
                    self.turns.was_read(batch_id)
                    self.tell(batch_id, self.look_at(batch_id))
                    told.add(batch_id)
            try:
                ask = asks.send(Shown(page or ()))
            except StopIteration:
                break
        self.turns.leave_out(set(ids) - told)
        for batch_id in set(ids) - told if faults else ():
            self.tell(batch_id, KimiNoAnswerError("No answer."))
            told.add(batch_id)
        asked = self.asked_seconds if faults else None
        self.schedule.settle(self.now, due, told, Tally(requests, requests - faults, faults, asked))

    def page(self, ask: Ask) -> list[str] | None:
        """What an answer shows; None where there is none."""
        if self.is_out or (isinstance(ask, Single) and ask.batch_id in self.broken):
            return None
        if self.limit is not None and sum(call > self.now - MINUTE for call in self.answered) >= self.limit:
            return None
        self.answered.append(self.now)
        if isinstance(ask, Single):
            return [ask.batch_id]
        start = 0
        if ask.after is not None:
            if ask.after not in self.newest_first:
                return []
            start = self.newest_first.index(ask.after) + 1
        return self.newest_first[start : start + PAGE_SIZE]

    def look_at(self, batch_id: str) -> Batch:
        status = "completed" if batch_id in self.ended else "in_progress"
        return make_batch(status, batch_id, created_at=int(NOW), expires_at=int(NOW + 24 * HOUR))

    def tell(self, batch_id: str, what: Seen) -> None:
        if (watched := self.schedule.watched.get(batch_id)) is not None:
            news = self.schedule.note(watched, what, self.now, 1.0)
            for waiter in watched.waiters:
                waiter.tell(batch_id, news, self.now)

    def most_calls_in(self, seconds: float) -> int:
        return max(sum(begin <= call < begin + seconds for call in self.calls) for begin in self.calls)
