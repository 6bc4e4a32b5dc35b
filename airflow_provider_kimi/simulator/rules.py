"""What the platform refuses: at once with a 400, or later by failing the batch."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_kimi.simulator import limits
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.behaviour import Behaviour

_WINDOW = re.compile(r"([1-9]\d*)([hd])")


class RefusedError(Exception):
    """An answer in the platform's error envelope."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


def invalid(message: str) -> RefusedError:
    """Refuse a parameter."""
    return RefusedError(400, "invalid_request_error", f"Invalid request: {message}")


def not_found(message: str) -> RefusedError:
    """Refuse an unknown id."""
    return RefusedError(404, "resource_not_found_error", message)


def window_seconds(completion_window: object) -> int:
    """Read a completion window, refusing what lies outside 12 hours to 7 days."""
    found = _WINDOW.fullmatch(completion_window) if isinstance(completion_window, str) else None
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if not limits.MIN_WINDOW_HOURS <= hours <= limits.MAX_WINDOW_HOURS:
        raise invalid("completion_window must be between 12h and 7d")
    return hours * 3600


def check_metadata(metadata: object) -> dict[str, str] | None:
    """Refuse metadata over the documented sizes."""
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or len(metadata) > limits.MAX_METADATA_PAIRS:
        raise invalid(f"metadata must be an object of at most {limits.MAX_METADATA_PAIRS} pairs")
    for key, value in metadata.items():
        if len(key) > limits.MAX_METADATA_KEY_CHARS:
            raise invalid(f"metadata key over {limits.MAX_METADATA_KEY_CHARS} characters")
        if not isinstance(value, str) or len(value) > limits.MAX_METADATA_VALUE_CHARS:
            raise invalid(f"metadata value must be a string of at most {limits.MAX_METADATA_VALUE_CHARS} characters")
    return metadata


def line_problems(lines: Iterable[bytes], behaviour: Behaviour) -> Iterator[tuple[str, RowError]]:
    """Validate an input file line by line, yielding `(custom_id, error)` for each fault."""
    seen: set[str] = set()
    models: set[str] = set()
    for number, line in enumerate(lines, 1):
        custom_id, problem = _line_problem(line, number, behaviour)
        if problem is None and custom_id in seen:
            problem = f"line {number}: duplicate custom_id"
        seen.add(custom_id)
        if problem is None:
            models.add(json.loads(line)["body"]["model"])
            if len(models) > 1:
                problem = f"line {number}: all lines must use the same model"
        if problem is not None:
            yield custom_id, RowError("invalid_request_error", problem)


def _line_problem(line: bytes, number: int, behaviour: Behaviour) -> tuple[str, str | None]:
    try:
        request = json.loads(line)
    except ValueError:
        return "", f"line {number}: not valid JSON"
    if not isinstance(request, dict):
        return "", f"line {number}: not a JSON object"
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return "", f"line {number}: custom_id is required"
    if request.get("method") != "POST" or request.get("url") != limits.BATCH_ENDPOINT:
        return custom_id, f"line {number}: method must be POST and url {limits.BATCH_ENDPOINT}"
    body = request.get("body")
    if not isinstance(body, dict):
        return custom_id, f"line {number}: body is required"
    refused = body_problem(body, behaviour)
    return custom_id, f"line {number}: {refused}" if refused else None


def body_problem(body: Mapping[str, Any], behaviour: Behaviour) -> str | None:
    """Say why a batch row's body makes its whole batch fail."""
    model = body.get("model")
    if model not in behaviour.batch_models:
        return f"model {model!r} not found or not supported in batch"
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return "messages is required"
    if body.get("stream"):
        return "stream is not supported in batch"
    if behaviour.forbidden_keys == "batch" and (key := forbidden_key(body)):
        return f"{key} may not be set for this model"
    return None


def forbidden_key(body: Mapping[str, Any]) -> str | None:
    """Name the first body key that the model fixes."""
    return next((key for key in limits.FORBIDDEN_BODY_KEYS if key in body), None)
