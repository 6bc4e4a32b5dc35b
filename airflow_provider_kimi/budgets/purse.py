"""The budget of a running task: what it reserves before it sends, and settles when it has landed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec

from airflow_provider_kimi.budgets.definition import BUDGET_PREFIX, Definition, Window, read_definition
from airflow_provider_kimi.budgets.entries import read_budget, read_window, remove, write
from airflow_provider_kimi.budgets.ledger import MICRO, Entry, Ledger, micro_of, owner_of
from airflow_provider_kimi.budgets.queue import next_step
from airflow_provider_kimi.budgets.taking_back import release, take_back
from airflow_provider_kimi.budgets.words import Standing, no_room, reserved_for_job, settled_for_job
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import read_variable, variable_keys
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.claim_note import ClaimNote

#: Seconds between two lists while others are before a claim, and after which those are counted and passed.
PAUSE_SECONDS, PATIENCE_SECONDS = 0.2, 10.0

#: Days after which the entries of a window that is over are removed, and how many are removed at a time.
KEPT_DAYS, MOST_REMOVED = 35, 200


@dataclass(frozen=True)
class Purse:
    """A budget, as one attempt of a task draws on it.

    :param currency: Of the prices.
    :param note: Whose its claims are.
    """

    name: str
    currency: str
    note: ClaimNote

    @cached_property
    def definition(self) -> Definition:
        """What the budget is.

        :raises KimiInputError: It is not defined, or not as it has to be.
        """
        key = f"{BUDGET_PREFIX}{self.name}"
        stored = read_variable(key)
        if stored is None and key in variable_keys(key):  # Airflow 3 gives none too where its API has failed
            error = KimiInputError(
                f"Airflow lists its Variable {key}, and could not read it. Nothing was sent. A retry reads it again."
            )
            error.retryable = True
            raise error
        return read_definition(self.name, stored, self.currency)

    def check(self) -> None:
        """Refuse a budget that is not defined, or not as it has to be.

        :raises KimiInputError: It is so.
        """
        self._window()

    def _window(self) -> Window:
        return self.definition.window(datetime.now(UTC), self.note.task[:2], self.currency)

    def of_job(self, job_key: str, fresh: str | None, rows: int, *, is_chat: bool = False) -> Purse:
        """The same for a job.

        :param fresh: Mark of the attempt, if it pays for fresh work; else None.
        """
        note = msgspec.structs.replace(self.note, job_key=job_key, fresh=fresh, rows=rows, is_chat=is_chat)
        return replace(self, note=note)

    @property
    def owner(self) -> str:
        """Names the job among those that draw on the budget."""
        return owner_of(self.note.job_key, self.note.fresh)

    def hold(self, calls: Calls, most: float) -> None:
        """Have so much reserved or spent for the job, with what is from earlier attempts.

        :param most: What all of the job may cost.
        :raises KimiInputError: The budget has no room for it.
        """
        window = self._window()
        entries = read_budget(self.name)
        held = sum(ledger.held_by(self.owner) for ledger in by_window(entries).values())
        wanted = micro_of(most) - held
        if wanted > 0 and not self._claimed(calls, window, wanted):
            ledger = read_window(self.name, window.id)
            if not take_back(calls, ledger, self.note, time.time()) or not self._claimed(calls, window, wanted):
                standing = self._standing(window)
                raise KimiInputError(
                    f"{no_room(self.name, wanted, standing, window, self.currency)} Nothing was uploaded or submitted "
                    "by this attempt."
                )
        if wanted <= 0 and self.note.is_chat:  # an empty claim tells whoever takes the others back of these calls
            write(self._entry(window, 0)._replace(kind="reserved"), self.note)
        own = held + max(wanted, 0)
        calls.log.info("%s", reserved_for_job(self.name, own, self._standing(window), window, self.currency))
        remove(_outdated(entries, time.time())[:MOST_REMOVED])

    def _claimed(self, calls: Calls, window: Window, micro: int) -> bool:
        """Claim an amount; whether it is granted."""
        own = self._entry(window, micro)
        write(own, self.note)
        late_at, is_late = time.monotonic() + PATIENCE_SECONDS, False
        while True:
            ledger = read_window(self.name, window.id)
            step = next_step(ledger, own, self.definition.micro, time.time(), is_late=is_late)
            if step.does == "write" and step.entry is not None:
                write(step.entry, self.note)
            elif step.does == "wait":
                if time.monotonic() > late_at:
                    self._check_listed(own, ledger)
                    take_back(calls, ledger, self.note, time.time())
                    is_late = True
                calls.stop.check()
                calls.sleep(PAUSE_SECONDS * (0.5 + calls.jitter()))
            elif step.does == "granted":
                return True
            else:
                write(own._replace(kind="gone"), self.note)
                return False

    def _entry(self, window: Window, micro: int) -> Entry:
        """The first entry of a new claim."""
        claim = secrets.token_hex(6)
        return Entry(self.name, window.id, self.owner, claim, "new", int(time.time() * 1000), micro)

    def _check_listed(self, own: Entry, ledger: Ledger) -> None:
        """Refuse to wait for ever for a claim that somebody has deleted, or that Airflow does not show."""
        if own.claim not in ledger.claims:
            write(own._replace(kind="gone"), self.note)
            raise KimiInputError(
                f"Airflow does not list the Variable {own.name}, which this task has written {PATIENCE_SECONDS:g} s "
                "ago, so budgets cannot be kept. Nothing was uploaded or submitted by this attempt. Leave Variables "
                "that begin with kimi_claim alone, then clear this task."
            )

    def settle(self, calls: Calls, cost: Mapping[str, Any] | None) -> None:
        """Note what the job has cost, and give back the rest of what was reserved.

        :param cost: Of the manifest: of all rounds.
        """
        amount = (cost or {}).get("amount")
        ledgers = by_window(read_budget(self.name))
        mine = {window: ledger for window, ledger in ledgers.items() if self.owner in ledger.owners}
        if not mine:
            return
        if amount is None:
            calls.log.warning(
                "What this job has cost is not known, so all that is reserved for it in budget %r stays so.", self.name
            )
            return
        last = max(mine, key=lambda window: mine[window].last_of(self.owner).number)
        before = sum(ledger.spent_by.get(self.owner, 0) for window, ledger in mine.items() if window != last)
        spent = mine[last].last_of(self.owner)._replace(kind="spent", number=mine[last].next_number(time.time()))
        write(spent._replace(micro=max(0, micro_of(amount) - before)), self.note)
        for claim in [claim for ledger in mine.values() for claim in ledger.live_of(self.owner)]:
            write(claim.first._replace(kind="gone"), self.note)
        try:
            window = self._window()
        except KimiInputError:  # it was changed meanwhile; what is spent is noted in any case
            return
        own = micro_of(amount)
        calls.log.info("%s", settled_for_job(self.name, own, self._standing(window), window, self.currency))

    def release(self, calls: Calls) -> None:
        """Give back what this attempt has reserved, if no batch of its job exists."""
        for ledger in by_window(read_budget(self.name)).values():
            release(calls, ledger, self.note)

    def _standing(self, window: Window) -> Standing:
        return Standing.of(read_window(self.name, window.id), self.owner, self.definition.micro)

    def summary(self, cost: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """What the manifest says of the budget; None if it is not defined any more.

        :param cost: Of the job, which is not settled yet.
        """
        try:
            window = self._window()
        except KimiInputError:
            return None
        standing = self._standing(window)
        amount = (cost or {}).get("amount")
        if amount is not None:
            standing = standing._replace(own=min(standing.own, micro_of(amount)))
        return {
            **{"name": self.name, "window": window.id.rpartition("-")[0], "amount": self.definition.amount},
            **{"currency": self.currency, "left": standing.left / MICRO},
        }


def by_window(entries: list[Entry]) -> dict[str, Ledger]:
    """Sort entries of a budget by their window."""
    windows = dict.fromkeys(entry.window for entry in entries)
    return {window: Ledger(entry for entry in entries if entry.window == window) for window in windows}


def _outdated(entries: list[Entry], now: float) -> list[Entry]:
    """The entries of windows to which nothing was added for a long time."""
    since = (now - KEPT_DAYS * 86_400) * 1000
    old = [ledger for ledger in by_window(entries).values() if all(e.number < since for e in ledger.entries)]
    return [entry for ledger in old for entry in ledger.entries]
