"""How soon to poll again: soon while a batch is young or nearly done, seldom in between, seldom while polls fail."""

from airflow_provider_kimi.api.models import Batch

#: Shortest time between deferring and the first poll. An event that fires at once can overtake the end of the
#: process that deferred, and the executor then takes the resumed task for a failed one.
FIRST_POLL_SECONDS = 5.0

#: Shortest pause that is chosen for a user; the platform advises 10 to 60 seconds.
SHORTEST_PAUSE_SECONDS = 10.0

#: Longest pause that is chosen for a batch with a window of a day; longer windows allow longer ones.
LONGEST_PAUSE_SECONDS = 60.0

#: A window without a known length.
_DAY_SECONDS = 86_400.0

#: How many times longer failed polls make a pause, and how long at most, unless the user's own pause is longer.
MAX_FAULT_FACTOR = 5.0
MAX_FAULT_PAUSE_SECONDS = 300.0

#: Longest pause that the platform can ask for; a wait must not sleep through the end of its batch.
MAX_RETRY_AFTER_SECONDS = 900.0

#: Longest pause before a batch is polled again that a sweep showed nothing of: it did not get to it, or it met a fault
#: that looks permanent and has to be confirmed.
CONFIRM_SECONDS = 10.0

#: The same where a task, or a search of the account, polls once and waits for the answer.
CONFIRM_SOON_SECONDS = 2.0

#: Requests a minute that waits may send over a connection which says nothing else: what the lowest tier allows.
#: Whether polls count is not documented.
DEFAULT_REQUESTS_PER_MINUTE = 3.0


def first_pause(own_pause: float | None) -> float:
    """Seconds from the start of a wait to its first poll; `own_pause` is the pause that the user asked for."""
    return max(SHORTEST_PAUSE_SECONDS if own_pause is None else own_pause, FIRST_POLL_SECONDS)


def pause_between_polls(batch: Batch | None, now: float) -> float:
    """Choose the seconds between two polls of a batch.

    A thirtieth of its age, so that news is late by a small part of what the batch has taken, from ten seconds to a
    minute for each day of its window; shorter near the end, as its counts show it, but at least a thousandth of its
    age, so that a batch which never ends is not polled ever faster.

    :param batch: As it was last read; None if it was not.
    """
    if batch is None or batch.created_at is None:
        return SHORTEST_PAUSE_SECONDS
    age = max(0.0, now - batch.created_at)
    window = _DAY_SECONDS if batch.expires_at is None else min(batch.expires_at - batch.created_at, 7 * _DAY_SECONDS)
    longest = LONGEST_PAUSE_SECONDS * max(1.0, window / _DAY_SECONDS)
    pause = min(max(age / 30, SHORTEST_PAUSE_SECONDS), longest)
    left = _seconds_left(batch, now)
    return pause if left is None else min(pause, max(SHORTEST_PAUSE_SECONDS, age / 1000, left / 2))


def _seconds_left(batch: Batch, now: float) -> float | None:
    """Guess when a batch ends: by its counts, or, while results are assembled, by how long that has taken already."""
    assembling = batch.finalizing_at if batch.status == "finalizing" else batch.cancelling_at
    if batch.status in ("finalizing", "cancelling"):
        return None if assembling is None else max(0.0, now - assembling) / 10
    rate = rows_per_second(batch, now)
    return rows_left(batch) / rate if rate else None


def rows_per_second(batch: Batch, now: float) -> float:
    """How many rows completed or failed a second, since a batch began; zero where that is not known."""
    started = batch.in_progress_at or batch.created_at
    done = batch.counts.completed + batch.counts.failed
    return done / (now - started) if started is not None and now > started else 0.0


def rows_left(batch: Batch) -> int:
    """How many rows have neither completed nor failed."""
    return max(0, batch.counts.total - batch.counts.completed - batch.counts.failed)


def pause_after_faults(pause: float, faults: int, retry_after: float | None) -> float:
    """Lengthen a pause after polls that failed.

    :param pause: Seconds without faults; kept at least.
    :param faults: Failed polls in a row.
    :param retry_after: Seconds that the platform asked to wait; None if it did not.
    """
    doubled = min(pause * min(2.0 ** min(max(0, faults - 1), 30), MAX_FAULT_FACTOR), MAX_FAULT_PAUSE_SECONDS)
    return max(pause, doubled, min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))


def seconds_per_request(requests_per_minute: float | None, own_pause: float | None) -> float:
    """How much time a request of a wait must be given, for the connection's sake.

    :param requests_per_minute: What the connection allows; None if it says nothing. The user's own pause then stands,
        and a pace of our choice keeps to what the lowest tier allows.
    :param own_pause: Seconds between two polls that the user asked for; None for a pace of our choice.
    """
    if requests_per_minute is not None:
        return 60.0 / requests_per_minute
    return 60.0 / DEFAULT_REQUESTS_PER_MINUTE if own_pause is None else 0.0
