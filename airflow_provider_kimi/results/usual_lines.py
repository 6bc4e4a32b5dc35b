"""A line as nearly every answer has it, decoded straight into what is needed of it: a third of the time."""

from typing import Annotated, Literal

import msgspec

#: More tokens than anything has.
MAX_COUNT = 1 << 53

Count = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]


class Message(msgspec.Struct, frozen=True, gc=False):
    """What the model said."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One answer to a request, which has one."""

    message: Message
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct, frozen=True, gc=False):
    """Of the prompt."""

    cached_tokens: Count | None = None


class CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    """Of the completion."""

    reasoning_tokens: Count | None = None


class TokenCounts(msgspec.Struct, frozen=True, gc=False):
    """What the platform counted for one answer; None where it said nothing."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cached_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    choices: list[Choice]
    model: str | None = None
    usage: TokenCounts | None = None
    error: None = None


class _Response(msgspec.Struct, frozen=True, gc=False):
    body: _Body
    status_code: Literal[200, 0] | None = None


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of an output file."""

    custom_id: Annotated[str, msgspec.Meta(min_length=1)]
    response: _Response
    error: None = None


#: Decodes the line of an answer without an error. Whatever it refuses has to be looked at more closely.
decode_usual = msgspec.json.Decoder(Line).decode
