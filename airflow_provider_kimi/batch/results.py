"""From a line of an output or error file to one row with an honest status. Positions mean nothing; ids do."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_provider_kimi.batch.rows import Row, RowStatus

#: `response.status_code` of a row that worked: 200 as documented, 0 and nothing as clients have seen it.
_SUCCESS_STATUS_CODES = (200, 0, None)

_STATUS_OF_ERROR: dict[str, RowStatus] = {
    "batch_expired": "expired",
    "batch_cancelled": "cancelled",
    "content_filter": "filtered",
}


class _Id(msgspec.Struct):
    custom_id: str


#: What decoding a line may raise: it is no JSON, or nested too deeply.
_UNREADABLE = (ValueError, RecursionError)


def _decoded(line: bytes | str) -> Any:
    """Decode JSON, leniently where it must be: half characters, NaN and stray bytes occur in paid answers."""
    try:
        return msgspec.json.decode(line)
    except ValueError:
        text = line if isinstance(line, str) else line.decode("utf-8", "replace")
        return json.loads(text, strict=False)


def id_of(line: bytes) -> str | None:
    """Read a line's `custom_id`; None where the line cannot be read or names none."""
    try:
        return msgspec.json.decode(line, type=_Id).custom_id or None
    except _UNREADABLE:
        pass
    try:
        fields = _decoded(line)
    except _UNREADABLE:
        return None
    return _text(fields.get("custom_id")) if isinstance(fields, dict) else None


def is_whole(line: bytes) -> bool:
    """Whether a line is complete JSON; a file that was cut ends in one that is not."""
    try:
        _decoded(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def read_row(line: bytes) -> Row:
    """Judge one line that `id_of` could read.

    A row succeeded if there is no error, the status code is one of success, and there is an answer with content.
    """
    try:
        fields = _decoded(line)
    except _UNREADABLE:
        reason = "the line of this request cannot be read as JSON"
        return Row(custom_id=id_of(line) or "", status="failed", error_code="unreadable_line", error_message=reason)
    custom_id = _text(fields["custom_id"]) or ""
    response = _mapping(fields.get("response"))
    body = _body(response.get("body"))
    error = fields.get("error") or body.get("error")
    choices = body.get("choices")
    if error or response.get("status_code") not in _SUCCESS_STATUS_CODES or not choices:
        return _refused(custom_id, error, response)
    return _answered(custom_id, body, _mapping(choices[0] if isinstance(choices, list) else None))


def batch_error(line: bytes) -> Row | None:
    """Read a line that names no request but says why the whole batch failed; None if it says nothing."""
    try:
        fields = _decoded(line)
    except _UNREADABLE:
        return None
    row = _refused("", _mapping(fields).get("error"), _mapping(_mapping(fields).get("response")))
    return None if row.error_code == "no_answer" else row


def _answered(custom_id: str, body: Mapping[str, Any], choice: Mapping[str, Any]) -> Row:
    message = _mapping(choice.get("message"))
    content = message.get("content")
    text = _sound(content) if isinstance(content, str) else None
    finish_reason = _text(choice.get("finish_reason"))
    status: RowStatus = "succeeded"
    problem: tuple[str | None, str | None] = (None, None)
    if finish_reason == "length":
        status, problem = "truncated", ("length", "the answer reached max_completion_tokens and was cut off")
    elif finish_reason == "content_filter":
        status, problem = "filtered", ("content_filter", "the answer was stopped by the content filter")
    elif not (text and text.strip()) and not message.get("tool_calls"):
        status, problem = "invalid", ("empty_answer", "the answer has no content")
    usage = _mapping(body.get("usage"))
    cached = _count(usage.get("cached_tokens"))
    if cached is None:
        cached = _count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    return Row(
        custom_id=custom_id,
        status=status,
        content=text,
        reasoning=_text(message.get("reasoning_content")),
        finish_reason=finish_reason,
        error_code=problem[0],
        error_message=problem[1],
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=cached,
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(_mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        model=_text(body.get("model")),
    )


def _refused(custom_id: str, error: object, response: Mapping[str, Any]) -> Row:
    fields = _mapping(error)
    code = _code(fields.get("code")) or _code(fields.get("type"))
    message = _text(fields.get("message")) or _text(error)
    if code is None and message is None:
        code, message = (
            "no_answer",
            f"the line holds no answer and no error (status_code {response.get('status_code')!r})",
        )
    status = _STATUS_OF_ERROR.get(code or "", "failed")
    return Row(custom_id=custom_id, status=status, error_code=code or "error", error_message=message)


def _body(value: object) -> Mapping[str, Any]:
    """A body may come as the text of a JSON object."""
    if isinstance(value, str):
        try:
            value = _decoded(value)
        except _UNREADABLE:
            return {}
    return _mapping(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return _sound(value) if isinstance(value, str) and value else None


def _sound(text: str) -> str:
    """Replace half characters, which no file in UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _code(value: object) -> str | None:
    return _sound(str(value)) if isinstance(value, str | int) and value and value is not True else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
