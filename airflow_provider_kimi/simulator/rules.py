"""What the platform refuses: at once with a 400, or later by failing the batch or one of its rows."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from airflow_provider_kimi.simulator import limits
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.behaviour import Behaviour
from airflow_provider_kimi.simulator.media import PurposeOf, media_problem
from airflow_provider_kimi.simulator.thinking import conflict, token_cap
from airflow_provider_kimi.simulator.tools import history_problem, refused_schema, tools_problem

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")


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
    model: object = None
    number = 0
    for number, line in enumerate(lines, 1):
        request = _read_object(line)
        problem = _request_problem(request, behaviour)
        if request is not None and problem is None:
            model = model or request["body"]["model"]
            problem = _clash(request, seen, model)
        custom_id = str((request or {}).get("custom_id", ""))
        seen.add(custom_id)
        if problem is not None:
            yield custom_id, RowError("invalid_request_error", f"line {number}: {problem}")
    if behaviour.max_lines is not None and number > behaviour.max_lines:
        yield "", RowError("invalid_request_error", f"the file has {number} lines, over {behaviour.max_lines}")


def _clash(request: Mapping[str, Any], seen: Set[str], model: object) -> str | None:
    """Say why a line that is valid by itself does not go together with the lines before it."""
    if request["body"]["model"] != model:
        return "all lines must use the same model"
    return "duplicate custom_id" if request["custom_id"] in seen else None


def _read_object(line: bytes) -> dict[str, Any] | None:
    """Read a line by the letter of the standard: UTF-8 without BOM, and NaN refused."""
    try:
        request = json.loads(line.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _request_problem(request: dict[str, Any] | None, behaviour: Behaviour) -> str | None:
    if request is None:
        return "not a JSON object"
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return "custom_id is required"
    if not re.fullmatch(behaviour.custom_id_pattern, custom_id, re.DOTALL):
        return f"custom_id must match {behaviour.custom_id_pattern}"
    if request.get("method") != "POST" or request.get("url") != limits.BATCH_ENDPOINT:
        return f"method must be POST and url {limits.BATCH_ENDPOINT}"
    body = request.get("body")
    return body_problem(body, behaviour) if isinstance(body, dict) else "body is required"


def body_problem(body: Mapping[str, Any], behaviour: Behaviour) -> str | None:
    """Say why a batch row's body makes its whole batch fail."""
    model = body.get("model")
    if model not in behaviour.batch_models:
        return f"model {model!r} not found or not supported in batch"
    if problem := messages_problem(body):
        return problem
    if behaviour.forbidden_keys == "batch" and (key := forbidden_key(body)):
        return f"{key} may not be set in a batch"
    return refused_schema(body, behaviour.schema_level) if behaviour.refused_schemas == "batch" else None


def row_problem(body: Mapping[str, Any], behaviour: Behaviour, purpose_of: PurposeOf) -> str | None:
    """Say why a batch row is refused while the others of its batch go on."""
    if behaviour.forbidden_keys == "row" and (key := forbidden_key(body)):
        return f"{key} may not be set in a batch"
    return request_problem(body, behaviour, purpose_of)


def request_problem(body: Mapping[str, Any], behaviour: Behaviour, purpose_of: PurposeOf) -> str | None:
    """Say why a model refuses a request, in a batch or not."""
    return (
        conflict(body)
        or tools_problem(body)
        or refused_schema(body, behaviour.schema_level)
        or history_problem(body)
        or media_problem(body["messages"], purpose_of)
    )


def messages_problem(body: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the messages of a request."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages is required"
    return None if all(isinstance(message, dict) for message in messages) else "each message must be an object"


def forbidden_key(body: Mapping[str, Any]) -> str | None:
    """Name the first body key that a batch row may not carry."""
    fixed = next((key for key in limits.FORBIDDEN_BODY_KEYS if key in body), None)
    return fixed or ("stream" if body.get("stream") else None)


def unfixed_key(body: Mapping[str, Any]) -> str | None:
    """Name the first body key whose value is not the one that the models fix."""
    return next((key for key, fixed in limits.FIXED_BODY_VALUES.items() if body.get(key, fixed[0]) not in fixed), None)


def reserved_tokens(lines: Iterable[bytes]) -> int:
    """Most output tokens that a valid input file may cost."""
    caps = (token_cap(json.loads(line)["body"]) for line in lines)
    return sum(limits.DEFAULT_MAX_COMPLETION_TOKENS if cap is None else cap for cap in caps)
