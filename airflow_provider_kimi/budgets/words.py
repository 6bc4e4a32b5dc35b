"""What a task says of its budget."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_kimi.budgets.definition import BUDGET_PREFIX, Window
from airflow_provider_kimi.budgets.ledger import MICRO, Ledger, total


class Standing(NamedTuple):
    """How a budget stands, in millionths, as the work of one owner sees it.

    :param own: What its owner has reserved and spent.
    :param spent: What others have spent.
    :param reserved: What others have reserved.
    :param others: How many claims that is.
    :param waiting: How many others have claimed and are not decided.
    """

    amount: int
    own: int
    spent: int
    reserved: int
    others: int
    waiting: int = 0

    @classmethod
    def of(cls, ledger: Ledger, owner: str, amount: int) -> Standing:
        """Read how a budget stands."""
        reserved = [claim for claim in ledger.reserved if claim.first.owner != owner]
        waiting = [claim for claim in ledger.waiting if claim.first.owner != owner]
        spent = ledger.spent - ledger.spent_by.get(owner, 0)
        return cls(amount, ledger.held_by(owner), spent, total(reserved), len(reserved), len(waiting))

    @property
    def left(self) -> int:
        """What nobody has."""
        return max(0, self.amount - self.own - self.spent - self.reserved)


def reserved_for_job(name: str, own: int, standing: Standing, window: Window, currency: str) -> str:
    """Say what is reserved for a job.

    :param own: That, also where it is of an earlier window.
    """
    money = _money
    return (
        f"Budget {name!r}: {money(own)} of {money(standing.amount)} {currency} reserved for this job; "
        f"{money(standing.spent)} spent, {money(standing.reserved)} reserved by {_others(standing.others)}, "
        f"{money(standing.left)} left {window.end_in_words}."
    )


def settled_for_job(name: str, own: int, standing: Standing, window: Window, currency: str) -> str:
    """Say what a job has spent.

    :param own: That, also where it counts in an earlier window.
    """
    money = _money
    return (
        f"Budget {name!r}: this job has spent {money(own)} {currency}; {money(standing.left)} of "
        f"{money(standing.amount)} left {window.end_in_words}."
    )


def no_room(name: str, wanted: int, standing: Standing, window: Window, currency: str) -> str:
    """Say that a budget has no room for a claim."""
    money = _money
    undecided = f", {standing.waiting} more are waiting" if standing.waiting else ""
    until = "" if window.ends_at is None else f", wait for the next window, which begins at {_begin(window)}"
    return (
        f"Budget {name!r} has no room for {money(wanted)} {currency}, which is what is asked now if every answer is as "
        f"long as its cap: of {money(standing.amount)} {currency}, {money(standing.spent)} are spent by others, "
        f"{money(standing.reserved)} reserved by {_others(standing.others)}{undecided}, {money(standing.own)} held by "
        f"this job; {money(standing.left)} are left {window.end_in_words}. Set max_completion_tokens in request_params "
        f"to what an answer needs, give fewer rows, raise the amount in the Airflow Variable {BUDGET_PREFIX}{name}"
        f"{until}; then clear this task."
    )


def _begin(window: Window) -> str:
    return window.end_in_words.removeprefix("until ")


def _money(micro: int) -> str:
    """Write an amount in whole hundredths; a small one keeps its first digits."""
    money = micro / MICRO
    return f"{money:,.2f}" if money >= 1 or micro == 0 else f"{money:.2g}"


def _others(claims: int) -> str:
    return "1 other" if claims == 1 else f"{claims:,} others"
