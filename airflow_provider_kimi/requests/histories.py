"""Conversations in which an answer calls tools: their results have to follow, and the reasoning has to come along."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from airflow_provider_kimi.requests.problems import RowProblem

#: Roles of messages (chat reference).
Role = Literal["system", "user", "assistant", "tool"]

#: What stands for a key that a message does not have.
_NULL = b"null"
NOTHING = msgspec.Raw(_NULL)

_EMPTY = (_NULL, b'""', b"[]", b"false")


class Message(msgspec.Struct):
    """A message of a request. All but its role stays bytes."""

    role: Role
    content: msgspec.Raw = NOTHING
    tool_calls: msgspec.Raw = NOTHING
    tool_call_id: msgspec.Raw = NOTHING
    reasoning_content: msgspec.Raw = NOTHING
    partial: msgspec.Raw = NOTHING


class _Call(msgspec.Struct):
    id: str


_read_calls = msgspec.json.Decoder(list[_Call] | None).decode


def says_nothing(message: Message) -> bool:
    """Whether an answer without content holds nothing else either, neither calls, nor thoughts, nor a beginning."""
    rest = (message.tool_calls, message.reasoning_content, message.partial)
    return message.role == "assistant" and all(bytes(raw) in _EMPTY for raw in rest)


def check_calls(messages: Sequence[Message]) -> None:
    """Refuse calls of tools without their results, and results without their calls.

    :raises RowProblem: Names the message by its place.
    """
    called: list[str] = []
    waiting: list[str] = []
    asker = 0
    for number, message in enumerate(messages, 1):
        if message.role == "tool":
            answered = msgspec.json.decode(message.tool_call_id)
            if answered not in called:
                raise RowProblem(
                    f"has a message {number} with the result of a tool, and its tool_call_id is of no call in the "
                    "answer before it; the platform refuses it"
                )
            waiting = [call for call in waiting if call != answered]
        elif waiting:
            break
        else:
            called = waiting = _calls_of(number, message)
            asker = number
    if waiting:
        raise RowProblem(
            f"has a message {asker} that calls tools, and not right behind it a message with role tool for each of its "
            "calls; the platform refuses it"
        )


def check_reasoning(messages: Sequence[Message], way_out: str) -> None:
    """Refuse an answer that calls tools without what the model thought before.

    :raises RowProblem: Names the message by its place.
    """
    for number, message in enumerate(messages, 1):
        if message.tool_calls is NOTHING or bytes(message.reasoning_content) != _NULL:
            continue
        if message.role == "assistant" and _calls_of(number, message):
            raise RowProblem(
                f"has a message {number} that calls tools and has no reasoning_content, which the platform refuses "
                f"while the model thinks; {way_out}"
            )


def _calls_of(number: int, message: Message) -> list[str]:
    try:
        return [call.id for call in _read_calls(message.tool_calls) or ()]
    except msgspec.DecodeError:
        raise RowProblem(f"has tool_calls in message {number} that are no list of calls with an id each") from None
