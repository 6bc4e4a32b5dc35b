"""Why no answer came: what servers of a test cannot show."""

import traceback
from typing import Any

import httpx  # noqa: TID253  # its errors are what is read
import openai  # noqa: TID253
import pytest

from airflow_provider_kimi.api.errors import translated
from airflow_provider_kimi.api.settings import read_settings
from airflow_provider_kimi.api.unreachable import unusable_client
from airflow_provider_kimi.exceptions import KimiNoAnswerError

SETTINGS = read_settings(
    "kimi_default", host="https://gateway.invalid/v1", port=None, password="sk-0123456789", extra={}
)


def translate(error: Exception, proxy: str = "") -> KimiNoAnswerError:
    with pytest.raises(KimiNoAnswerError) as caught, translated(SETTINGS, "reading", "Unknown.", proxy=proxy):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("Invalid username/password", True),
        ("Requested NO AUTH REQUIRED from proxy server, but got NO ACCEPTABLE METHODS.", True),
        ("Proxy Server could not connect: Host unreachable.", False),
        ("429 Too Many Requests", False),
        ("451 Unavailable For Legal Reasons", True),
    ],
)
def test_a_proxy_that_refuses_a_login_or_a_host_lasts_and_one_that_finds_no_way_passes(text: str, lasts: bool) -> None:
    error = translate(httpx.ProxyError(text), "socks5://proxy:1080")
    assert (error.kind, error.retryable, error.outcome_unknown) == ("proxy", not lasts, False)
    assert "The proxy socks5://proxy:1080 " in str(error)
    assert ("asks for a login" in str(error)) is ("NO AUTH" in text or "username" in text)


def test_a_connection_that_is_not_free_in_time_was_not_used() -> None:
    error = translate(httpx.PoolTimeout("timed out"))
    assert (error.kind, error.outcome_unknown) == ("timeout", False)
    assert "No connection to gateway.invalid was free within 120 s" in str(error)


def test_what_another_call_met_before_does_not_count() -> None:
    try:
        raise httpx.ProxyError("407")
    except httpx.ProxyError:
        error = translate(httpx.ReadError("secret"))
    assert (error.kind, error.retryable) == ("closed", True)


def test_the_text_of_a_cause_that_may_repeat_an_answer_is_not_chained() -> None:
    error = translate(httpx.RemoteProtocolError("illegal status line: bytearray(b'secret')"))
    log = "".join(traceback.format_exception(error))
    assert "httpx.RemoteProtocolError" in log
    assert "secret" not in log


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), RuntimeError("of another kind"), ImportError("h2")]
)
def test_what_is_not_of_the_environment_is_not_taken_for_it(error: Exception) -> None:
    assert unusable_client(error, SETTINGS, {}) is None


def test_a_text_that_cannot_be_read_may_be_of_an_answer_so_the_call_may_have_been_sent() -> None:
    request: Any = httpx.Request("POST", SETTINGS.base_url)
    error = openai.APIConnectionError(request=request)
    error.__cause__ = UnicodeError("label empty or too long")
    assert translate(error).outcome_unknown
