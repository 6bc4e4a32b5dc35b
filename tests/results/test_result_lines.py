"""What is written of a row can be read again, whatever the row and its table hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.columns import encoded, renamed
from airflow_provider_kimi.results.result_lines import ResultLines

OF_BATCH = ("batch_1", 1, "sha256:p")
ROW = Row(custom_id="a", status="succeeded", content="很好", prompt_tokens=3, model="kimi-k2.6")


def written(row: Row = ROW, columns: dict[str, Any] | None = None, check: AnswerCheck | None = None) -> Any:
    line = ResultLines((check or AnswerCheck()).fields).encode(row, renamed(encoded(columns or {})), OF_BATCH)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_a_results_line_has_the_fields_of_the_contract_in_order() -> None:
    assert list(written()) == [
        *("custom_id", "status", "content", "finish_reason", "error_code", "error_message"),
        *(
            "prompt_tokens",
            "cached_tokens",
            "completion_tokens",
            "model",
            "input_change",
            "batch_id",
            "round",
            "prompt_fingerprint",
        ),
    ]
    assert written() == {
        **dict.fromkeys(AnswerCheck().fields),
        **{"custom_id": "a", "status": "succeeded", "content": "很好", "prompt_tokens": 3, "model": "kimi-k2.6"},
        **{"batch_id": "batch_1", "round": 1, "prompt_fingerprint": "sha256:p"},
    }


def test_a_results_line_has_the_columns_of_the_input_after_its_custom_id() -> None:
    line = written(columns={"id": "k", "lot": {"n": [1, None]}})
    assert list(line)[:4] == ["custom_id", "id", "lot", "status"]
    assert (line["id"], line["lot"], line["content"]) == ("k", {"n": [1, None]}, "很好")


@given(columns=st.dictionaries(st.text(), st.none() | st.text() | st.integers() | FINITE))
def test_a_results_line_holds_columns_of_any_name_and_value(columns: dict[str, Any]) -> None:
    line = written(columns=columns)
    for name, value in json.loads(renamed(encoded(columns))).items():
        assert line[name] == value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("caf\udce9", "caf?", id="half a character"),
        pytest.param(2**70, 2**70, id="more than 64 bits"),
        pytest.param(1 + 2j, "(1+2j)", id="no JSON"),
        pytest.param(float("inf"), None, id="no number"),
        pytest.param(["\ud83d", float("nan")], ["?", None], id="half a character and no number"),
    ],
)
def test_a_results_line_is_written_although_a_column_is_odd(value: object, found: object) -> None:
    line = written(columns={"odd": value})
    assert (line["odd"], line["content"], list(line)[:2]) == (found, "很好", ["custom_id", "odd"])


def test_the_columns_of_a_row_keep_their_place_beside_an_answer_with_half_a_character() -> None:
    row = Row(custom_id="ä", status="succeeded", content="\ud83d", parsed={"n": 2**70})
    line = written(row, {"id": "k"})
    assert (line["custom_id"], line["id"], line["content"], list(line)[:3]) == (
        "ä",
        "k",
        "?",
        ["custom_id", "id", "status"],
    )
