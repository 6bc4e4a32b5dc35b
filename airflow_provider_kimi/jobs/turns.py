"""Turns: when a task looks for room in the account, beside all others that do."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from airflow_provider_kimi.records.pending import Pending

#: Mean pause between two looks for room, where the task has no `poke_interval`.
TURN_SECONDS = 300.0

#: Longest mean pause. It doubles as long as the platform refuses one shard for its size or price.
LONGEST_TURN_SECONDS = 3600.0


@dataclass(frozen=True)
class ToCome:
    """Batches of a task that are created later, once there is room for them.

    :param count: How many.
    :param fewer_than: There is room once fewer batches of the task than this run; None if that is no matter of these.
    :param look_at: Unix seconds at which the task looks for room in the account.
    :param idle_since: Since when it has found none, from when the time of the wait counts; None for from now on.
    """

    count: int = 0
    fewer_than: int | None = None
    look_at: float | None = None
    idle_since: float | None = None


#: Of a task that creates nothing later.
NOTHING_TO_COME = ToCome()


def with_turn(pending: Pending, own_pause: float | None, now: float, jitter: float) -> Pending:
    """Decide when the task looks for room next, if it is not its own batches that leave it.

    The pause is of random length, and as long for everybody, so that all who wait for the account's room find it
    equally often.

    :param own_pause: Seconds between two polls that the user asked for; None for a pace of our choice.
    :param now: Unix seconds.
    :param jitter: 0 to 1.
    """
    if not pending.has_turns:
        return pending.without_turns()
    mean = TURN_SECONDS if own_pause is None else own_pause
    mean = max(mean, min(mean * 2.0 ** min(pending.shards[0].refusals, 30), LONGEST_TURN_SECONDS))
    return replace(pending, turn_at=now + mean * (0.5 + jitter), idle_since=pending.idle_since or now)


def to_come_of(pending: Pending, most: int | None) -> ToCome:
    """What ends the wait for room.

    :param most: Most batches of the task that run at a time; None for no limit.
    """
    count = len(pending.shards)
    if pending.turn_at is None:
        return ToCome(count, fewer_than=most)
    return ToCome(count, look_at=pending.turn_at, idle_since=pending.idle_since)
