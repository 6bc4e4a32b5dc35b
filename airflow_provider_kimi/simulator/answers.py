"""What the model says to one request: an answer, an error, or nothing; and an answer as the platform shows it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A chat completion.

    :param content: Text of the message; None for an answer without text.
    :param finish_reason: `stop`, `length`, `tool_calls` or `content_filter`.
    :param reasoning_content: The thoughts beside the text, if any.
    :param cached_tokens: How many prompt tokens were read from the cache.
    """

    content: str | None
    finish_reason: str = "stop"
    reasoning_content: str | None = None
    cached_tokens: int = 0


@dataclass(frozen=True)
class RowError:
    """A row that the platform refuses."""

    code: str
    message: str
    status_code: int = 400


#: Takes one request line (`custom_id`, `method`, `url`, `body`); None means that no line comes back for it.
Responder = Callable[[Mapping[str, Any]], Answer | RowError | None]


def completion(body: Mapping[str, Any], answer: Answer, created: int) -> dict[str, Any]:
    """Shape an answer as the platform's chat completion, with deterministic token counts."""
    prompt_tokens = count_tokens(body.get("messages", []))
    reasoning_tokens = len(answer.reasoning_content or "")
    completion_tokens = max(1, len(answer.content or "")) + reasoning_tokens
    message: dict[str, Any] = {"role": "assistant", "content": answer.content}
    if answer.reasoning_content is not None:
        message["reasoning_content"] = answer.reasoning_content
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion",
        "created": created,
        "model": body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "cached_tokens": min(answer.cached_tokens, prompt_tokens),
            "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
        },
    }


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Estimate: three bytes a token, four tokens a message."""
    return sum(4 + len(text_of(message).encode("utf-8", "replace")) // 3 for message in messages)


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether it is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
