"""Explore: every order of steps, and everything that may go wrong in it, one level of steps after another.

A state is a value, and so is every choice between its followers: a schedule is a sequence of small integers. States of
one level that are equal are followed once, since what was before them makes no difference. So a fault is found on a
shortest schedule, and a few hundred thousand states stand for all schedules within the bounds.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from airflow_provider_kimi.exceptions import KimiError
from tests.protocol.actors import Actor, Actors, Left, Role, State
from tests.protocol.promises import BrokenPromise, check_cancel, check_delete, check_end, check_return
from tests.protocol.world import START, Fault, Platform, Request, World

#: Calls after which it matters whether their actor still sees the answer.
WRITES = frozenset({"upload_file", "create_batch", "cancel_batch", "delete_file", "note"})

#: A step in words, and the state after it.
Step = tuple[str, State]


class Outcome(NamedTuple):
    """What a call may come to."""

    words: str
    answer: Any
    platform: Platform
    left: Left


class Explored(NamedTuple):
    """How much a search has seen.

    :param schedules: Orders of steps from the start to an end that these states stand for.
    """

    states: int
    schedules: int


class Schedules:
    """All schedules of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._actors = Actors(world)
        self._first = 1 if world.older is None else 2

    def start(self) -> list[Step]:
        """The states in which a schedule may begin."""
        world = self.world
        left = Left(world.kills, world.faults, world.refusals, world.zombies, world.clears)
        state = State(START, self._older_platform(), (), left)
        state = self._started(state, Role(0, self._first), START)
        if world.siblings == 1:
            return [("begin", state)]
        sibling = Role(1, self._first)
        return [(f"sibling starts at {at}", self._started(state, sibling, START + at)) for at in world.starts]

    def steps(self, state: State) -> list[Step]:
        """Everything that may happen next; nothing at the end."""
        return [
            step
            for place, actor in enumerate(state.actors)
            if actor.runs and actor.wakes <= state.now
            for step in self._steps_of(state, place, actor)
        ]

    def explore(self) -> Explored:
        """Follow every schedule to its end.

        :raises BrokenPromise: With a shortest schedule that breaks one.
        """
        schedules = states = 0
        level: dict[State, tuple[int, tuple[int, ...]]] = {}
        for number, (_, state) in enumerate(self.start()):
            level[state] = (1, (number,))
        while level:
            states += len(level)
            following: dict[State, tuple[int, tuple[int, ...]]] = {}
            for state, (count, schedule) in level.items():
                with_steps = self._checked(state, schedule)
                schedules += count if not with_steps else 0
                for number, (_, after) in enumerate(with_steps):
                    before, known = following.get(after, (0, (*schedule, number)))
                    following[after] = (before + count, known)
            level = following
        return Explored(states, schedules)

    def walk(self, seed: int) -> None:
        """Follow one random schedule to its end."""
        choose, schedule = random.Random(seed), []
        steps = self.start()
        while steps:
            schedule.append(choose.randrange(len(steps)))
            steps = self._checked(steps[schedule[-1]][1], schedule)

    def told(self, schedule: Sequence[int]) -> str:
        """A schedule in words, a line for each step."""
        lines, steps = [], self.start()
        for number in schedule:
            words, state = steps[number]
            lines.append(f"  {words}  [now {state.now - START}]")
            try:
                steps = self.steps(state)
            except BrokenPromise as broken:
                lines.append(f"  {broken}")
        return "\n".join(lines)

    def _checked(self, state: State, schedule: Sequence[int]) -> list[Step]:
        try:
            steps = self.steps(state)
            if not steps:
                check_end(self.world, state)
        except BrokenPromise as broken:
            raise BrokenPromise(f"{broken}\n{self.world}\nschedule {list(schedule)}:\n{self.told(schedule)}") from None
        return steps

    def _older_platform(self) -> Platform:
        """What a first attempt has left, which ended long ago."""
        if self.world.older is None:
            return Platform()
        platform, now = Platform(), START - 60
        node = self._actors.begin(Role(0, 1))
        while isinstance(node.request, Request):
            (outcome, *_) = self._outcomes(platform, now, node.request, Left())
            platform, node = outcome.platform, self._actors.go_on(Role(0, 1), node, outcome.answer)
        ended = [
            stored._replace(batch=replace(stored.batch, status=self.world.older), listed_at=now)
            for stored in platform.batches
        ]
        return platform._replace(batches=tuple(ended))

    def _steps_of(self, state: State, place: int, actor: Actor) -> Iterator[Step]:
        request = actor.node.request
        assert request is not None
        who = f"{actor.role.instance}:{actor.role.number}{' waits' if actor.role.waits_for else ''} {request.name}"
        self._check_call(state, actor, request)
        outcomes = self._outcomes(state.platform, state.now, request, state.left, actor)
        for words, answer, platform, left in outcomes:
            after = state._replace(platform=platform, left=left)
            node = self._actors.go_on(actor.role, actor.node, answer)
            yield from self._settled(f"{who} {words}", after, place, actor._replace(node=node))
            if request.name in WRITES and left.kills and not actor.role.waits_for:
                after = after._replace(left=left._replace(kills=left.kills - 1))
                yield from self._settled(f"{who} {words}, and is killed", after, place, actor._replace(is_dead=True))
        if actor.role.waits_for:
            return
        if fewer := state.left.less("kills"):
            killed = actor._replace(is_dead=True)
            yield from self._settled(f"{who} not sent, killed", state._replace(left=fewer), place, killed)
        if (fewer := state.left.less("zombies")) and self._is_latest(state, actor.role):
            for stall in self.world.stalls:
                after = _with(state, place, actor._replace(wakes=state.now + stall))._replace(left=fewer)
                following = self._started(after, _next(actor.role), state.now)
                yield f"{who} not yet, stands still for {stall}; next attempt", self._clocked(following)

    def _check_call(self, state: State, actor: Actor, request: Request) -> None:
        if request.name == "cancel_batch":
            check_cancel(state, actor.role, request.parameters[0])
        if request.name == "delete_file":
            check_delete(state, request.parameters[0])

    def _outcomes(
        self, platform: Platform, now: int, request: Request, left: Left, actor: Actor | None = None
    ) -> Iterator[Outcome]:
        world = self.world
        if request.name == "sleep":
            yield Outcome("", None, platform, left)
            return
        if request.name != "create_batch":
            yield Outcome("", *world.answer(platform, now, request), left)
            return
        for lag in world.lags:
            yield Outcome(f"made (lag {lag})", *world.made(platform, now, lag, *request.parameters), left)
        if fewer := left.less("faults"):
            yield Outcome("lost, not made", Fault(None), platform, fewer)
            for late in world.late:
                _, after = world.made(platform, now + late, world.lags[-1], *request.parameters)
                yield Outcome(f"lost, made {late} s later", Fault(None), after, fewer)
        if (fewer := left.less("refusals")) and actor and Fault(None) in actor.node.answers:
            yield Outcome("refused", Fault(403), platform, fewer)

    def _settled(self, words: str, state: State, place: int, actor: Actor) -> Iterator[Step]:
        """Let an actor pause, end, or be dead, and say what follows from that."""
        while actor.runs and actor.node.request and actor.node.request.name == "sleep":
            (seconds,) = actor.node.request.parameters
            actor = actor._replace(
                node=self._actors.go_on(actor.role, actor.node, None), wakes=max(actor.wakes, state.now) + seconds
            )
        state = _with(state, place, actor)
        if actor.runs or actor.role.waits_for or not self._is_latest(state, actor.role):
            yield words, self._clocked(state)
            return
        ended = None if actor.is_dead else actor.node.ended
        if isinstance(ended, tuple):
            check_return(self.world, state, actor.role, ended)
            ids = tuple(batch.id for batch in ended)
            yield f"{words}; {', '.join(ids)} is waited for", self._clocked(self._waiting(state, actor.role, ids))
            if left := state.left.less("clears"):
                cleared = self._waiting(state._replace(left=left), actor.role, ids, is_cleared=True)
                yield from self._next_attempts(f"{words}; cleared", cleared, actor.role)
        elif isinstance(ended, KimiError) and not (ended.retryable and self._has_more(actor.role)):
            yield f"{words}; failed", self._clocked(state)
        else:
            yield from self._next_attempts(words, state, actor.role)

    def _has_more(self, role: Role) -> bool:
        return role.number + 1 - self._first < self.world.attempts

    def _next_attempts(self, words: str, state: State, role: Role) -> Iterator[Step]:
        for delay in self.world.delays:
            started = self._started(state, _next(role), state.now + delay)
            yield f"{words}; next attempt in {delay}", self._clocked(started)

    def _started(self, state: State, role: Role, at: int) -> State:
        return state._replace(actors=(*state.actors, Actor(role, self._actors.begin(role), at)))

    def _waiting(self, state: State, role: Role, batch_ids: tuple[str, ...], is_cleared: bool = False) -> State:
        wait = role._replace(waits_for=batch_ids)
        actor = Actor(wait, self._actors.begin(wait), state.now, is_cleared)
        return state._replace(actors=(*state.actors, actor))

    def _is_latest(self, state: State, role: Role) -> bool:
        return not any(
            actor.role.instance == role.instance and actor.role.number > role.number for actor in state.actors
        )

    def _clocked(self, state: State) -> State:
        """Let the clock go on to the next actor that goes on, if none does now."""
        moments = [actor.wakes for actor in state.actors if actor.runs]
        return state._replace(now=max(state.now, min(moments, default=state.now)))


def _next(role: Role) -> Role:
    return role._replace(number=role.number + 1)


def _with(state: State, place: int, actor: Actor) -> State:
    return state._replace(actors=(*state.actors[:place], actor, *state.actors[place + 1 :]))
