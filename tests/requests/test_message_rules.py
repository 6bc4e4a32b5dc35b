"""The messages of a request: roles, contents, and where images may lie."""

from typing import Any

import msgspec
import pytest

from airflow_provider_kimi.choices import ParameterCheck
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.validation import RequestCheck, check_messages, media_url_problem
from tests.support.samples import request_line

TEXT = {"type": "text", "text": "hi"}
CALLING: dict[str, object] = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "TOPSECRET", "arguments": "TOPSECRET"}}],
}
TWO_CALLS = {**CALLING, "tool_calls": [{"id": "c1"}, {"id": "c2"}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "TOPSECRET"}
USER = {"role": "user", "content": "TOPSECRET"}
EMPTY = "has an empty content in message 1; the platform refuses it"
NO_ROLE = "has a message 1 whose role is none of system, user, assistant, tool"
NO_LIST = "has no messages in its body; they are a list of objects with role and content"


def problem_of(messages: object) -> str:
    with pytest.raises(RowProblem) as caught:
        check_messages(msgspec.Raw(msgspec.json.encode(messages)))
    return caught.value.detail


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({"model": "m"}, NO_LIST, id="none"),
        pytest.param({"model": "m", "messages": None}, NO_LIST, id="null"),
        pytest.param({"model": "m", "messages": "hi"}, NO_LIST, id="text"),
        pytest.param({"model": "m", "messages": ["hi"]}, NO_LIST, id="texts"),
        pytest.param({"model": "m", "messages": [{"content": "hi"}]}, NO_ROLE, id="no role"),
        pytest.param({"model": "m", "messages": []}, "has no messages in its body", id="empty"),
    ],
)
def test_a_request_without_messages_is_refused_by_name(body: object, problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        RequestCheck(None, ParameterRules()).passed(request_line("k", body=body))
    assert (caught.value.detail, caught.value.custom_id) == (problem, "k")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"role": "user", "content": "hi"}], id="text"),
        pytest.param([{"role": "user", "content": " "}], id="a space"),
        pytest.param([{"role": "user", "content": [TEXT]}], id="parts"),
        pytest.param([{"role": role, "content": "x"} for role in ("system", "user", "assistant")], id="roles"),
        pytest.param([{**CALLING, "content": None}, RESULT], id="an answer that is a tool call"),
        pytest.param([CALLING, RESULT], id="or has no content at all"),
        pytest.param([{**CALLING, "content": ""}, RESULT], id="or an empty one"),
        pytest.param([CALLING, {**RESULT, "content": ""}], id="a result without text"),
        pytest.param([CALLING, RESULT, {"role": "assistant", "content": "x"}, CALLING, RESULT], id="the same id again"),
        pytest.param([TWO_CALLS, {**RESULT, "tool_call_id": "c2"}, RESULT], id="results in any order"),
        pytest.param([{"role": "assistant", "content": "x", "tool_calls": None}], id="null for calls"),
        pytest.param([{"role": "assistant", "content": "x", "tool_calls": []}], id="no calls"),
        pytest.param([{"role": "assistant", "content": "", "partial": True}], id="an answer to go on with"),
        pytest.param([{"role": "assistant", "content": "", "reasoning_content": "hm"}], id="thoughts only"),
        pytest.param([{"role": "user", "content": "hi", "name": "n", "partial": True}], id="further keys"),
    ],
)
def test_messages_that_the_platform_takes_pass(messages: object) -> None:
    check_messages(msgspec.Raw(msgspec.json.encode(messages)))


@pytest.mark.parametrize("role", ["developer", "User", "", "function"])
def test_a_role_that_the_platform_does_not_know_is_refused(role: str) -> None:
    expected = "has a message 2 whose role is none of system, user, assistant, tool"
    assert problem_of([{"role": "user", "content": "hi"}, {"role": role, "content": "hi"}]) == expected


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize("message", [{"content": ""}, {"content": []}, {"content": None}, {}])
def test_an_empty_content_is_refused(role: str, message: dict[str, object]) -> None:
    assert problem_of([{"role": role, **message}]) == EMPTY


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_an_empty_list_of_parts_is_refused_for_any_role(role: str) -> None:
    assert problem_of([{"role": role, "content": []}]) == EMPTY


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
@pytest.mark.parametrize("url", ["ms://file_1", "data:image/png;base64,iVBORw0KGgo="])
def test_media_that_the_platform_has_or_gets_pass(kind: str, url: str) -> None:
    for given in (url, {"url": url}):
        part = {"type": kind, kind: given}
        check_messages(msgspec.Raw(msgspec.json.encode([{"role": "user", "content": [TEXT, part]}])))


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        pytest.param({"url": "https://x.example/TOPSECRET.png"}, "is a public http(s) address, which", id="https"),
        pytest.param("HTTP://x.example/TOPSECRET.png", "is a public http(s) address, which", id="http"),
        pytest.param({"url": "/data/TOPSECRET.png"}, "is neither a data: URL nor an ms:// file", id="path"),
        pytest.param({"url": None}, "has no url", id="null"),
        pytest.param({}, "has no url", id="no url"),
        pytest.param(None, "has no url", id="nothing"),
    ],
)
def test_media_that_the_platform_would_not_fetch_are_refused_without_their_address(
    kind: str, given: object, problem: str
) -> None:
    part = {"type": kind, kind: given}
    detail = problem_of([{"role": "user", "content": "hi"}, {"role": "user", "content": [TEXT, part]}])
    assert detail.startswith(f"has an {kind} in message 2 that {problem}")
    assert "TOPSECRET" not in detail


@pytest.mark.parametrize("url", ["ms://x", "data:,"])
def test_an_address_that_the_platform_reads_has_no_problem(url: str) -> None:
    assert media_url_problem(url) is None


@pytest.mark.parametrize(
    "more", [{"tool_calls": []}, {"tool_calls": None, "partial": False}, {"reasoning_content": ""}]
)
def test_an_answer_that_holds_nothing_is_refused(more: dict[str, object]) -> None:
    """`the message at position 0 with role 'assistant' must not be empty`, for every row that was paid for."""
    assert problem_of([{"role": "assistant", "content": "", **more}, USER]) == EMPTY


@pytest.mark.parametrize(
    ("messages", "number", "said"),
    [
        pytest.param(
            [USER, CALLING], 2, "calls tools, and not right behind it a message with role tool", id="no result"
        ),
        pytest.param([USER, CALLING, USER, RESULT], 2, "calls tools, and not right behind it", id="a late result"),
        pytest.param([TWO_CALLS, RESULT], 1, "calls tools, and not right behind it", id="one of two"),
        pytest.param([CALLING, RESULT, CALLING], 3, "calls tools, and not right behind it", id="the last of two"),
        pytest.param([USER, RESULT], 2, "with the result of a tool, and its tool_call_id is of no call", id="no call"),
        pytest.param([CALLING, RESULT, USER, RESULT], 4, "with the result of a tool, and its", id="a result again"),
        pytest.param([CALLING, {"role": "tool", "content": "x"}], 2, "with the result of a tool, and its", id="no id"),
        pytest.param(
            [CALLING, {**RESULT, "tool_call_id": ["c1"]}], 2, "with the result of a tool, and its", id="a list"
        ),
    ],
)
def test_calls_of_tools_and_their_results_belong_together(messages: object, number: int, said: str) -> None:
    problem = problem_of(messages)
    assert problem.startswith(f"has a message {number} {said if said.startswith('with') else f'that {said}'}")
    assert problem.endswith("; the platform refuses it")
    assert "TOPSECRET" not in problem


@pytest.mark.parametrize("calls", [7, "c1", ["c1"], [{}], [{"id": None}]])
def test_calls_of_tools_without_ids_are_refused(calls: object) -> None:
    problem = problem_of([{"role": "assistant", "content": "x", "tool_calls": calls}])
    assert problem == "has tool_calls in message 1 that are no list of calls with an id each"


def passed(messages: list[object], model: str = "kimi-k2.6", mode: ParameterCheck = "fail", **body: object) -> bytes:
    rules = ParameterRules(mode, {"kimi-lifted": {"reasoning_content": None}})
    line = request_line("k", body={"model": model, "messages": messages, **body})
    assert RequestCheck(None, rules).passed(line) == ("k", line)
    return line


REMEMBERING = {**CALLING, "reasoning_content": "TOPSECRET"}
OFF = {"type": "disabled"}
FORGOTTEN = (
    "has a message 2 that calls tools and has no reasoning_content, which the platform refuses while the model thinks; "
    "give the one that came with the answer"
)


@pytest.mark.parametrize("forgetful", [CALLING, {**CALLING, "reasoning_content": None}])
@pytest.mark.parametrize(
    ("model", "body", "way_out"),
    [
        ("kimi-k2.6", {}, ", or turn thinking off"),
        ("kimi-k2.6", {"thinking": {"type": "enabled"}}, ", or turn thinking off"),
        ("kimi-k2.7-code", {}, "; this model always thinks"),
        ("kimi-k2.7-code-highspeed", {"thinking": None}, "; this model always thinks"),
        ("another-model", {}, ", or turn thinking off"),
    ],
)
def test_an_answer_that_calls_tools_needs_its_reasoning_while_the_model_thinks(
    forgetful: dict[str, object], model: str, body: dict[str, Any], way_out: str
) -> None:
    """`thinking is enabled but reasoning_content is missing in assistant tool call message`, for every row."""
    with pytest.raises(RowProblem) as caught:
        passed([USER, forgetful, RESULT], model, **body)
    assert (caught.value.detail, caught.value.custom_id) == (FORGOTTEN + way_out, "k")
    with pytest.raises(RowProblem):
        passed([USER, forgetful, RESULT], model, "drop", **body)


def test_an_answer_that_calls_tools_passes_with_its_reasoning_or_without_thinking() -> None:
    passed([USER, REMEMBERING, RESULT])
    passed([USER, REMEMBERING, RESULT], "kimi-k2.7-code")
    passed([USER, {**CALLING, "reasoning_content": ""}, RESULT])
    passed([USER, CALLING, RESULT], thinking=OFF)
    passed([USER, {"role": "assistant", "content": "x"}])


def test_the_user_may_lift_the_rule_about_reasoning() -> None:
    passed([USER, CALLING, RESULT], mode="off")
    passed([USER, CALLING, RESULT], "kimi-lifted")


def test_reasoning_is_needed_where_the_check_drop_turns_thinking_on_again() -> None:
    """It takes `thinking` out, because this model does not let it be turned off."""
    with pytest.raises(RowProblem, match="has no reasoning_content.*this model always thinks"):
        passed([USER, CALLING, RESULT], "kimi-k2.7-code", "drop", thinking=OFF)
