"""The retry policy: how soon a task is tried again, by what went wrong. It needs Airflow 3.3 or newer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_kimi.compat.retries import RetryDecision, RetryPolicy
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiNoAnswerError

if RetryPolicy is None:
    raise ImportError(
        "KimiRetryPolicy needs Airflow 3.3 or newer, whose tasks have a retry_policy. On an older Airflow leave it "
        "out: errors that may pass are retried as retries and retry_delay say, and all others fail the task at once."
    )

#: How long Airflow 3.4 and newer goes on trying without using up a retry.
LONGEST_WAIT = timedelta(days=3)

#: Errors that time or somebody else heals, though the same call fails until then.
_LATER = frozenset({"balance", "daily_tokens", "file_quota"})


class KimiRetryPolicy(RetryPolicy):
    """Try again later what money, quotas and limits refuse, soon what is a passing fault, and never a wrong input.

    ======================================================  ==========================================
    what went wrong                                         the task
    ======================================================  ==========================================
    balance or budget, tokens of a day, number of files     tries again after ``later``
    too many requests, or batches in the queue              tries again after ``soon``, or as long as the platform asks
    no answer, a fault of the platform, a broken download   the same
    an untrusted certificate, a proxy that refuses          fails at once
    input, connection, key, an id that does not exist       fails at once
    anything that is no ``KimiError``                       as its ``retries`` and ``retry_delay`` say
    ======================================================  ==========================================

    Every try counts towards the task's ``retries``. On Airflow 3.4 and newer the first two rows use up no retry for
    three days; the task is ``up_for_reschedule`` meanwhile.

    :param soon: Time until the next try after a fault that passes.
    :param later: Time until the next try after one that lasts for hours.
    """

    def __init__(self, soon: timedelta = timedelta(minutes=5), later: timedelta = timedelta(hours=6)) -> None:
        self.soon = soon
        self.later = later

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Decide by the type and the ``kind`` of an error, never by its text."""
        if not isinstance(exception, KimiError):
            return RetryDecision.default()
        kind = type(exception).__name__
        if isinstance(exception, (KimiApiError, KimiNoAnswerError)) and exception.kind != "unknown":
            kind = exception.kind
        if kind in _LATER:
            return _waiting(max(self.later, _asked(exception)), f"{kind}: it needs time, or somebody's help")
        if not exception.retryable:
            return RetryDecision.fail(f"{kind}: no retry can help")
        delay = max(self.soon, _asked(exception))
        if kind in ("rate_limit", "queue"):
            return _waiting(delay, f"{kind}: the platform asks to slow down")
        return RetryDecision.retry(delay, f"{kind}: it may pass")


def _asked(error: KimiError) -> timedelta:
    return timedelta(seconds=error.retry_after_seconds or 0.0)


def _waiting(delay: timedelta, reason: str) -> RetryDecision:
    """Try again without using up a retry, where Airflow can."""
    if hasattr(RetryDecision, "reschedule"):
        decision: RetryDecision = RetryDecision.reschedule(delay, reschedule_timeout=LONGEST_WAIT, reason=reason)
        return decision
    return RetryDecision.retry(delay, reason)
