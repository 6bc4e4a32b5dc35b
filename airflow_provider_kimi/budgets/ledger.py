"""The ledger of a budget: what tasks have claimed and spent in a window, read from the names of its entries.

An entry is one Airflow Variable. All that counts is in its name, so one request lists a whole window. Entries of a
window are only ever added, so that a list that comes in pages never leaves one out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from hashlib import sha256
from typing import Literal, NamedTuple, Self, cast

#: Amounts are counted in whole millionths, since sums of floats depend on their order.
MICRO = 1_000_000

#: How the name of every entry begins. The names of budgets begin otherwise, so that no list of these holds entries.
ENTRY_PREFIX = "kimi_claim."

#: What an entry says: a claim has come, has its place in the queue, is granted, or is gone; an owner has spent.
Kind = Literal["new", "wanted", "reserved", "gone", "spent"]

_DIGITS = 15
_NAME = re.compile(
    r"kimi_claim\.(?P<budget>[^.]+)\.(?P<window>[^.]+)\.(?P<owner>[0-9a-f]{16})\.(?P<claim>[0-9a-f]{12})"
    r"\.(?P<kind>new|wanted|reserved|gone|spent)\.(?P<number>\d{15})\.(?P<micro>\d+)"
)


class Entry(NamedTuple):
    """One entry.

    :param owner: The work that is paid, whichever attempt does it.
    :param claim: One claim of it. A claim is written by one attempt alone.
    :param number: Its place in the queue, or when it was written: later ones are greater.
    :param micro: Millionths of the currency.
    """

    budget: str
    window: str
    owner: str
    claim: str
    kind: Kind
    number: int
    micro: int

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Read a name; None for one that names no entry."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        budget, window, owner, claim, kind, number, micro = found.groups()
        return cls(budget, window, owner, claim, cast(Kind, kind), int(number), int(micro))

    @property
    def name(self) -> str:
        """The name of its Variable."""
        places = f"{self.budget}.{self.window}.{self.owner}.{self.claim}"
        return f"{ENTRY_PREFIX}{places}.{self.kind}.{self.number:0{_DIGITS}d}.{self.micro}"


class Claim:
    """What the entries of one claim say together."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self._by_kind = {entry.kind: entry for entry in self.entries}

    @property
    def first(self) -> Entry:
        """Any of its entries, for the amount and the owner, which all of them name."""
        return self.entries[0]

    @property
    def is_live(self) -> bool:
        """Whether it counts, or may come to count."""
        return "gone" not in self._by_kind

    @property
    def is_reserved(self) -> bool:
        """Whether it is granted."""
        return self.is_live and "reserved" in self._by_kind

    @property
    def is_waiting(self) -> bool:
        """Whether it is neither granted nor gone."""
        return self.is_live and "reserved" not in self._by_kind

    @property
    def place(self) -> tuple[int, str] | None:
        """Its place in the queue; None while it has none."""
        wanted = self._by_kind.get("wanted")
        return None if wanted is None else (wanted.number, wanted.claim)


class Ledger:
    """The entries of one window of a budget.

    :param entries: In any order, each as often as may be.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: Sequence[Entry] = list(dict.fromkeys(entries))

    @cached_property
    def claims(self) -> Mapping[str, Claim]:
        """The claims, by their name."""
        by_claim: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if entry.kind != "spent":
                by_claim[entry.claim].append(entry)
        return {name: Claim(of_claim) for name, of_claim in by_claim.items()}

    @cached_property
    def spent_by(self) -> Mapping[str, int]:
        """What each owner has spent: what it said last."""
        said = sorted((entry.number, entry.micro, entry.owner) for entry in self.entries if entry.kind == "spent")
        return {owner: micro for _, micro, owner in said}

    @property
    def spent(self) -> int:
        """What all have spent."""
        return sum(self.spent_by.values())

    @cached_property
    def reserved(self) -> Sequence[Claim]:
        """The claims that are granted and not settled."""
        return [claim for claim in self.claims.values() if claim.is_reserved]

    @cached_property
    def waiting(self) -> Sequence[Claim]:
        """The claims that are undecided."""
        return [claim for claim in self.claims.values() if claim.is_waiting]

    @cached_property
    def owners(self) -> frozenset[str]:
        """Who has claimed or spent."""
        return frozenset(entry.owner for entry in self.entries)

    def last_of(self, owner: str) -> Entry:
        """The last entry of an owner."""
        return max((entry for entry in self.entries if entry.owner == owner), key=lambda entry: entry.number)

    def live_of(self, owner: str) -> Sequence[Claim]:
        """The claims of an owner that count, or may come to count."""
        return [claim for claim in self.claims.values() if claim.is_live and claim.first.owner == owner]

    def is_settled(self, claim: Claim) -> bool:
        """Whether its owner has said what it has spent after the claim was granted."""
        granted, owner = max(entry.number for entry in claim.entries), claim.first.owner
        spent = (entry for entry in self.entries if entry.kind == "spent" and entry.owner == owner)
        return any(entry.number > granted for entry in spent)

    def held_by(self, owner: str) -> int:
        """What an owner has spent and reserved."""
        return self.spent_by.get(owner, 0) + total(claim for claim in self.reserved if claim.first.owner == owner)

    def next_number(self, now: float) -> int:
        """A number greater than all that are here, and no less than the time in milliseconds."""
        return max([int(now * 1000), *(entry.number + 1 for entry in self.entries)])


def total(claims: Iterable[Claim]) -> int:
    """What claims come to."""
    return sum(claim.first.micro for claim in claims)


def micro_of(amount: float) -> int:
    """An amount in millionths, rounded up."""
    return int((Decimal(str(amount)) * MICRO).to_integral_value(ROUND_CEILING))


def owner_of(job_key: str, fresh: str | None) -> str:
    """Name the work that is paid once: a job, and the attempt that pays for it anew, if one does."""
    return sha256(f"{job_key} {fresh or ''}".encode()).hexdigest()[:16]
