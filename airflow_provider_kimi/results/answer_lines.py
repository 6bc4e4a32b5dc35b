"""A line of an output or error file becomes one row, with its id and its status."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from airflow_provider_kimi.api.redaction import without_ids
from airflow_provider_kimi.files.line_ids import (
    UNREADABLE,
    body_of,
    decoded,
    error_of,
    id_of,
    name_of_unreadable,
    sound,
    text_of,
)
from airflow_provider_kimi.records.rows import Row, RowStatus

#: `response.status_code` of a row that succeeded: 200 as documented, 0 and none as clients have seen, also as text.
_SUCCESS_STATUS_CODES = (200, 0, None, "200", "0", "")

_STATUS_OF_ERROR: dict[str, RowStatus] = {
    "batch_expired": "expired",
    "batch_cancelled": "cancelled",
    "content_filter": "filtered",
}

#: The status of an answer that came without an error, and the code and reason why it is not a success.
_Verdict = tuple[RowStatus, str | None, str | None]

#: What `finish_reason` says of an answer that is whole. A word that is in none of these two says that it is not.
_FINISHED = (None, "", "stop", "tool_calls", "function_call")
_CUT: _Verdict = ("truncated", "length", "the answer reached max_completion_tokens and was cut off")
_VERDICT_OF_REASON: dict[str, _Verdict] = {
    "length": _CUT,
    "max_tokens": _CUT,
    "content_filter": ("filtered", "content_filter", "the answer was stopped by the content filter"),
}
_MAX_WORD_CHARS = 40

#: More tokens than any answer has.
_MAX_COUNT = 1 << 53

_Count = Annotated[int, msgspec.Meta(ge=0, lt=_MAX_COUNT)]


class _Message(msgspec.Struct, frozen=True, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct, frozen=True, gc=False):
    message: _Message
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: _Count | None = None


class _TokenCounts(msgspec.Struct, frozen=True, gc=False):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cache_write_tokens: _Count | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    choices: Annotated[list[_Choice], msgspec.Meta(max_length=1)]  # one of several is chosen leniently
    model: str | None = None
    usage: _TokenCounts | None = None
    error: None = None


class _Response(msgspec.Struct, frozen=True, gc=False):
    body: _Body
    status_code: Literal[200, 0] | None = None


class _UsualLine(msgspec.Struct, frozen=True, gc=False):
    custom_id: Annotated[str, msgspec.Meta(min_length=1)]
    response: _Response
    error: None = None


#: Decodes the line of an answer without an error into no more than is needed of it, which takes a third of the time. A
#: line that it refuses is read leniently.
_decode_usual = msgspec.json.Decoder(_UsualLine).decode

_NO_COUNTS = _TokenCounts()
_NO_DETAILS = _PromptDetails()


def read_row(line: bytes) -> Row:
    """Read one line that names its request.

    The row succeeded if there is no error, the status code says success, and the answer has content.
    """
    try:
        found = _decode_usual(line)
        choice = found.response.body.choices[0]
    except (*UNREADABLE, IndexError):
        return _read_odd(line)
    return _answered(found.custom_id, choice, found.response.body.usage or _NO_COUNTS, found.response.body.model)


def row_of_answer(custom_id: str, answer: bytes) -> Row:
    """Read an answer of the cache as that of a row; it has cost nothing.

    :param answer: The `response` of the output line that it came in.
    """
    line = b"".join((b'{"custom_id":', msgspec.json.encode(custom_id), b',"response":', answer, b',"error":null}'))
    return unpaid(read_row(line))


def unpaid(row: Row) -> Row:
    """A row without tokens, because another one has them."""
    return replace(
        row,
        prompt_tokens=None,
        cached_tokens=None,
        completion_tokens=None,
        reasoning_tokens=None,
        cache_write_tokens=None,
    )


def _read_odd(line: bytes) -> Row:
    try:
        fields = decoded(line)
    except UNREADABLE:
        reason = "the line of this request is not JSON: it is cut, nested too deeply or broken in another way"
        name = id_of(line) or name_of_unreadable(line) or ""
        return Row(custom_id=name, status="failed", error_code="unreadable_line", error_message=reason)
    custom_id = text_of(fields["custom_id"]) or ""
    status_code, body, error = _parts(fields)
    choices = body.get("choices")
    if error is not None or not _is_success(status_code) or not choices:
        return _refused(custom_id, error, status_code, body)
    choice = _first(choices)
    return _answered(
        custom_id, _odd_choice(choice), _odd_counts(_mapping(body.get("usage"))), text_of(body.get("model"))
    )


def _parts(fields: Mapping[str, Any]) -> tuple[object, Mapping[str, Any], object]:
    response = _mapping(fields.get("response"))
    body = body_of(response.get("body"))
    error = error_of(fields.get("error"))
    return response.get("status_code"), body, error_of(body.get("error")) if error is None else error


def _is_success(status_code: object) -> bool:
    return (status_code.strip() if isinstance(status_code, str) else status_code) in _SUCCESS_STATUS_CODES


def batch_error(line: bytes) -> Row | None:
    """Read a line that names no request but says why the whole batch failed; None if it does not say."""
    try:
        fields = decoded(line)
    except UNREADABLE:
        return None
    status_code, body, error = _parts(_mapping(fields))
    row = _refused("", error, status_code, body)
    return None if row.error_code == "no_answer" else row


def _answered(custom_id: str, choice: _Choice, counts: _TokenCounts, model: str | None) -> Row:
    message, finish_reason, content = choice.message, choice.finish_reason, choice.message.content
    if message.tool_calls and not (content and content.strip()):
        content = _calls(message.tool_calls)
    status, code, reason = _verdict(content, finish_reason)
    prompt, completion = counts.prompt_tokens_details or _NO_DETAILS, counts.completion_tokens_details
    cached, written = counts.cached_tokens, counts.cache_write_tokens
    return Row(
        custom_id=custom_id,
        status=status,
        content=content,
        reasoning=message.reasoning_content or None,
        finish_reason=finish_reason or None,
        error_code=code,
        error_message=reason,
        prompt_tokens=counts.prompt_tokens,
        cached_tokens=prompt.cached_tokens if cached is None else cached,
        completion_tokens=counts.completion_tokens,
        reasoning_tokens=completion.reasoning_tokens if completion else None,
        cache_write_tokens=prompt.cache_write_tokens if written is None else written,
        model=model or None,
    )


def _calls(calls: list[msgspec.Raw]) -> str | None:
    """The JSON of tool calls, which are the answer if there is no text."""
    held = [call for call in calls if bytes(call) != b"null"]
    return msgspec.json.encode(held).decode("utf-8", "replace") if held else None


def _verdict(content: str | None, finish_reason: str | None) -> _Verdict:
    if finish_reason not in _FINISHED:
        word = sound(finish_reason[:_MAX_WORD_CHARS])
        reason = f"the platform ended the answer with the finish_reason {word!r}, so it may not be whole"
        return _VERDICT_OF_REASON.get(finish_reason, ("invalid", "finish_reason", reason))
    if not content or content.isspace():
        return "invalid", "empty_answer", "the answer has no content"
    return "succeeded", None, None


def _first(choices: object) -> Mapping[str, Any]:
    """The choice with the lowest index, or else the only one; without an index, a choice has that of its place."""
    found = list(map(_mapping, choices)) if isinstance(choices, list) else []
    indexes = [place if (index := _count(choice.get("index"))) is None else index for place, choice in enumerate(found)]
    return found[indexes.index(min(indexes))] if found else {}


def _odd_choice(choice: Mapping[str, Any]) -> _Choice:
    message = _mapping(choice.get("message"))
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):  # several parts, as in a request
        content = "".join(map(_text_of_part, content)) or None
    said = _Message(
        sound(content) if isinstance(content, str) else None,
        text_of(message.get("reasoning_content")),
        [_raw(call) for call in calls] if isinstance(calls, list) else None,
    )
    return _Choice(said, _word(choice.get("finish_reason")))


def _word(value: object) -> str | None:
    """A word of the platform; the type of what is not a text, so that it counts as an unknown word."""
    return text_of(value) or (type(value).__name__ if value else None)


def _text_of_part(part: object) -> str:
    """The text of a part of an answer; empty for one of another type, such as thoughts."""
    fields = _mapping(part)
    text = fields.get("text")
    return text if isinstance(text, str) and fields.get("type") in (None, "text", "output_text") else ""


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(sound(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode())


def _odd_counts(usage: Mapping[str, Any]) -> _TokenCounts:
    prompt = _mapping(usage.get("prompt_tokens_details"))
    return _TokenCounts(
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _count(usage.get("cached_tokens")),
        _PromptDetails(_count(prompt.get("cached_tokens")), _count(prompt.get("cache_write_tokens"))),
        _CompletionDetails(_count(_mapping(usage.get("completion_tokens_details")).get("reasoning_tokens"))),
        _count(usage.get("cache_write_tokens")),
    )


def _refused(custom_id: str, error: object, status_code: object, body: Mapping[str, Any]) -> Row:
    fields = _mapping(error)
    code, kind, message = _code(fields.get("code")), text_of(fields.get("type")), text_of(fields.get("message"))
    said = text_of(error)
    known = (_STATUS_OF_ERROR.get(word) for word in (code, kind, said) if word)
    if code is None or code.isdigit():
        code = kind or code
    if code is None and message is None and said is None:
        code, message = "no_answer", f"the line holds no answer and no error (status_code {status_code!r})"
    status: RowStatus = next(filter(None, known), "failed")
    code, message = without_ids(code or "error"), without_ids(message or said or "") or None
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Row(custom_id=custom_id, status=status, error_code=code, error_message=message)
    billed = _answered(custom_id, _Choice(_Message()), _odd_counts(usage), text_of(body.get("model")))
    return replace(billed, status=status, error_code=code, error_message=message)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _code(value: object) -> str | None:
    return sound(str(value)) if isinstance(value, str | int) and value and value is not True else None


def _count(value: object) -> int | None:
    """A number of tokens, if a table can hold it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else None
