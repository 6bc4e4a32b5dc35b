"""What errors of the platform say: what to do, and nothing that is secret."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.errors import (
    advice_for,
    decode,
    is_by_size,
    is_full_queue,
    translated,
)
from airflow_provider_kimi.api.models import Balance, Batch, Envelope
from airflow_provider_kimi.exceptions import KimiApiError, KimiInputError, KimiNoAnswerError
from tests.support.samples import make_settings

TOP_UP = "Top up the account"
TOMORROW = "The daily token limit is used up"
SLOW_DOWN = "The platform asks to slow down"
FAULT = "This is a fault on the platform's side"
CORRECT = "Correct what the platform names"
FILTER = "The platform's content filter refused"
FORBIDDEN = "Check that the account may use the Batch API"
QUEUE = "The account has as much in its queue as it may"
UNKNOWN_ID = "What it names does not exist, was deleted or retired, or belongs to another account or region"


@pytest.mark.parametrize(
    ("status_code", "error_type", "message", "retryable", "remedy"),
    [
        pytest.param(400, "invalid_request_error", "Invalid request: x", False, CORRECT, id="400"),
        pytest.param(400, None, "", False, CORRECT, id="400 without a type"),
        pytest.param(413, None, "", False, CORRECT, id="413"),
        pytest.param(400, "content_filter", "high risk", False, FILTER, id="400 content filter"),
        pytest.param(401, "invalid_authentication_error", "Invalid Authentication", False, FORBIDDEN, id="401"),
        pytest.param(403, "permission_denied_error", "not open to you", False, FORBIDDEN, id="403"),
        pytest.param(403, None, "insufficient balance", False, TOP_UP, id="403 of the help centre"),
        pytest.param(404, "resource_not_found_error", "not found", False, UNKNOWN_ID, id="404"),
        pytest.param(429, "engine_overloaded_error", "overloaded", True, SLOW_DOWN, id="429 overloaded"),
        pytest.param(429, "rate_limit_reached_error", "max RPM: 3", True, SLOW_DOWN, id="429 RPM"),
        pytest.param(429, None, "", True, SLOW_DOWN, id="429 without a type"),
        pytest.param(429, None, "organization max concurrency: 50", True, SLOW_DOWN, id="429 concurrent requests"),
        pytest.param(429, None, "reached the max of 3 concurrent batches", True, QUEUE, id="429 concurrent batches"),
        pytest.param(429, None, "too many batches in progress", True, QUEUE, id="429 batches in progress"),
        pytest.param(400, None, "Enqueued token limit reached", True, QUEUE, id="400 enqueued tokens"),
        pytest.param(403, None, "the queue is full", True, QUEUE, id="403 queue"),
        pytest.param(429, "rate_limit_reached_error", "max TPD: 500", False, TOMORROW, id="429 TPD"),
        pytest.param(429, "rate_limit_reached_error", "tokens per day", False, TOMORROW, id="429 per day"),
        pytest.param(429, "exceeded_current_quota_error", "", False, TOP_UP, id="429 quota"),
        pytest.param(429, None, "Suspended due to Insufficient Balance", False, TOP_UP, id="429 balance by its text"),
        pytest.param(408, None, "", True, FAULT, id="408"),
        pytest.param(409, None, "", True, FAULT, id="409"),
        pytest.param(425, None, "", True, FAULT, id="425"),
        pytest.param(499, "client_closed_request", "", True, FAULT, id="499"),
        pytest.param(500, "server_error", "", True, FAULT, id="500"),
        pytest.param(500, "unexpected_output", "", True, FAULT, id="500 unexpected output"),
        pytest.param(502, None, "", True, FAULT, id="502"),
        pytest.param(503, "server_unavailable", "", True, FAULT, id="503"),
        pytest.param(504, None, "", True, FAULT, id="504, which is HTML"),
    ],
)
def test_status_type_and_text_of_an_error_decide_about_a_retry(
    status_code: int, error_type: str | None, message: str, retryable: bool, remedy: str
) -> None:
    advice = advice_for(status_code, error_type, message)
    assert advice.retryable is retryable
    assert advice.remedy.startswith(remedy)


def test_a_reply_is_decoded() -> None:
    batch = decode(make_settings(), "reading", b'{"id": "batch_1", "status": "completed"}', Batch)
    assert batch == Batch(id="batch_1", status="completed")


def test_numbers_in_a_reply_may_be_text() -> None:
    reply = decode(make_settings(), "reading", b'{"data": {"available_balance": "12.5"}}', Envelope[Balance])
    assert reply.data == Balance(available_balance=12.5)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<html>504</html>", id="html"),
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"id": "batch_1"}', id="no status"),
        pytest.param(b'{"id": 1, "status": "completed"}', id="wrong type"),
        pytest.param(b'{"id": "\xff", "status": "completed"}', id="not UTF-8"),
        pytest.param(b'{"id": "batch_1", "status": "comp', id="cut"),
        pytest.param(b'{"id": "batch_1", "more": ' + b"[" * 100_000, id="nested too deeply"),
    ],
)
def test_an_answer_that_is_not_kimis_is_an_error_that_may_pass(content: bytes) -> None:
    with pytest.raises(KimiApiError) as caught:
        decode(make_settings(), "reading batch 'batch_1'", content, Batch)
    assert caught.value.status_code is None
    assert caught.value.retryable is True
    assert caught.value.outcome_unknown is True
    assert "sent an answer that is not Kimi's while reading batch 'batch_1'" in str(caught.value)
    assert caught.value.__cause__ is None


@given(content=st.binary())
def test_any_other_bytes_are_not_an_answer_of_kimi(content: bytes) -> None:
    with pytest.raises(KimiApiError):
        decode(make_settings(), "reading", content, Batch)


def test_an_answer_that_is_not_kimis_is_reported_with_host_and_connection_and_without_the_key() -> None:
    with pytest.raises(KimiApiError) as caught:
        decode(make_settings(host="https://gateway.example/v1"), "listing models", b"<html>", Batch)
    message = str(caught.value)
    assert message.startswith("https://gateway.example/v1 sent an answer that is not Kimi's while listing models.")
    assert "Check the Base URL of connection 'kimi_default'" in message
    assert "sk-secret0123" not in message


def test_an_error_of_ours_is_not_translated() -> None:
    ours = KimiInputError("x")
    with pytest.raises(KimiInputError) as caught, translated(make_settings(), "reading", "Unknown."):
        raise ours
    assert caught.value is ours


def test_a_bug_is_not_translated_into_a_fault_of_the_network() -> None:
    with pytest.raises(ZeroDivisionError), translated(make_settings(), "reading", "Unknown."):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("status_code", "body", "sentence"),
    [
        pytest.param(
            404,
            {"type": "resource_not_found_error", "message": "no <ak-1>"},
            "(HTTP 404 resource_not_found_error, 'no <hidden>', request req_1). Nothing was changed by this call. "
            "What it names does not exist, was deleted or retired, or belongs to another account or region",
            id="a documented refusal",
        ),
        pytest.param(
            400,
            {"message": "bad"},
            "(HTTP 400, 'bad', request req_1). Nothing was changed by this call. Correct what",
            id="no type",
        ),
        pytest.param(
            400,
            {"type": 7},
            "(HTTP 400, request req_1). Nothing was changed by this call. Correct what",
            id="no text",
        ),
        pytest.param(
            400, "plain", "(HTTP 400, 'plain', request req_1). Nothing was changed by this call. ", id="plain text"
        ),
        pytest.param(504, "<html>", "(HTTP 504, request req_1). Unknown. This is a fault on", id="HTML"),
        pytest.param(500, None, "(HTTP 500, request req_1). Unknown. This is a fault on", id="nothing"),
        pytest.param(408, None, "(HTTP 408, request req_1). Unknown. This is a fault on", id="given up waiting"),
        pytest.param(499, None, "(HTTP 499, request req_1). Unknown. This is a fault on", id="client left"),
        pytest.param(
            409,
            None,
            "(HTTP 409, request req_1). Nothing was changed by this call. This is a fault on",
            id="conflict",
        ),
        pytest.param(
            429,
            None,
            "(HTTP 429, request req_1). Nothing was changed by this call. The platform asks",
            id="slow down",
        ),
    ],
)
def test_a_refusal_says_what_happened_what_is_true_and_what_to_do(
    status_code: int, body: object, sentence: str
) -> None:
    error = refused(status_code, body, {"msh-request-id": "req_1"})
    assert str(error).startswith(f"Kimi refused reading {sentence}")
    assert (error.status_code, error.request_id) == (status_code, "req_1")
    assert error.__cause__ is None


def test_a_refused_key_says_first_what_to_do_and_may_be_of_the_other_region() -> None:
    error = refused(401, None, {"msh-request-id": "req_1"})
    assert str(error) == (
        "The key of connection 'kimi_default' is refused by region 'cn'. Nothing was changed by this call. Put a valid "
        "key into its API key field, then clear the task. A key works in one region only: if it was made in the other, "
        "set Region to 'intl'. It was refused for reading (HTTP 401, request req_1)."
    )
    assert (error.status_code, error.request_id) == (401, "req_1")


def test_a_key_that_a_gateway_refuses_is_reported_with_the_host() -> None:
    error = refused(401, None, {}, host="https://gateway.example/v1")
    assert str(error) == (
        "The key of connection 'kimi_default' is refused by https://gateway.example/v1. Nothing was changed by this "
        "call. Put a valid key into its API key field, then clear the task. It was refused for reading (HTTP 401)."
    )
    assert error.request_id is None


def test_a_key_that_the_international_region_refuses_may_be_a_chinese_one() -> None:
    """The other way round."""
    error = refused(401, None, {}, host="https://api.moonshot.ai/v1")
    assert "is refused by region 'intl'" in str(error)
    assert "set Region to 'cn'." in str(error)


@pytest.mark.parametrize("status_code", [400, 401, 429, 500])
def test_a_key_is_hidden_wherever_in_a_refusal_it_stands(status_code: int) -> None:
    key = make_settings().api_key
    body = {"type": f"bad_{key}", "message": f"{key} is bad", "code": key}
    error = refused(status_code, body, {"msh-request-id": f"req_{key}"})
    assert key not in f"{error}{error.error_type}{error.request_id}"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="documented"),
        pytest.param({"x-retry-after": "1.5"}, 1.5, id="the other header"),
        pytest.param({"retry-after": "7", "x-retry-after": "9"}, 7.0, id="both"),
        pytest.param({"retry-after": "0"}, 0.0, id="zero"),
        pytest.param({"retry-after": "-3"}, None, id="negative"),
        pytest.param({"retry-after": "inf"}, None, id="endless"),
        pytest.param({"retry-after": "1e999"}, None, id="too long for a number"),
        pytest.param({"retry-after": "nan"}, None, id="not a number"),
        pytest.param(
            {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:18:00 GMT"},
            600.0,
            id="a date",
        ),
        pytest.param(
            {"x-retry-after": "Wednesday, 21-Oct-26 07:28:00 GMT", "date": "Wed Oct 21 07:18:00 2026"},
            600.0,
            id="dates in the older forms",
        ),
        pytest.param(
            {"retry-after": "Wed, 21 Oct 2026 07:18:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            0.0,
            id="a date that is over",
        ),
        pytest.param({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None, id="a date, and no clock"),
        pytest.param({"retry-after": "soon", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None, id="a word"),
        pytest.param({}, None, id="none"),
    ],
)
def test_the_pause_that_the_platform_asks_for_is_kept_in_the_error(
    headers: dict[str, str], seconds: float | None
) -> None:
    error = refused(429, {"type": "rate_limit_reached_error", "message": "RPM"}, headers)
    assert error.retry_after_seconds == seconds
    assert error.retryable is True
    assert error.error_type == "rate_limit_reached_error"


@pytest.mark.parametrize(
    ("message", "retryable"),
    [
        pytest.param("account <org-1><ak-f1tpd9x> reached max RPM: 3", True, id="tpd inside a key id"),
        pytest.param("account <org-tpd><ak-tpd> reached max RPM: 3", True, id="ids that are tpd"),
        pytest.param("account ak-1-tpd-2 reached max RPM: 3", True, id="tpd in an id without brackets"),
        pytest.param("account <org-1><ak-f1tpd9x> reached TPD rate limit", False, id="TPD as a word"),
        pytest.param("max TPD: 500", False, id="TPD before a colon"),
        pytest.param("too many tokens per day", False, id="per day"),
    ],
)
def test_ids_in_a_refusal_do_not_make_it_a_daily_limit(message: str, retryable: bool) -> None:
    error = refused(429, {"type": "rate_limit_reached_error", "message": message}, {})
    assert error.retryable is retryable
    assert (SLOW_DOWN if retryable else TOMORROW) in str(error)


def test_a_refusal_is_understood_though_the_prompt_holds_its_words() -> None:
    said = "Your account is suspended, please check your plan: insufficient balance"
    body = {"type": "rate_limit_reached_error", "message": said}
    plain = refused(429, body, {})
    error = refused(429, body, {}, messages=[{"role": "user", "content": f"Translate: {said}"}])
    assert (error.kind, error.retryable) == (plain.kind, plain.retryable)
    assert said in str(plain)
    assert "account is suspended" not in str(error)


def refused(
    status_code: int, body: object, headers: dict[str, str], host: str | None = None, messages: object = None
) -> KimiApiError:
    """Translate a refusal as the SDK raises it."""
    import httpx
    import openai

    request = httpx.Request("GET", "https://api.moonshot.cn/v1/batches/b")
    response: Any = httpx.Response(status_code, headers=headers, request=request)
    with (
        pytest.raises(KimiApiError) as caught,
        translated(make_settings(host=host), "reading", "Unknown.", messages=messages),
    ):
        raise openai.APIStatusError("raw text", response=response, body=body)
    return caught.value


def test_a_timeout_while_a_body_is_streamed_is_no_answer() -> None:
    import httpx

    with pytest.raises(KimiNoAnswerError) as caught, translated(make_settings(timeout=7), "reading", "Unknown."):
        raise httpx.ReadTimeout("secret text")
    assert str(caught.value).startswith(
        "https://api.moonshot.cn/v1 did not answer within 7 s while reading. Unknown. Check the network"
    )
    assert "secret text" not in str(caught.value.__cause__)


def test_a_connection_that_breaks_while_a_body_is_streamed_is_no_answer() -> None:
    import httpx

    with pytest.raises(KimiNoAnswerError) as caught, translated(make_settings(), "reading", "Unknown."):
        raise httpx.RemoteProtocolError("secret text")
    assert "closed the connection, or sent something that is not HTTP, while reading. Unknown." in str(caught.value)
    assert "secret text" not in str(caught.value)


@pytest.mark.parametrize(
    ("status_code", "error_type", "message", "kind"),
    [
        (429, "exceeded_current_quota_error", "", "balance"),
        (403, None, "insufficient balance", "balance"),
        (429, "rate_limit_reached_error", "max TPD: 500", "daily_tokens"),
        (429, "rate_limit_reached_error", "max RPM: 3", "rate_limit"),
        (400, "invalid_request_error", "exceeded the max file count 1000", "file_quota"),
        (503, None, "", "fault"),
        (401, "invalid_authentication_error", "", "key"),
        (403, "permission_denied_error", "", "forbidden"),
        (404, "resource_not_found_error", "", "not_found"),
        (400, "content_filter", "", "content_filter"),
        (400, "invalid_request_error", "", "input"),
    ],
)
def test_an_error_says_what_it_is_about_for_programs(
    status_code: int, error_type: str | None, message: str, kind: str
) -> None:
    assert advice_for(status_code, error_type, message).kind == kind


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Kimi refused creating a batch (HTTP 429, 'max of 3 concurrent batches', request ab12).", False),
        ("too many batches in progress", False),
        ("Enqueued token limit reached", True),
        ("the queue is full: at most 30 enqueued requests", True),
        ("too many rows in the queue", True),
        ("insufficient balance", True),
    ],
)
def test_a_smaller_batch_helps_where_rows_tokens_or_money_are_counted(message: str, expected: bool) -> None:
    assert is_by_size(message) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Too many batches", True),
        ("You have reached the maximum number of batches (20)", True),
        ("batch limit exceeded", True),
        ("Your organization already has 20 unfinished batches", True),
        ("the number of batch tasks exceeds the limit", True),
        ("Input file exceeds the maximum size for batch: 100MB", False),
        ("the batch file has too many lines", False),
        ("completion_window exceeds the maximum of a batch", False),
        ("the metadata of a batch is limited to 16 pairs", False),
    ],
)
def test_a_full_queue_is_known_by_batches_that_are_counted(message: str, expected: bool) -> None:
    assert is_full_queue(message) is expected
