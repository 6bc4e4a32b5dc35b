"""The rule by which a claim is granted: nothing but added entries and lists of them, whoever dies on the way.

Airflow has no compare-and-set for its Variables. So claims stand in line, as in Lamport's bakery: a claim is written,
takes a number behind all that it sees, waits until none before it is undecided, and is then decided by one list.

Why the granted never pass the amount, however long anybody sleeps between two steps: a claim does not count another
one only where that has a greater number, or was not there yet when it was decided. Then that one takes its number
later, and so a greater one. So of all that are granted, the one with the greatest number has counted all others. What
waits for too long is counted as if it were granted, and is passed: to count more is always safe.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from airflow_provider_kimi.budgets.ledger import Claim, Entry, Ledger, total


class Step(NamedTuple):
    """What a claim does next.

    :param does: `write` an entry and list again; only `wait` and list again; it is `granted`, `refused`, or `lost`,
        because somebody took it back.
    :param entry: What to write; None for nothing.
    """

    does: Literal["write", "wait", "granted", "refused", "lost"]
    entry: Entry | None = None


def next_step(ledger: Ledger, own: Entry, amount: int, now: float, *, is_late: bool = False) -> Step:
    """Decide by a list that was read after the last write.

    :param ledger: All entries of the window.
    :param own: The first entry of the claim, which is written.
    :param amount: Of the budget, in millionths.
    :param now: Unix seconds.
    :param is_late: Whether it has waited long enough for those before it.
    """
    claim = ledger.claims.get(own.claim)
    if claim is None:
        return Step("wait")  # the list is older than the write
    if not claim.is_live:
        return Step("lost")
    if claim.is_reserved:
        return Step("granted")
    place = claim.place
    if place is None:
        return Step("write", own._replace(kind="wanted", number=ledger.next_number(now)))
    before = [other for other in ledger.waiting if other is not claim and _is_before(other, place)]
    if before and not is_late:
        return Step("wait")
    if ledger.spent + total(ledger.reserved) + total(before) + own.micro <= amount:
        return Step("write", own._replace(kind="reserved", number=place[0]))
    return Step("refused")


def _is_before(other: Claim, place: tuple[int, str]) -> bool:
    """Whether another claim may be decided without counting the one at a place."""
    return other.place is None or other.place < place
