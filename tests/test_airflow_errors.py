"""What a failed task raises: what ends it, what is retried, and what its retry policy and its callbacks can see."""

import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiBatchError,
    KimiConnectionConfigError,
    KimiError,
    KimiInputError,
    KimiNoAnswerError,
    KimiResultError,
)

PERMANENT = [
    KimiConnectionConfigError("x"),
    KimiNoAnswerError("x", retryable=False),
    KimiInputError("x"),
    KimiBatchError("x"),
    KimiApiError("x", status_code=429, error_type="exceeded_current_quota_error", request_id="req_1"),
]


def raised(error: Exception, task: Any) -> Exception:
    with pytest.raises(type(error)) as caught, airflow_errors(task):
        raise error
    return caught.value


@pytest.fixture
def task() -> BaseOperator:
    return BaseOperator(task_id="label")


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_an_error_that_no_retry_heals_keeps_its_type_and_ends_the_task(error: KimiError, task: BaseOperator) -> None:
    seen = raised(error, task)
    assert isinstance(seen, AirflowFailException)
    assert str(seen) == "x"
    assert vars(seen) == vars(error)
    assert type(seen) is type(raised(error, task)), "one class for each kind"


@pytest.mark.parametrize(
    "error", [KimiNoAnswerError("x"), KimiResultError("x"), KimiApiError("x", status_code=503, retryable=True)]
)
def test_an_error_that_may_pass_is_left_to_the_retries_of_the_task(error: KimiError, task: BaseOperator) -> None:
    assert raised(error, task) is error
    assert not isinstance(error, AirflowFailException)


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_a_task_with_a_retry_policy_raises_the_plain_error(error: KimiError) -> None:
    """Airflow asks the policy about no AirflowFailException."""
    assert raised(error, SimpleNamespace(retry_policy=object())) is error


def test_an_error_that_passes_two_boundaries_keeps_its_class(task: BaseOperator) -> None:
    with airflow_errors(task), pytest.raises(KimiInputError) as inner, airflow_errors(task):
        raise KimiInputError("x")
    assert raised(inner.value, task) is inner.value


def test_the_log_shows_where_an_error_was_raised_under_its_own_name(task: BaseOperator) -> None:
    text = "".join(traceback.format_exception(raised(KimiInputError("the row"), task)))
    assert "airflow_provider_kimi.exceptions.KimiInputError: the row" in text
    assert "in raised" in text


@pytest.mark.parametrize("error", [KimiConnectionConfigError("x"), KimiNoAnswerError("x", retryable=False)])
def test_what_the_network_said_stays_the_cause(error: KimiError, task: BaseOperator) -> None:
    cause = ConnectionRefusedError("refused")
    with pytest.raises(KimiError) as caught, airflow_errors(task):
        raise error from cause
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.__cause__ is cause


def test_only_causes_whose_text_is_ours_are_chained(task: BaseOperator) -> None:
    """The text of a foreign error may hold ids of accounts, or a key."""
    for cause, is_shown in ((KimiNoAnswerError("no answer"), True), (RuntimeError("sk-secret0123"), False)):
        with pytest.raises(KimiInputError) as caught, airflow_errors(task):
            raise KimiInputError("x") from cause
        assert (caught.value.__cause__ is cause) is is_shown
        assert "sk-secret0123" not in "".join(traceback.format_exception(caught.value))
