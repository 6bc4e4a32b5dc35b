"""Thinking: which requests do it, what it clashes with, and what it leaves of a small cap on the answer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from airflow_provider_kimi.simulator import limits
from airflow_provider_kimi.simulator.answers import Answer

_THOUGHT = "Let me think about this. "


def thinks(body: Mapping[str, Any]) -> bool:
    """Whether the model thinks before it answers, as it does by default."""
    asked = body.get("thinking")
    return not (isinstance(asked, dict) and asked.get("type") == "disabled")


def conflict(body: Mapping[str, Any]) -> str | None:
    """Name the parameters of a request that clash or have a wrong type; null counts as absent."""
    for key in ("max_completion_tokens", "max_tokens"):
        if body.get(key) is not None and (type(body[key]) is not int or body[key] < 1):
            return f"{key} must be a positive integer"
    if body.get("thinking") is not None and body.get("reasoning_effort") is not None:
        return "thinking and reasoning_effort may not be set together"
    if not thinks(body):
        model = body.get("model")
        return f"thinking cannot be disabled for {model}" if model in limits.ALWAYS_THINKING_MODELS else None
    if (choice := body.get("tool_choice")) == "required" or isinstance(choice, dict):
        named = "required" if choice == "required" else "specified"
        return f"tool_choice '{named}' is incompatible with thinking enabled"
    return None


def token_cap(body: Mapping[str, Any]) -> int | None:
    """Most tokens that an answer may have, thoughts included; None where the request does not say."""
    asked = body.get("max_completion_tokens", body.get("max_tokens"))
    return asked if isinstance(asked, int) else None


def starve(answer: Answer, body: Mapping[str, Any], below: int | None) -> Answer:
    """Let the thoughts use up a cap below this number of tokens, so that the answer comes empty."""
    cap = token_cap(body)
    if below is None or cap is None or cap >= below or not thinks(body):
        return answer
    characters = max(cap - 1, 0)  # a character counts as one token, and so does an empty text
    thoughts = (_THOUGHT * (characters // len(_THOUGHT) + 1))[:characters]
    return dataclasses.replace(answer, content="", finish_reason="length", reasoning_content=thoughts)
