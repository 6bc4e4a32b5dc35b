"""Requests that are sent as they are: how they are recognised, and what they would ignore."""

from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.recipe import Recipe, is_ready_request

#: What every request has.
KEYS = ("custom_id", "method", "url", "body")


@pytest.mark.parametrize(
    ("item", "ready"),
    [
        pytest.param({"custom_id": "a", "method": "POST", "url": "u", "body": {}}, True, id="request"),
        pytest.param({"custom_id": "a", "text": "x"}, False, id="row with a custom_id"),
        pytest.param({"body": {}}, False, id="no custom_id"),
        *(
            pytest.param({key: "x" for key in KEYS if key != left_out}, False, id=f"all but {left_out}")
            for left_out in KEYS
        ),
        pytest.param(dict.fromkeys((*KEYS, "more"), "x"), True, id="more than a request"),
        pytest.param(["custom_id", "body"], False, id="list"),
        pytest.param("custom_id body", False, id="text"),
    ],
)
def test_a_request_is_told_from_a_table_row(item: object, ready: bool) -> None:
    assert is_ready_request(item) is ready


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        pytest.param({"system_prompt": "s"}, "system_prompt", id="system prompt"),
        pytest.param({"key_column": "id"}, "key_column", id="key column"),
        pytest.param({"key_column": ["id", "part"]}, "key_column", id="key columns"),
        pytest.param({"request_params": {"max_tokens": 1}}, "request_params", id="request params"),
        pytest.param({"thinking": "disabled"}, "thinking", id="thinking"),
        pytest.param({"system_prompt": "s", "key_column": "id"}, "system_prompt and key_column", id="two of them"),
        pytest.param(
            {"thinking": "enabled", "request_params": {"user": "u"}, "key_column": "id", "system_prompt": "s"},
            "system_prompt and key_column and request_params and thinking",
            id="all of them",
        ),
    ],
)
def test_parameters_that_ready_requests_would_ignore_are_refused_by_name(
    parameters: dict[str, Any], names: str
) -> None:
    with pytest.raises(KimiInputError) as caught:
        Recipe("m", **parameters).check_unused()
    assert f"so {names} would have no effect. Nothing was sent." in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({}, id="none"),
        pytest.param(
            {"system_prompt": None, "key_column": None, "request_params": {}, "thinking": None}, id="empty ones"
        ),
    ],
)
def test_parameters_that_are_not_set_are_accepted_beside_ready_requests(parameters: dict[str, Any]) -> None:
    Recipe("m", **parameters).check_unused()


def test_ignored_parameters_are_named_without_their_content() -> None:
    with pytest.raises(KimiInputError) as caught:
        Recipe("m", system_prompt="TOP SECRET", request_params={"user": "TOP SECRET"}).check_unused()
    assert "TOP SECRET" not in str(caught.value)
