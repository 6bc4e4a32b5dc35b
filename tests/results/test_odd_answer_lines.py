"""A paid answer is not lost because strict readers refuse a byte, a number or half a character of its line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.files.line_ids import id_of, is_whole
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_lines import read_row
from tests.support.samples import answer_body, answer_files, output_line

#: Stands in a line where odd bytes will.
MARK = "MARK"

#: What strict readers refuse beside a good answer.
ODD_VALUES = [
    pytest.param(b'"\xff"', id="no UTF-8"),
    pytest.param(b'"\xed\xa0\xbd"', id="half a character as bytes"),
    pytest.param(b'"\\ud83d"', id="half a character as an escape"),
    pytest.param(b"1e999", id="number out of range"),
    pytest.param(b"-1e999", id="negative number out of range"),
    pytest.param(b"NaN", id="no number"),
    pytest.param(b"-Infinity", id="endless number"),
]

#: The row of an ordinary answer.
GOOD = Row(
    custom_id="a",
    status="succeeded",
    content="positive",
    finish_reason="stop",
    prompt_tokens=20,
    completion_tokens=5,
    model="kimi-k2.6",
)


def with_odd(value: bytes, line: bytes) -> bytes:
    """Put raw bytes where the mark stands as a JSON text."""
    assert line.count(f'"{MARK}"'.encode()) == 1
    return line.replace(f'"{MARK}"'.encode(), value)


@pytest.mark.parametrize("value", ODD_VALUES)
def test_an_odd_value_beside_an_answer_does_not_change_the_row(value: bytes) -> None:
    for line in (output_line("a", x=MARK), output_line("a", body={**answer_body(), "x": MARK})):
        odd = with_odd(value, line)
        assert id_of(odd) == "a"
        assert is_whole(odd)
        assert read_row(odd) == GOOD


@pytest.mark.parametrize("value", ODD_VALUES)
def test_an_odd_value_beside_an_answer_does_not_affect_other_rows(value: bytes, tmp_path: Path) -> None:
    odd = with_odd(value, output_line("a", x=MARK))
    (tmp_path / "output").write_bytes(b"\n".join([output_line("0"), odd, output_line("b")]))
    with answer_files(tmp_path / "output") as answers:
        assert answers.take("a") == GOOD
        row = answers.take("b")
        assert row is not None
        assert row.status == "succeeded"
        assert ([row.custom_id for row in answers.left_rows()], answers.unreadable, answers.duplicates) == (["0"], 0, 0)


@pytest.mark.parametrize("value", [b"1e999", b"NaN", b"-Infinity"])
def test_an_odd_number_of_tokens_is_not_counted(value: bytes) -> None:
    body = {**answer_body(), "usage": {"prompt_tokens": MARK, "completion_tokens": 5}}
    row = read_row(with_odd(value, output_line("a", body=body)))
    assert (row.status, row.prompt_tokens, row.completion_tokens) == ("succeeded", None, 5)


@pytest.mark.parametrize("value", ["1e999", "NaN", '"\\ud83d"'])
def test_an_odd_value_in_a_body_that_comes_as_text_does_not_change_the_row(value: str) -> None:
    body = json.dumps({**answer_body(), "x": MARK}).replace(f'"{MARK}"', value)
    assert read_row(output_line("a", response={"status_code": 200, "body": body})) == GOOD


@pytest.mark.parametrize("value", ODD_VALUES)
def test_an_odd_value_without_an_answer_is_a_failed_row(value: bytes) -> None:
    line = b'{"custom_id":"a","x":' + value + b"}"
    assert read_row(line) == Row(
        custom_id="a",
        status="failed",
        error_code="no_answer",
        error_message="the line holds no answer and no error (status_code None)",
    )


@pytest.mark.parametrize(
    ("text", "content"),
    [
        pytest.param(b"hi \xff", "hi \ufffd", id="stray byte"),
        pytest.param(b"\xe4\xbd", "\ufffd", id="character that was cut"),
        pytest.param(b"\xff\xe5\x90\x8d\xff", "\ufffd\u540d\ufffd", id="around a good one"),
        pytest.param(b"\\ud83d\\ude00", "\U0001f600", id="both halves are one character"),
    ],
)
def test_an_odd_character_in_an_answer_is_replaced_and_the_row_succeeds(text: bytes, content: str) -> None:
    row = read_row(with_odd(b'"' + text + b'"', output_line("a", body=answer_body(MARK))))
    assert (row.custom_id, row.status, row.error_code, row.content) == ("a", "succeeded", None, content)


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"], ids=["first half", "second half"])
@pytest.mark.parametrize("as_text", [False, True], ids=["body", "body as the text of JSON"])
def test_an_escaped_half_character_in_an_answer_becomes_a_whole_character(half: str, as_text: bool) -> None:
    body = json.dumps(answer_body(MARK)).replace(MARK, f"hi {half}!")
    written = json.dumps(body) if as_text else body
    row = read_row(b'{"custom_id":"a","response":{"status_code":200,"body":' + written.encode() + b"}}")
    assert (row.custom_id, row.status, row.error_code) == ("a", "succeeded", None)
    assert row.content is not None
    assert (row.content[:3], row.content[4:]) == ("hi ", "!")
    assert row.content.encode("utf-8").decode("utf-8") == row.content


@given(content=st.binary(), escape=st.sampled_from([b"", b"\\ud83d", b"\\ude00"]))
def test_any_bytes_in_an_answer_become_text_that_a_file_can_hold(content: bytes, escape: bytes) -> None:
    quoted = bytes(byte for byte in content if byte >= 0x20 and byte not in b'"\\')
    row = read_row(with_odd(b'"x' + quoted + escape + b'"', output_line("a", body=answer_body(MARK))))
    assert (row.custom_id, row.status) == ("a", "succeeded")
    assert row.content is not None
    assert row.content.encode("utf-8").decode("utf-8") == row.content


def test_an_odd_character_in_an_error_message_is_replaced() -> None:
    line = output_line("a", response=None, error={"code": "c", "message": MARK})
    row = read_row(with_odd(b'"no \xff"', line))
    assert row == Row(custom_id="a", status="failed", error_code="c", error_message="no \ufffd")


@pytest.mark.parametrize("value", ODD_VALUES)
def test_an_odd_value_in_tool_calls_is_replaced_and_the_row_succeeds(value: bytes) -> None:
    line = output_line("a", body=answer_body(None, "tool_calls", tool_calls=[{"id": MARK}]))
    row = read_row(with_odd(value, line))
    assert (row.custom_id, row.status) == ("a", "succeeded")
    assert row.content is not None
    assert row.content.encode("utf-8").decode("utf-8") == row.content


def test_an_error_code_with_half_a_character_can_be_written() -> None:
    line = b'{"custom_id":"a","error":{"code":"\\ud83d","message":"m"}}'
    assert read_row(line).error_code == "\ufffd"


def test_a_raw_control_character_in_an_answer_is_kept() -> None:
    line = b'{"custom_id":"a","response":{"body":{"choices":[{"message":{"content":"x\x01y"}}]}}}'
    assert (id_of(line), read_row(line).content) == ("a", "x\x01y")
