"""A dead letter says why and of which row, and is sent as the request that it was."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.files.line_ids import sound
from airflow_provider_kimi.records.dead_letters import dead_letter, letter_of_unsent
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.validation import RequestCheck
from tests.support.samples import request_line

FAILED = Row(custom_id="a", status="failed", error_code="server_error", error_message="it broke")


@pytest.mark.parametrize("end", [b"", b"\r", b" "], ids=repr)
@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")], ids=["compact", "with spaces"])
def test_a_dead_letter_is_the_request_with_the_reason_and_the_row(spaces: tuple[str, str], end: bytes) -> None:
    request = json.dumps(json.loads(request_line("a")), separators=spaces).encode() + end
    letter = json.loads(dead_letter(FAILED, request, b'{"id":7}'))
    assert letter == {
        **json.loads(request),
        "error": {"status": "failed", "code": "server_error", "message": "it broke"},
        "row": {"id": 7},
    }


def test_a_dead_letter_without_a_table_has_no_row() -> None:
    assert "row" not in json.loads(dead_letter(FAILED, request_line("a"), b""))


@given(text=st.text())
def test_a_dead_letter_is_sent_as_the_same_request_again(text: str) -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": f"x{text}"}]}
    request = request_line("a", body=body).replace(b", ", b",").replace(b": ", b":")
    letter = dead_letter(FAILED, request, msgspec.json.encode({"text": sound(text)})).removesuffix(b"\n")
    check = RequestCheck(None, ParameterRules())
    assert json.loads(check.passed(letter)[1]) == json.loads(request)
    assert check.passed(letter) == check.passed(dead_letter(FAILED, request, b"").removesuffix(b"\n"))


def test_the_dead_letter_of_a_row_that_was_never_sent_has_no_request() -> None:
    row = Row(custom_id="a", status="invalid", error_code="not_sent", error_message="why")
    error = {"status": "invalid", "code": "not_sent", "message": "why"}
    assert json.loads(letter_of_unsent(row, b'{"text":null}')) == {
        "custom_id": "a",
        "row": {"text": None},
        "error": error,
    }
