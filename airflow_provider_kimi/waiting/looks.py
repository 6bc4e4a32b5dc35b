"""Looks for doubles: a wait reads the account's batches, and one walk through them serves all waits of a connection."""

import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import CLOCK_MARGIN_SECONDS, Walk
from airflow_provider_kimi.calls.patience import in_time
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.waiting.cancel import ask_for_cancels
from airflow_provider_kimi.waiting.doubles import earliest_double, find_doubles, in_words
from airflow_provider_kimi.waiting.doubt import scope_of
from airflow_provider_kimi.waiting.pace import seconds_per_request
from airflow_provider_kimi.waiting.poll import Platform
from airflow_provider_kimi.waiting.wait_log import WaitLog

#: Batches of the account that are looked through. A double is near the top of a list that is in order.
MAX_BATCHES_SEARCHED = 1000

#: How long a walk serves other waits. A double that came since is found by their next look.
SHARED_SECONDS = 300.0


@dataclass
class _Walked:
    """The last walk over a connection.

    :param at: Unix seconds when it began.
    :param since: How far down it went.
    """

    at: float = -math.inf
    since: float = math.inf
    batches: Collection[Batch] = ()
    is_under_way: bool = False


_walks: WeakKeyDictionary[Platform, _Walked] = WeakKeyDictionary()


async def cancel_doubles(
    platform: Platform,
    ours: Mapping[str, Batch],
    now: float,
    wait_log: WaitLog,
    sleep: Callable[[float], Awaitable[object]],
) -> bool:
    """Look through the account's batches for doubles, and cancel those of the same task instance.

    :param ours: The batches that are waited for, by id.
    :return: Whether that is done; a fault that passes or concerns the connection, or a look of another wait, leaves it
        to a later poll.
    """
    try:
        listed = await batches_since(platform, earliest_double(ours.values()), now, sleep)
    except KimiError as error:
        return scope_of(error) == "batch"
    if listed is None:
        return False
    for double in find_doubles(ours, listed):
        if double.is_own and double.batch.is_cancellable:
            await ask_for_cancels(platform, [double.batch], in_words(double), wait_log)
        else:
            wait_log.warn(in_words(double), subject=f"double {double.batch.id} {double.batch.status}")
    return True


async def batches_since(
    platform: Platform, since: float, now: float, sleep: Callable[[float], Awaitable[object]]
) -> Collection[Batch] | None:
    """Return the account's batches of a time, as they are listed now or were a moment ago.

    :param since: Unix seconds of the platform's clock.
    :param now: Unix seconds.
    :return: None while another wait reads them.
    :raises KimiError: They cannot be read.
    """
    walked = _walks.setdefault(platform, _Walked())
    if walked.at <= now <= walked.at + SHARED_SECONDS and walked.since <= since:
        return walked.batches
    if walked.is_under_way:
        return None
    walked.is_under_way = True
    try:
        batches = await _walk(platform, since, sleep)
    finally:
        walked.is_under_way = False
    walked.at, walked.since, walked.batches = now, since, batches
    return batches


async def _walk(platform: Platform, since: float, sleep: Callable[[float], Awaitable[object]]) -> Collection[Batch]:
    # Times of the platform alone are compared, so the margin for other clocks is of no use.
    walk = Walk(since=since + CLOCK_MARGIN_SECONDS, most=MAX_BATCHES_SEARCHED)
    while not walk.is_over:
        if walk.after is not None:
            await sleep(seconds_per_request(platform.requests_per_minute, None))
        walk.take(await in_time(platform.alist_batches(after=walk.after, limit=PAGE_SIZE)))
    return walk.seen.values()
