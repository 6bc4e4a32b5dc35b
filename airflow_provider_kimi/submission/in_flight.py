"""In flight: how many batches may run, of a task and of the account, and whether a refusal only means: later."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_kimi.api.errors import is_by_size
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiError

#: No batch runs longer: the longest window is 7 days, and results are assembled behind it.
LONGEST_RUN_SECONDS = 8 * 86_400.0

#: Refusals of a create that time heals, though nobody changes anything.
_PASSING = frozenset({"queue", "rate_limit", "daily_tokens"})


class Room(NamedTuple):
    """Room for further batches.

    :param batches: How many.
    :param has_turns: Whether the account's limit leaves no more, so that other tasks may wait for the same room.
    """

    batches: float = math.inf
    has_turns: bool = False


@dataclass(frozen=True)
class InFlight:
    """How many batches may run at a time.

    :param most: Of the task; None for no limit.
    :param is_pilot: Whether the first batch is to have ended before there is another.
    """

    most: int | None = None
    is_pilot: bool = False

    def room(self, calls: Calls, running: int, made: int = 0, just_ended: int = 0) -> Room:
        """How many more batches may be created.

        Room that the task's own batches have just left is not simply its own, where others may wait for it: they all
        look for it after pauses of random length, and so does the task then.

        :param running: How many batches of the task run.
        :param made: How many batches of the round exist.
        :param just_ended: How many have ended, which is why it looks for room now.
        """
        own = math.inf if self.most is None else max(0, self.most - running)
        if self.is_pilot and made < 2:  # behind a pilot that has passed there are others
            own = 1 - made
        most = calls.hook.settings.max_in_flight
        if most is None or not own:
            return Room(own)
        try:
            active = count_active(calls)
        except KimiError as error:
            calls.log.warning("Whether there is room for more batches could not be read: %s", error)
            return Room(0, has_turns=True)
        free = max(0, most - active)
        share = 0 if free <= just_ended else math.ceil(free / 2)  # who looks first leaves some to the others
        if not share:
            calls.log.info(
                "%s batches of the account run, and connection %r allows %s (max_in_flight): the task waits for room.",
                *(active, calls.hook.kimi_conn_id, most),
            )
        return Room(min(own, share), has_turns=share < own)


def count_active(calls: Calls) -> int:
    """How many batches of the account run."""
    search = find_batches(calls, lambda batch: not batch.is_terminal, since=calls.now() - LONGEST_RUN_SECONDS)
    return len(search.batches)


def only_means_later(calls: Calls, error: KimiError) -> bool:
    """Whether a create was refused for lack of room: in the queue, or under a balance that is not used up."""
    if not isinstance(error, KimiApiError) or error.outcome_unknown:
        return False
    return error.kind in _PASSING or (error.kind == "balance" and not is_used_up(calls))


def is_used_up(calls: Calls) -> bool:
    """Whether there is no money left, so that no batch at all can start; false where that cannot be read."""
    try:
        return calls.hook.get_balance().available_balance <= 0
    except KimiError as error:
        calls.log.info("The balance could not be read: %s", error)
        return False


def is_too_large(error: KimiError) -> bool:
    """Whether a smaller batch may get through that was refused."""
    return isinstance(error, KimiApiError) and (error.kind == "balance" or is_by_size(str(error)))
