"""The error tree: what Airflow may repeat, and what a handler may read."""

import pytest

from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiBatchError,
    KimiConnectionConfigError,
    KimiError,
    KimiInputError,
    KimiNoAnswerError,
    KimiResultError,
    KimiStoppedError,
    is_outcome_unknown,
)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        pytest.param(KimiError("x"), False, id="base"),
        pytest.param(KimiConnectionConfigError("x"), False, id="connection config"),
        pytest.param(KimiInputError("x"), False, id="input"),
        pytest.param(KimiBatchError("x"), False, id="batch"),
        pytest.param(KimiApiError("x", status_code=400), False, id="api, by default"),
        pytest.param(KimiApiError("x", status_code=503, retryable=True), True, id="api, passing"),
        pytest.param(KimiNoAnswerError("x"), True, id="no answer"),
        pytest.param(KimiNoAnswerError("x", retryable=False), False, id="no answer, lasting"),
        pytest.param(KimiResultError("x"), True, id="result"),
        pytest.param(KimiStoppedError("x"), True, id="stopped"),
    ],
)
def test_an_error_says_whether_a_retry_can_help(error: KimiError, retryable: bool) -> None:
    assert error.retryable is retryable
    assert str(error) == "x"


@pytest.mark.parametrize("kind", [KimiConnectionConfigError, KimiInputError])
def test_configuration_and_input_errors_are_value_errors(kind: type[KimiError]) -> None:
    assert issubclass(kind, ValueError)


def test_a_permanent_api_error_does_not_change_other_api_errors() -> None:
    passing = KimiApiError("x", status_code=503, retryable=True)
    KimiApiError("x", status_code=400)
    assert passing.retryable is True


def test_an_api_error_keeps_its_facts_as_attributes() -> None:
    error = KimiApiError(
        "x",
        status_code=429,
        error_type="engine_overloaded_error",
        retryable=True,
        retry_after_seconds=3.0,
        request_id="req_1",
    )
    assert (error.status_code, error.error_type, error.retry_after_seconds, error.request_id) == (
        429,
        "engine_overloaded_error",
        3.0,
        "req_1",
    )


def test_facts_of_an_api_error_are_none_by_default() -> None:
    error = KimiApiError("x", status_code=None)
    assert (error.status_code, error.error_type, error.retry_after_seconds, error.request_id) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("status_code", "unknown"),
    [
        *((code, True) for code in (None, 408, 499, 500, 502, 503, 504)),
        *((code, False) for code in (400, 401, 403, 404, 409, 413, 425, 429, 498)),
    ],
)
def test_the_status_of_an_api_error_says_whether_the_platform_may_have_acted(
    status_code: int | None, unknown: bool
) -> None:
    assert is_outcome_unknown(status_code) is unknown
    for retryable in (True, False):
        assert KimiApiError("x", status_code=status_code, retryable=retryable).outcome_unknown is unknown


def test_the_outcome_is_unknown_if_no_answer_came() -> None:
    assert KimiNoAnswerError("x").outcome_unknown is True
    assert KimiNoAnswerError("x", outcome_unknown=False).saying("y").outcome_unknown is False


def test_no_message_holds_half_a_character() -> None:
    """A task of Airflow whose error holds one dies without a word in its log."""
    error = KimiBatchError("no file a\udcff评", retryable=True)
    assert str(error) == "no file a\\udcff评"
    assert str(error.saying("b\ud800")) == "b\\ud800"
