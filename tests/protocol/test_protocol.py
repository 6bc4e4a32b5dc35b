"""Every schedule of attempts, siblings, kills and lost creates keeps what docs/paid-once.md promises.

The names of worlds say what may go wrong in them. What the page leaves open has worlds of its own, which are expected
to fail; the schedule is in the message of the failure.
"""

from dataclasses import replace
from functools import cache

import pytest

from tests.protocol.explore import Explored, Schedules
from tests.protocol.promises import BrokenPromise
from tests.protocol.world import Shows, World

LAGS = (0, 2, 10, 30)

#: Beside at once, in the middle of a search, in the second before a create is sent once more, and long after all.
LATE = (0, 20, 41, 300)

#: One task, killed once, whose create is lost once.
ALONE = World(delays=(0, 30, 400), late=LATE)

#: The same where Airflow takes an attempt for dead that goes on at once, soon, or in half an hour.
TAKEN_FOR_DEAD = World(zombies=1, kills=0, faults=0, stalls=(0, 20, 2000), delays=(0, 400), late=LATE)

SIBLINGS = World(siblings=2, kills=0, faults=0, starts=(0, 1, 5, 11, 13, 40), late=LATE)

#: The first attempt halves its shard, or its retry does; each of them may find what the other has made.
FIRST_HALVES, RETRY_HALVES = ((0, 1),), ((0, 2),)

LYING: tuple[Shows, ...] = ("no metadata", "ids only", "first page again", "first page only", "nothing", "old ones")
OLDER = ("cancelled", "failed", "completed", "in_progress")

HOLDS = {
    **{f"list lags {lag} s": replace(ALONE, lags=(lag,), refusals=1) for lag in (0, 2, 10)},
    **{f"list lags {lag} s, no create lost": replace(ALONE, lags=(lag,), faults=0) for lag in LAGS},
    **{f"list lags {lag} s, nobody killed": replace(ALONE, lags=(lag,), kills=0) for lag in LAGS},
    "two kills": replace(ALONE, lags=(2,), kills=2, faults=0),
    "cleared": replace(ALONE, lags=(10,), clears=1),
    "any lag, two kills": replace(ALONE, lags=(0, 10), kills=2, delays=(0, 30)),
    "noted": replace(ALONE, lags=(10,), remembers=True, clears=1),
    **{f"older {status}": replace(ALONE, lags=(10,), older=status) for status in OLDER},
    **{f"fresh beside {status}": replace(ALONE, lags=(10,), older=status, reuse="never") for status in OLDER},
    **{f"list shows {shows}, a kill": replace(ALONE, shows=shows, faults=0) for shows in LYING},
    **{f"list shows {shows}, a lost create": replace(ALONE, shows=shows, kills=0) for shows in LYING},
    **{f"list shows {shows} of older": replace(ALONE, shows=shows, older="cancelled", kills=0) for shows in LYING},
    **{f"taken for dead, list lags {lag} s": replace(TAKEN_FOR_DEAD, lags=(lag,)) for lag in LAGS},
    **{f"taken for dead, a kill, list lags {lag} s": replace(TAKEN_FOR_DEAD, lags=(lag,), kills=1) for lag in (2, 10)},
    **{f"siblings, list lags {lag} s": replace(SIBLINGS, lags=(lag,)) for lag in LAGS},
    **{f"siblings, a kill, list lags {lag} s": replace(SIBLINGS, lags=(lag,), kills=1, starts=(0, 5)) for lag in LAGS},
    **{
        f"{who} halves, {what}": replace(world, halves=halves, lags=(2,), delays=(0, 30), late=(0, 300))
        for who, halves in (("the first attempt", FIRST_HALVES), ("a retry", RETRY_HALVES), ("each", ((0, 1), (0, 2))))
        for what, world in (
            ("a kill", replace(ALONE, faults=0)),
            ("a lost create", replace(ALONE, kills=0)),
            ("taken for dead", TAKEN_FOR_DEAD),
        )
    },
    "a sibling halves": replace(SIBLINGS, lags=(2,), halves=((0, 1),)),
    "a later sibling halves": replace(SIBLINGS, lags=(2,), halves=((1, 1),)),
    "both creates of an attempt lost": replace(ALONE, lags=(2,), kills=0, faults=2),
    "a kill after a late create, list lags 30 s": replace(ALONE, lags=(30,)),
    "a retry's late create beside an attempt taken for dead": replace(TAKEN_FOR_DEAD, faults=1),
    "taken for dead after a late create": replace(TAKEN_FOR_DEAD, lags=(2,), faults=1),
    "taken for dead, a kill, noted": replace(TAKEN_FOR_DEAD, lags=(10,), kills=1, remembers=True),
    "taken for dead in one second": replace(TAKEN_FOR_DEAD, kills=1, ids_fall=True),
    "a sibling's late create": replace(SIBLINGS, faults=1, starts=(0,)),
    "a sibling attaches after a late create": replace(SIBLINGS, lags=(2,), faults=1, starts=(44,)),
    "a sibling attaches after a kill": replace(SIBLINGS, lags=(30,), kills=1, starts=(60,)),
}

#: Worlds in which a list that shows nothing new leaves no way to tell: docs/paid-once.md names them as left open. The
#: failure has a shortest schedule in it.
BLIND = "a retry that finds no input file takes its batch for the only one, although its predecessor may be alive"
TWICE = "where the list shows nothing new, two creates may be uncertain at once"
BREAKS = {
    "taken for dead, list shows nothing": (replace(TAKEN_FOR_DEAD, shows="nothing"), BLIND),
    "taken for dead, list shows no metadata": (replace(TAKEN_FOR_DEAD, shows="no metadata"), BLIND),
    "a kill and a lost create, list shows nothing": (replace(ALONE, shows="nothing"), TWICE),
}


@cache
def explored(name: str) -> Explored:
    return Schedules(HOLDS[name]).explore()


@pytest.mark.parametrize("name", HOLDS)
def test_a_row_is_paid_once_and_nothing_is_cancelled_that_somebody_waits_for(name: str) -> None:
    print(name, explored(name))


def test_many_schedules_are_explored() -> None:
    """A search that misses a choice would find no fault either."""
    found = list(map(explored, HOLDS))
    states, schedules = sum(one.states for one in found), sum(one.schedules for one in found)
    print(f"{len(found)} worlds, {states:,} states, {schedules:,} schedules")
    assert states > 75_000
    assert schedules > 150_000


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(world, id=name, marks=pytest.mark.xfail(reason=reason, raises=BrokenPromise, strict=True))
        for name, (world, reason) in BREAKS.items()
    ],
)
def test_a_row_may_be_paid_twice_where_no_list_tells(world: World) -> None:
    Schedules(world).explore()


@pytest.mark.parametrize("seed", range(8))
def test_schedules_beyond_the_bounds_keep_the_promises_too(seed: int) -> None:
    """Two kills and a lost create, and a list that shows some batches later than newer ones."""
    schedules = Schedules(replace(ALONE, lags=(0, 2, 10), kills=2, attempts=4, delays=(0, 5, 30, 400)))
    for walk in range(250):
        schedules.walk(seed * 1000 + walk)


@pytest.mark.slow
@pytest.mark.parametrize("lag", [2, 10])
def test_a_row_is_paid_once_within_wider_bounds(lag: int) -> None:
    for world in (
        replace(TAKEN_FOR_DEAD, lags=(lag,), kills=1, stalls=(0, 3, 20, 60, 2000)),
        replace(SIBLINGS, lags=(lag,), kills=2, delays=(0, 30)),
        replace(ALONE, lags=(0, lag), kills=2, clears=1, remembers=True),
    ):
        print(world, Schedules(world).explore())
