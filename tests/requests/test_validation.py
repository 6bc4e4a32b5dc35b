"""Each request line is held against what would make the platform refuse it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.choices import ParameterCheck
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.validation import RequestCheck
from tests.support.samples import BODY, request_line

MESSAGES = BODY["messages"]


def new_check(model: str | None = None, mode: ParameterCheck = "fail") -> RequestCheck:
    return RequestCheck(model, ParameterRules(mode))


def problem_of(line: bytes, check: RequestCheck | None = None) -> RowProblem:
    with pytest.raises(RowProblem) as caught:
        (check or new_check()).passed(line)
    return caught.value


@pytest.mark.parametrize(
    ("line", "custom_id"),
    [
        pytest.param(request_line(), "a", id="four keys"),
        pytest.param(request_line(note="x"), "a", id="a key more"),
        pytest.param(request_line(body={**BODY, "max_completion_tokens": 9, "stream": False}), "a", id="parameters"),
        pytest.param(request_line() + b"\r", "a", id="Windows line end"),
        pytest.param(b"  " + request_line(), "a", id="spaces"),
        pytest.param(request_line("名" * 200), "名" * 200, id="any custom_id"),
    ],
)
def test_a_valid_line_passes_byte_for_byte(line: bytes, custom_id: str) -> None:
    check = new_check()
    assert check.passed(line) == (custom_id, line)
    assert check.model == "kimi-k2.6"


@given(text=st.text(min_size=1), escaped=st.booleans())
def test_a_valid_line_passes_whatever_its_text_is(text: str, escaped: bool) -> None:
    request = json.loads(request_line(text))
    request["body"]["messages"][0]["content"] = text
    line = json.dumps(request, ensure_ascii=escaped).encode()
    assert new_check().passed(line) == (text, line)


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        pytest.param(b"", "is blank", id="empty"),
        pytest.param(b" \t\r", "is blank", id="blank"),
        pytest.param(b"\xef\xbb\xbf" + request_line(), "begins with a byte order mark; save the file", id="BOM"),
        pytest.param(request_line()[:-1], "is not valid JSON (Input data was truncated)", id="cut"),
        pytest.param(b"{'custom_id': 'a'}", "is not valid JSON (", id="Python's quotes"),
        pytest.param(b'{"a": "\\ud800"}', "is not valid JSON (", id="lone surrogate"),
        pytest.param(request_line(note="\ud800"), "is not valid JSON (", id="lone surrogate in a key more"),
        pytest.param(b"[]", "is JSON, but not an object; a request is {custom_id,", id="list"),
        pytest.param(b"{}", "has no custom_id; it must be a non-empty string", id="no custom_id"),
        pytest.param(request_line(""), "has no custom_id; it must be a non-empty string", id="empty custom_id"),
        pytest.param(request_line(7), "has no custom_id; it must be a non-empty string", id="numeric custom_id"),
        pytest.param(request_line(None), "has no custom_id; it must be a non-empty string", id="null custom_id"),
        pytest.param(request_line(["a"]), "has no custom_id; it must be a non-empty string", id="list as custom_id"),
    ],
)
def test_a_line_without_a_custom_id_is_refused(line: bytes, detail: str) -> None:
    problem = problem_of(line)
    assert problem.detail.startswith(detail)
    assert not problem.custom_id


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        pytest.param({"method": "GET"}, "must have method 'POST'", id="method"),
        pytest.param({"method": "post"}, "must have method 'POST'", id="method's case"),
        pytest.param({"method": None}, "must have method 'POST'", id="no method"),
        pytest.param({"url": "/v1/embeddings"}, "must have url '/v1/chat/completions'", id="url"),
        pytest.param(
            {"url": "https://api.moonshot.cn/v1/chat/completions"},
            "must have url '/v1/chat/completions'",
            id="full url",
        ),
        pytest.param({"url": 5}, "must have url '/v1/chat/completions'", id="no url"),
        pytest.param({"body": "{}"}, "has no body; it must be a chat completion request", id="text as body"),
        pytest.param({"body": 5}, "has no body; it must be a chat completion request", id="no body"),
    ],
)
def test_a_bad_line_with_a_custom_id_is_refused_by_it(fields: dict[str, object], detail: str) -> None:
    problem = problem_of(request_line(**{"body": BODY, **fields}))
    assert (problem.detail, problem.custom_id) == (detail, "a")


@pytest.mark.parametrize("left_out", ["method", "url", "body"])
def test_a_line_that_lacks_a_key_is_refused(left_out: str) -> None:
    request = {key: value for key, value in json.loads(request_line()).items() if key != left_out}
    problem = problem_of(json.dumps(request).encode())
    assert left_out in problem.detail
    assert problem.custom_id == "a"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param({"messages": MESSAGES}, "has no model in its body", id="no model"),
        pytest.param({"model": "", "messages": MESSAGES}, "has no model in its body", id="empty model"),
        pytest.param({"model": 5, "messages": MESSAGES}, "has no model in its body", id="numeric model"),
    ],
)
def test_a_line_that_names_no_model_is_refused(body: object, detail: str) -> None:
    problem = problem_of(request_line(body=body))
    assert (problem.detail, problem.custom_id) == (detail, "a")


def test_a_line_with_a_byte_order_mark_is_refused_wherever_it_stands_in_the_file() -> None:
    check = new_check()
    check.passed(request_line())
    assert problem_of(b"\xef\xbb\xbf" + request_line("b"), check).detail.startswith("begins with a byte order mark")


def test_a_line_is_refused_without_its_prompt_in_the_message() -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "TOP SECRET"}], "temperature": 0}
    assert "TOP SECRET" not in problem_of(request_line(body=body)).detail


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e999"])
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(request_line(body={**BODY, "x": "?"}), id="parameter"),
        pytest.param(request_line(body={"model": "m", "messages": [{"role": "user", "content": ["?"]}]}), id="part"),
        pytest.param(request_line(body="?"), id="body"),
        pytest.param(request_line("?"), id="custom_id"),
    ],
)
def test_a_line_with_a_number_of_too_many_digits_is_refused(line: bytes, number: bytes) -> None:
    """Such a line costs itself only."""
    assert problem_of(line.replace(b'"?"', number)).detail.startswith("is not valid JSON (")


@given(cut=st.integers(0, 200), junk=st.sampled_from([b"", b"\\", b'"', b"\\q", b"\t", b"\\ud800", b"{", b"]", b"01"]))
def test_a_line_is_refused_wherever_it_stops_being_json(cut: int, junk: bytes) -> None:
    line = request_line(body={**BODY, "user": "u", "tools": []})
    damaged = line[:cut] + junk + line[cut:]
    try:
        assert new_check().passed(damaged)[1] == damaged
    except RowProblem:
        return
    json.loads(damaged)


@pytest.mark.parametrize("key", ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty"])
@pytest.mark.parametrize("value", [0, 1, None])
def test_a_parameter_that_the_model_fixes_is_refused_whatever_its_value_is(key: str, value: object) -> None:
    """Temperature 0 makes every row fail."""
    problem = problem_of(request_line(body={**BODY, key: value}))
    assert problem.detail.startswith(f"sets '{key}', which the model fixes (")
    assert problem.detail.endswith(") and Kimi refuses in a batch; leave it out")
    assert problem.custom_id == "a"


@pytest.mark.parametrize(
    ("parameters", "detail"),
    [
        pytest.param(
            {"stream": True},
            "sets 'stream' to True, which Kimi refuses in a batch: a batch cannot stream; leave it out",
            id="stream",
        ),
        pytest.param(
            {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
            "sets 'reasoning_effort' beside 'thinking', which the model refuses; keep one of them",
            id="thinking and reasoning_effort",
        ),
        pytest.param({"stop": ["x"] * 6}, "has 6 stop texts; 5 are allowed", id="stop texts"),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_refused(parameters: dict[str, Any], detail: str) -> None:
    """Thinking beside reasoning_effort makes every row fail."""
    assert problem_of(request_line(body={**BODY, **parameters})).detail == detail


def test_several_problems_of_one_line_are_reported_together() -> None:
    detail = problem_of(request_line(body={**BODY, "temperature": 0, "stream": True})).detail
    assert detail.index("sets 'temperature'") < detail.index(" and sets 'stream' to True")


def test_the_parameters_of_every_line_are_judged() -> None:
    check = new_check()
    faulty = [request_line(str(n), body={**BODY, "temperature": 0}) for n in range(3)]
    for line in faulty:
        assert "temperature" in problem_of(line, check).detail
        check.passed(request_line())


def test_the_parameters_of_another_model_are_judged_by_its_own_rules() -> None:
    body = {"model": "kimi-k2.7-code", "messages": MESSAGES, "thinking": {"type": "disabled"}}
    assert "this model always thinks" in problem_of(request_line(body=body)).detail
    new_check().passed(request_line(body={**body, "model": "kimi-k2.6"}))


@pytest.mark.parametrize("key", ["temperature", "n"])
def test_a_parameter_is_taken_out_if_the_user_says_so_and_nothing_else_is_changed(key: str) -> None:
    custom_id, line = new_check(mode="drop").passed(request_line("é", body={**BODY, key: 0, "user": "u"}, note="x"))
    assert custom_id == "é"
    assert msgspec.json.decode(line) == json.loads(request_line("é", body={**BODY, "user": "u"}, note="x"))
    assert list(msgspec.json.decode(line)) == ["custom_id", "method", "url", "body", "note"]


def test_a_line_without_a_problem_stays_unchanged_though_others_are_changed() -> None:
    line = b"  " + request_line(body={**BODY, "user": "u"})
    assert new_check(mode="drop").passed(line) == ("a", line)


def test_parameters_are_sent_unchanged_if_the_user_says_so() -> None:
    line = request_line(body={**BODY, "temperature": 0, "stream": True})
    assert new_check(mode="off").passed(line) == ("a", line)


def test_lines_with_a_likely_mistake_are_counted() -> None:
    """A cap that thinking may use up."""
    check = new_check()
    for number in range(3):
        check.passed(request_line(str(number), body={**BODY, "max_completion_tokens": 64}))
    check.passed(request_line("b"))
    ((warning, rows),) = check.warnings.items()
    assert warning.startswith("max_completion_tokens covers thinking as well as the answer")
    assert rows == 3


OTHER = request_line("b", body={**BODY, "model": "kimi-k2.7-code"})


def test_the_first_line_sets_the_model_of_the_batch() -> None:
    check = new_check()
    check.passed(request_line("a"))
    problem = problem_of(OTHER, check)
    expected = "asks model 'kimi-k2.7-code', but this batch uses 'kimi-k2.6'; one batch has one model"
    assert (problem.detail, problem.custom_id) == (expected, "b")


def test_a_given_model_binds_the_first_line_too() -> None:
    problem = problem_of(request_line("a"), new_check("kimi-k2.7-code"))
    assert problem.detail.startswith("asks model 'kimi-k2.6', but this batch uses 'kimi-k2.7-code'")


def test_a_line_that_is_made_of_a_row_sets_the_model_too() -> None:
    check = new_check()
    check.names("kimi-k2.6")
    assert problem_of(OTHER, check).detail.startswith("asks model 'kimi-k2.7-code', but this batch")
