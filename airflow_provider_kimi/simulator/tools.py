"""What the platform refuses of tools, and of calls of tools in a conversation; its words are from public reports."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_kimi.simulator.schema_dialect import SchemaLevel, schema_problem
from airflow_provider_kimi.simulator.thinking import thinks

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,255}")
_REFUSED = "is not a valid moonshot flavored json schema, details:"


def tools_problem(body: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the names of the functions."""
    seen: set[str] = set()
    for function in _functions(body):
        name = function.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return (
                "function name is invalid, must start with a letter and can contain letters, numbers, underscores, and "
                "dashes"
            )
        if name in seen:
            return f"function name {name} is duplicated"
        seen.add(name)
    return None


def _functions(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The functions that the user declares; those that the platform has itself are of another type."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type", "function") == "function":
            function = tool.get("function")
            yield function if isinstance(function, dict) else {}


def refused_schema(body: Mapping[str, Any], level: SchemaLevel) -> str | None:
    """Say which schema of a request is outside the platform's dialect."""
    if level == "off":
        return None
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        asked = wanted.get("json_schema")
        schema = asked.get("schema") if isinstance(asked, dict) else None
        if schema is not None and (problem := schema_problem(schema, level)):
            return f"response_format.json_schema {_REFUSED} {problem}"
    for function in _functions(body):
        parameters = function.get("parameters")
        if parameters and isinstance(parameters, dict) and parameters.get("type") != "object":
            return 'tools.function.parameters.type is required and must be "object"'
        if parameters is not None and (problem := schema_problem(parameters, level)):
            return f"tools.function.parameters {_REFUSED} {problem}"
    return None


def history_problem(body: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the answers in a conversation, and the tools that they call."""
    messages = body["messages"]
    found = (_answer_problem(position, message, body) for position, message in enumerate(messages))
    return next(filter(None, found), None) or _unanswered(messages)


def _unanswered(messages: Iterable[Mapping[str, Any]]) -> str | None:
    called: list[str] = []
    waiting: list[str] = []
    for message in messages:
        if message.get("role") == "tool":
            answered = str(message.get("tool_call_id"))
            if answered not in called:
                return "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'"
            waiting = [call for call in waiting if call != answered]
        elif waiting:
            break
        else:
            called = waiting = _called(message)
    if waiting:
        return (
            "an assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )
    return None


def _called(message: Mapping[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    return [str(call.get("id")) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _answer_problem(position: int, message: Mapping[str, Any], body: Mapping[str, Any]) -> str | None:
    if message.get("role") != "assistant":
        return None
    if _called(message):
        if thinks(body) and message.get("reasoning_content") is None:
            return (
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index "
                f"{position}"
            )
    elif not (message.get("content") or message.get("reasoning_content") or message.get("partial")):
        return f"the message at position {position} with role 'assistant' must not be empty"
    return None
