"""Schemas, tools and the calls of tools that the platform refuses, over the wire."""

from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.simulator.tools import history_problem, tools_problem
from tests.simulator.conftest import Start
from tests.simulator.wire import HELLO, call, finish, line, rows_of

OFF = {"thinking": {"type": "disabled"}}
BAD_SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}
OPTIONAL = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}}}
REFUSED = "is not a valid moonshot flavored json schema, details: <At path 'properties.a':"


def tool(name: object = "f", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def answering(schema: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Look it up."}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
FORGETFUL = {key: value for key, value in CALLING.items() if key != "reasoning_content"}
MISSING = "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1"
UNANSWERED = "an assistant message with 'tool_calls' must be followed by tool messages"
ORPHAN = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'"

BAD_HISTORIES = [
    pytest.param([*HELLO, FORGETFUL, RESULT], MISSING, id="no reasoning"),
    pytest.param([*HELLO, {**CALLING, "reasoning_content": None}, RESULT], MISSING, id="null for reasoning"),
    pytest.param([*HELLO, CALLING], UNANSWERED, id="no result at the end"),
    pytest.param([*HELLO, CALLING, *HELLO, RESULT], UNANSWERED, id="a late result"),
    pytest.param(
        [*HELLO, {**CALLING, "tool_calls": [CALL, {**CALL, "id": "c2"}]}, RESULT], UNANSWERED, id="one of two results"
    ),
    pytest.param([*HELLO, RESULT], ORPHAN, id="a result of nothing"),
    pytest.param([*HELLO, CALLING, {**RESULT, "tool_call_id": "c3"}], ORPHAN, id="a result of another call"),
    pytest.param(
        [*HELLO, {"role": "assistant", "content": ""}],
        "the message at position 1 with role 'assistant' must not be empty",
        id="an empty answer",
    ),
]
GOOD_HISTORIES = [
    pytest.param([*HELLO, CALLING, RESULT], id="a call and its result"),
    pytest.param([*HELLO, {**CALLING, "reasoning_content": ""}, RESULT], id="it thought of nothing"),
    pytest.param([*HELLO, CALLING, RESULT, {"role": "assistant", "content": "42"}, *HELLO], id="a whole conversation"),
    pytest.param([*HELLO, {"role": "assistant", "content": "hm"}], id="an answer without tools"),
    pytest.param([*HELLO, {"role": "assistant", "content": "", "name": "K", "partial": True}], id="a beginning"),
    pytest.param([{"role": "assistant", "tool_calls": 7, "content": "x"}, {}], id="odd messages"),
]


@pytest.mark.parametrize(("messages", "said"), BAD_HISTORIES)
def test_a_conversation_that_the_model_cannot_go_on_with_is_refused(
    start: Start, messages: list[Any], said: str
) -> None:
    sim, client = start()
    batch = finish(sim, client, line("good"), line("bad", {"messages": messages}))
    assert [row["custom_id"] for row in rows_of(sim, batch.output_file_id)] == ["good"]
    (bad,) = rows_of(sim, batch.error_file_id)
    assert (bad["custom_id"], bad["error"]["code"]) == ("bad", "invalid_request_error")
    assert bad["error"]["message"].startswith(said)
    status, _, message = call(sim, "POST", "/chat/completions", {"model": "kimi-k2.6", "messages": messages}).error
    assert (status, message.startswith(f"Invalid request: {said}")) == (400, True)


@pytest.mark.parametrize("messages", GOOD_HISTORIES)
def test_a_conversation_that_the_model_can_go_on_with_is_answered(messages: list[Any]) -> None:
    assert history_problem({"messages": messages}) is None


def test_reasoning_is_not_asked_for_where_the_model_does_not_think() -> None:
    assert history_problem({"messages": [*HELLO, FORGETFUL, RESULT], **OFF}) is None


@pytest.mark.parametrize("name", ["1st", "_f", "-f", "", "look up", "查询", "a.b", "f" * 257, None, 7])
def test_a_function_whose_name_is_no_name_is_refused(name: object) -> None:
    problem = tools_problem({"tools": [tool("ok"), tool(name)]})
    assert problem is not None
    assert problem.startswith("function name is invalid, must start with a letter")


@pytest.mark.parametrize("name", ["f", "F1", "look_up-2", "f" * 256])
def test_a_function_with_a_name_is_taken(name: str) -> None:
    builtin = {"type": "builtin_function", "function": {"name": "$web_search"}}
    assert tools_problem({"tools": [tool(name), builtin]}) is None


def test_two_functions_of_one_name_are_refused(sim: KimiSimulator) -> None:
    fields = {"model": "kimi-k2.6", "messages": HELLO, "tools": [tool("f"), tool("g"), tool("f")]}
    expected = (400, "invalid_request_error", "Invalid request: function name f is duplicated")
    assert call(sim, "POST", "/chat/completions", fields).error == expected


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (answering(BAD_SCHEMA), "response_format.json_schema"),
        ({"tools": [tool(), tool("g", parameters=BAD_SCHEMA)]}, "tools.function.parameters"),
    ],
)
class TestSchemasOutsideTheDialect:
    @pytest.mark.parametrize("level", ["strict", "ultra"])
    def test_a_schema_outside_the_dialect_is_a_400_for_its_row(
        self, start: Start, body: dict[str, Any], where: str, level: str
    ) -> None:
        sim, client = start(schema_level=level, error_shape="response")
        batch = finish(sim, client, line("good"), line("bad", body))
        assert [row["custom_id"] for row in rows_of(sim, batch.output_file_id)] == ["good"]
        (bad,) = rows_of(sim, batch.error_file_id)
        assert bad["response"]["status_code"] == 400
        assert bad["response"]["body"]["error"]["message"].startswith(f"{where} {REFUSED}")

    def test_a_schema_outside_the_dialect_is_a_400_for_a_chat_call(
        self, start: Start, body: dict[str, Any], where: str
    ) -> None:
        sim, _ = start(schema_level="strict")
        fields = {"model": "kimi-k2.6", "messages": HELLO, **body}
        status, error_type, message = call(sim, "POST", "/chat/completions", fields).error
        assert (status, error_type) == (400, "invalid_request_error")
        assert message.startswith(f"Invalid request: {where} {REFUSED}")

    def test_a_schema_outside_the_dialect_may_fail_the_batch(
        self, start: Start, body: dict[str, Any], where: str
    ) -> None:
        sim, client = start(schema_level="strict", refused_schemas="batch")
        batch = finish(sim, client, line("good"), line("bad", body))
        assert batch.status == "failed"
        (problem,) = rows_of(sim, batch.error_file_id)
        assert problem["error"]["message"].startswith(f"line 2: {where} {REFUSED}")

    def test_a_schema_outside_the_dialect_passes_where_none_is_checked(
        self, start: Start, body: dict[str, Any], where: str
    ) -> None:
        sim, client = start(schema_level="off")
        assert len(rows_of(sim, finish(sim, client, line("bad", body)).output_file_id)) == 1, where


def test_the_levels_differ_in_an_optional_text_with_its_default(start: Start) -> None:
    for level, lines in (("strict", 1), ("ultra", 0)):
        sim, client = start(schema_level=level)
        batch = finish(sim, client, line("a", answering(OPTIONAL)))
        assert len(rows_of(sim, batch.output_file_id) if batch.output_file_id else []) == lines


@pytest.mark.parametrize("parameters", [{"anyOf": [{"type": "object"}]}, {"type": "string"}, {"properties": {}}])
def test_the_parameters_of_a_function_are_an_object(start: Start, parameters: dict[str, Any]) -> None:
    sim, client = start(schema_level="strict")
    (bad,) = rows_of(sim, finish(sim, client, line("a", {"tools": [tool(parameters=parameters)]})).error_file_id)
    assert bad["error"]["message"] == 'tools.function.parameters.type is required and must be "object"'


@pytest.mark.parametrize("parameters", [{}, None, {"type": "object"}])
def test_a_function_may_take_nothing(start: Start, parameters: object) -> None:
    sim, client = start(schema_level="ultra")
    batch = finish(sim, client, line("a", {"tools": [tool(parameters=parameters)]}))
    assert len(rows_of(sim, batch.output_file_id)) == 1
