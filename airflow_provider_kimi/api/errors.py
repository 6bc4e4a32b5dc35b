"""Errors of the platform and the SDK, as errors that say what to do."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from airflow_provider_kimi.api.redaction import redact, without_prompt
from airflow_provider_kimi.api.replies import read_reply
from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.api.unreachable import chain_of, no_answer, safe_cause
from airflow_provider_kimi.exceptions import (
    ApiErrorKind,
    KimiApiError,
    KimiError,
    is_outcome_unknown,
)

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

_UNCHANGED = "Nothing was changed by this call."

#: The one rate limit that no short wait helps against.
_DAILY_LIMIT = re.compile(r"\btpd\b|\bper day\b")


#: How a full queue may be spelled; nothing is documented.
_FULL_QUEUE = re.compile(
    r"\benqueued?\b|\bqueue\b"
    r"|\b(?:concurrent|active|running|pending|queued|unfinished|outstanding|ongoing|simultaneous|parallel) batch"
    r"|\bbatch(?:es|_jobs| jobs)? (?:\w+ )?(?:in progress|running|active|queued)\b"
    r"|\b(?:too many|(?:number|limit|maximum) of) (?:\w+ ){0,2}batch(?:es\b|[_ ](?:jobs|tasks)\b)"
    r"|\bbatch(?:es|[_ ](?:jobs?|tasks?))? limit\b"
)

#: Answers that may say so.
_MAY_BE_FULL = frozenset({400, 403, 409, 429})

#: What a full queue counts if not batches.
_SIZE = re.compile(r"\benqueued\b|\btokens?\b|\brows?\b|\blines\b|\brequests\b")

_LACK_OF_MONEY = re.compile(r"insufficient balance|exceeded_current_quota|\bquota\b|\bbudget\b")


@dataclass(frozen=True)
class Advice:
    """What to do about an error.

    :param retryable: Whether the same call may succeed later.
    """

    kind: ApiErrorKind
    retryable: bool
    remedy: str


_ACCOUNT = Advice(
    "balance", False, "Top up the account or raise the project's budget on the console, then clear the task."
)
_DAILY = Advice(
    "daily_tokens", False, "The daily token limit is used up. Clear the task tomorrow, or raise the account's tier."
)
_QUEUE = Advice(
    "queue", True, "The account has as much in its queue as it may, which passes once batches of it have ended."
)
_LATER = Advice("rate_limit", True, "The platform asks to slow down, which passes.")
_FAULT = Advice("fault", True, "This is a fault on the platform's side, which may pass.")
_INPUT = Advice("input", False, "Correct what the platform names, then clear the task.")
_FULL = Advice(
    "file_quota",
    False,
    "The account holds as many files as it may. Delete some with KimiDeleteFilesOperator(older_than=...) or on the "
    "console, then clear the task.",
)
_FILTER = Advice("content_filter", False, "The platform's content filter refused the request. Change its content.")
_FORBIDDEN = Advice(
    "forbidden", False, "Check that the account may use the Batch API (tier 1 or above) and its IP allow-list."
)
_UNKNOWN_ID = Advice(
    "not_found",
    False,
    "What it names does not exist, was deleted or retired, or belongs to another account or region than the key. "
    "Check the connection before you submit again: batches may be running under another key.",
)


def advice_for(status_code: int, error_type: str | None, message: str) -> Advice:
    """Choose the advice by HTTP status, `error.type` and text together."""
    lowered = message.lower()
    if error_type == "exceeded_current_quota_error" or "insufficient balance" in lowered:
        return _ACCOUNT
    if error_type == "content_filter":
        return _FILTER
    if "max file count" in lowered or "max total file size" in lowered:
        return _FULL
    if status_code in _MAY_BE_FULL and is_full_queue(message):
        return _QUEUE
    if status_code == 429:
        return _DAILY if _DAILY_LIMIT.search(lowered) else _LATER
    if status_code in (408, 409, 425, 499) or status_code >= 500:
        return _FAULT
    return {401: replace(_FORBIDDEN, kind="key"), 403: _FORBIDDEN, 404: _UNKNOWN_ID}.get(status_code, _INPUT)


def is_full_queue(message: str) -> bool:
    """Whether a text of the platform says that no further batch, or not so many rows, fit into the account's queue."""
    return bool(_FULL_QUEUE.search(message.lower()))


def is_by_size(message: str) -> bool:
    """Whether such a text says that the rows or tokens of a batch are too many, not the batches."""
    return is_lack_of_money(message) or bool(_SIZE.search(message.lower()))


def is_lack_of_money(message: str) -> bool:
    """Whether a text of the platform says that the balance or a budget does not allow a batch."""
    return bool(_LACK_OF_MONEY.search(message.lower()))


@contextmanager
def translated(
    settings: ConnectionSettings,
    action: str,
    unanswered: str,
    timeout_seconds: float | None = None,
    proxy: str = "",
    messages: object = None,
) -> Iterator[None]:
    """Turn what the SDK and its HTTP client raise into a `KimiError`.

    A refusal is not chained, because its text repeats the answer with the ids in it. What is left of it as the context
    of our error is empty.

    :param action: What the call does, as in "reading batch 'batch_1'".
    :param unanswered: What is true if no answer comes, or the platform fails.
    :param timeout_seconds: How long the call may take; None for the connection's timeout.
    :param proxy: Address of the proxy on the way, without credentials; empty if there is none.
    :param messages: Chat messages that the call sends, which no error repeats; None if it sends none.
    """
    import openai

    handled = sys.exception()
    try:
        yield
    except openai.APIStatusError as error:
        refusal = _from_status(error, settings, action, unanswered, messages)
        _empty(error)
        raise refusal from None
    except Exception as error:
        if not isinstance(error, (openai.APIConnectionError, _transport_errors())):
            raise
        seconds = timeout_seconds or settings.timeout_seconds
        chain = chain_of(error, handled)
        raise no_answer(chain, settings, proxy, action, unanswered, seconds) from safe_cause(chain)


def decode(settings: ConnectionSettings, action: str, content: bytes, kind: type[T]) -> T:
    """Read a reply; one that is not what the API documents is a `KimiApiError`."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return read_reply(content, kind)
    raise odd_answer(settings, action)


def odd_answer(settings: ConnectionSettings, action: str) -> KimiApiError:
    """The error for an answer that is not what the API documents."""
    return KimiApiError(
        f"{settings.base_url} sent an answer that is not Kimi's while {action}. What it did is unknown. Check the "
        f"Base URL of connection {settings.conn_id!r}: it ends in /v1, and a gateway must not change answers.",
        status_code=None,
        retryable=True,
        kind="fault",
    )


def _empty(error: BaseException) -> None:
    """Take everything out of an error that holds a request and an answer, whoever looks at contexts."""
    error.args = ()
    vars(error).clear()
    error.__context__ = None


def _transport_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP client, which the SDK lets pass while a body is streamed (httpx2 since openai 3)."""
    return tuple(sys.modules[name].HTTPError for name in ("httpx", "httpx2") if name in sys.modules)


def _from_status(
    error: "openai.APIStatusError", settings: ConnectionSettings, action: str, unanswered: str, messages: object
) -> KimiError:
    headers = error.response.headers
    if 300 <= error.status_code < 400:
        return _redirected(error.status_code, headers.get("location"), settings, action, unanswered)
    error_type, said = _read_body(error.body, settings.api_key)
    request_id = _without_key(headers.get("msh-request-id", ""), settings.api_key) or None
    advice = advice_for(error.status_code, error_type, said)
    facts = f"HTTP {error.status_code}{f' {error_type}' if error_type else ''}"
    facts += f", {quoted!r}" if (quoted := without_prompt(said, messages)) else ""
    facts += f", request {request_id}" if request_id else ""
    state = unanswered if is_outcome_unknown(error.status_code) else _UNCHANGED
    message = f"Kimi refused {action} ({facts}). {state} {advice.remedy}"
    return KimiApiError(
        _key_refused(settings, action, facts) if error.status_code == 401 else message,
        status_code=error.status_code,
        error_type=error_type,
        retryable=advice.retryable,
        retry_after_seconds=_seconds(headers.get("retry-after") or headers.get("x-retry-after"), headers.get("date")),
        request_id=request_id,
        kind=advice.kind,
    )


def _redirected(
    status_code: int, location: str | None, settings: ConnectionSettings, action: str, unanswered: str
) -> KimiError:
    try:
        target = urlsplit(urljoin(settings.base_url, location)).netloc.rpartition("@")[2] if location else ""
    except ValueError:
        target = ""
    state = unanswered if is_outcome_unknown(status_code) else _UNCHANGED
    return KimiApiError(
        f"{settings.base_url} answered {action} with a redirect (HTTP {status_code}) to "
        f"{target or 'an address that it does not name'}. It was not followed, so that neither the key nor rows go to "
        f"another host. {state} If calls belong there, put that address into the Base URL of connection "
        f"{settings.conn_id!r}; otherwise look at the proxy or gateway in between.",
        status_code=status_code,
        kind="redirect",
    )


def _read_body(body: object, api_key: str) -> tuple[str | None, str]:
    """The type of an error, and what it says, both without the key; a page of HTML says nothing."""
    kind = None
    if isinstance(body, dict):
        kind, body = body.get("type"), str(body.get("message") or "")
    said = body if isinstance(body, str) and "<html" not in body.lower() else ""
    return _without_key(kind, api_key) if isinstance(kind, str) else None, _without_key(said, api_key)


def _without_key(text: str, api_key: str) -> str:
    return redact(text.replace(api_key, "<hidden>"))


def _key_refused(settings: ConnectionSettings, action: str, facts: str) -> str:
    other = {"cn": "intl", "intl": "cn"}.get(settings.region or "")
    where = f"region {settings.region!r}" if other else settings.base_url
    hint = f" A key works in one region only: if it was made in the other, set Region to {other!r}." if other else ""
    return (
        f"The key of connection {settings.conn_id!r} is refused by {where}. Nothing was changed by this call. Put a "
        f"valid key into its API key field, then clear the task.{hint} It was refused for {action} ({facts})."
    )


def _seconds(retry_after: str | None, date: str | None) -> float | None:
    """How long the platform asks to wait; a point in time is measured by the platform's own clock."""
    try:
        seconds = float(retry_after or "nan")
    except ValueError:
        seconds = _seconds_between(date, retry_after)
    return seconds if 0 <= seconds < float("inf") else None


def _seconds_between(date: str | None, later: str | None) -> float:
    times = unix_time(date), unix_time(later)
    return -1.0 if times[0] is None or times[1] is None else max(times[1] - times[0], 0.0)


def unix_time(http_date: str | None) -> float | None:
    """Read the date of a header, in any of the three forms of HTTP; None if it is not one."""
    try:
        date = parsedate_to_datetime(http_date or "")
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
