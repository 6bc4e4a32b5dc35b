"""The rule of the queue, in every order of steps that a few claims can take, and in random ones of more."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.budgets.ledger import Entry, Ledger, total
from airflow_provider_kimi.budgets.queue import Step, next_step

Rule = Callable[..., Step]


class Place(NamedTuple):
    """Where a claim stands: what it listed last, and what came of it; `dead` may be looked at by others."""

    list: frozenset[Entry] | None = None
    is_written: bool = False
    end: str = ""


class State(NamedTuple):
    """What is stored, and where each claim stands."""

    store: frozenset[Entry]
    places: tuple[Place, ...]
    deaths: int
    lates: int


class World(NamedTuple):
    """Claims of one budget.

    :param micros: Of each claim.
    :param amount: Of the budget.
    :param deaths: How many may die for good, each of which the others take back, or not.
    :param lates: How often one may lose its patience.
    :param skews: The clock of each, in milliseconds.
    """

    micros: Sequence[int]
    amount: int
    deaths: int = 0
    lates: int = 0
    skews: Sequence[int] = ()
    rule: Rule = next_step

    def own(self, at: int) -> Entry:
        return Entry("labels", "day", f"{at:016x}", f"{at:012x}", "new", self.skew(at), self.micros[at])

    def skew(self, at: int) -> int:
        return self.skews[at] if self.skews else 0

    def start(self) -> State:
        return State(frozenset(), tuple(Place() for _ in self.micros), self.deaths, self.lates)

    def followers(self, state: State) -> Iterator[State]:
        for at, place in enumerate(state.places):
            if not place.end:
                yield from self._moves(state, at, place)
                if state.deaths:
                    dead = place._replace(end="dead", list=None)
                    yield self._with(state._replace(deaths=state.deaths - 1), at, dead)
            elif place.end == "dead" and place.is_written:
                own = self.own(at)._replace(kind="gone")
                if own not in state.store:
                    yield state._replace(store=state.store | {own})
            elif place.end == "granted":
                yield self._with(self._settled(state, at), at, place._replace(end="settled"))

    def _settled(self, state: State, at: int) -> State:
        """All of it was spent; the claim goes behind that."""
        spent = self.own(at)._replace(kind="spent", number=100)
        return state._replace(store=state.store | {spent, self.own(at)._replace(kind="gone")})

    def _moves(self, state: State, at: int, place: Place) -> Iterator[State]:
        own = self.own(at)
        if not place.is_written:
            written = state._replace(store=state.store | {own})
            yield self._with(written, at, place._replace(is_written=True))
        elif place.list is None:
            yield self._with(state, at, place._replace(list=state.store))
        else:
            for is_late in (False, True) if state.lates else (False,):
                step = self.rule(Ledger(place.list), own, self.amount, self.skew(at) / 1000, is_late=is_late)
                after = state._replace(lates=state.lates - 1) if is_late else state
                yield self._after(after, at, place._replace(list=None), step)

    def _after(self, state: State, at: int, place: Place, step: Step) -> State:
        if step.does == "write":
            assert step.entry is not None
            state = state._replace(store=state.store | {step.entry})
        elif step.does == "refused":
            state = state._replace(store=state.store | {self.own(at)._replace(kind="gone")})
        if step.does in ("granted", "refused", "lost"):
            place = place._replace(end=step.does)
        return self._with(state, at, place)

    @staticmethod
    def _with(state: State, at: int, place: Place) -> State:
        return state._replace(places=(*state.places[:at], place, *state.places[at + 1 :]))

    def check(self, state: State) -> None:
        ledger = Ledger(state.store)
        assert ledger.spent + total(ledger.reserved) <= self.amount
        mine = [self.micros[at] for at, place in enumerate(state.places) if place.end in ("granted", "settled")]
        assert sum(mine) <= self.amount


def explored(world: World) -> tuple[int, list[State]]:
    """All states, each looked at, and those in which nothing is left to do."""
    seen, todo, ends = {world.start()}, [world.start()], list[State]()
    while todo:
        state = todo.pop()
        world.check(state)
        followers = [follower for follower in world.followers(state) if follower != state]
        if not followers:
            ends.append(state)
        for follower in followers:
            if follower not in seen:
                seen.add(follower)
                todo.append(follower)
    return len(seen), ends


@pytest.mark.parametrize("skews", [(), (0, 50, 20), (50, 0, 20)])
def test_as_many_equal_claims_are_granted_as_fit_in_every_order_of_steps(skews: Sequence[int]) -> None:
    world = World((40, 40, 40), 100, skews=skews)
    states, ends = explored(world)
    assert states > 1_000
    granted = {sum(place.end in ("granted", "settled") for place in state.places) for state in ends}
    assert granted == {2}


@pytest.mark.parametrize(("micros", "amount"), [((40, 40, 40), 100), ((60, 50, 40), 100), ((100, 1, 100), 100)])
def test_what_is_granted_never_passes_the_amount_whoever_dies_or_loses_patience(
    micros: Sequence[int], amount: int
) -> None:
    states, ends = explored(World(micros, amount, deaths=1, lates=1))
    assert states > 10_000
    assert ends


def impatient(ledger: Ledger, own: Entry, amount: int, now: float, *, is_late: bool = False) -> Step:
    """A rule that does not count whom it passes."""
    passed = {claim.first.claim for claim in ledger.waiting} - {own.claim} if is_late else set()
    left = Ledger(entry for entry in ledger.entries if entry.claim not in passed)
    return next_step(left, own, amount, now, is_late=is_late)


def without_numbers(ledger: Ledger, own: Entry, amount: int, now: float, *, is_late: bool = False) -> Step:
    """A rule that takes the time of its own clock for its place."""
    step = next_step(ledger, own, amount, now, is_late=is_late)
    is_place = step.entry is not None and step.entry.kind == "wanted"
    return step._replace(entry=own._replace(kind="wanted")) if is_place else step


@pytest.mark.parametrize("rule", [impatient, without_numbers])
def test_the_search_finds_what_a_weaker_rule_lets_pass(rule: Rule) -> None:
    with pytest.raises(AssertionError):
        explored(World((60, 60), 100, lates=1, skews=(50, 0), rule=rule))


@given(
    st.lists(st.integers(1, 50), min_size=2, max_size=8),
    st.integers(1, 150),
    st.integers(0, 3),
    st.integers(0, 5),
    st.lists(st.integers(0, 90), min_size=8, max_size=8),
    st.randoms(use_true_random=False),
)
def test_no_random_schedule_of_many_claims_passes_the_amount(
    micros: list[int], amount: int, deaths: int, lates: int, skews: list[int], chance: random.Random
) -> None:
    world = World(micros, amount, deaths=deaths, lates=lates, skews=skews)
    state = world.start()
    for _ in range(400):
        followers = list(world.followers(state))
        if not followers:
            break
        state = chance.choice(followers)
        world.check(state)
