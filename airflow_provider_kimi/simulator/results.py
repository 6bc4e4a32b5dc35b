"""Writes the output and error file of a batch that has ended."""

import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.simulator import rules
from airflow_provider_kimi.simulator.answers import Answer, RowError, completion
from airflow_provider_kimi.simulator.lifecycle import BatchRecord, Stage

if TYPE_CHECKING:
    from airflow_provider_kimi.simulator.platform import Platform


def write_results(platform: "Platform", batch: BatchRecord, stage: Stage) -> None:
    """Answer the rows that were done, and store what the batch's status lets a client download."""
    ended = stage.completed_at or stage.failed_at or stage.cancelled_at or batch.expires_at
    if stage.status == "failed":
        _write_failure(platform, batch, ended)
        return
    if batch.problems:
        return  # ended before the validation that would have refused its lines
    output, errors = _answer_rows(platform, batch, stage)
    batch.completed, batch.failed = len(output), len(errors)
    behaviour = platform.behaviour
    if behaviour.shuffle_output:
        random.Random(batch.id).shuffle(output)
    kept = {"expired": behaviour.expired_output, "cancelled": behaviour.cancelled_output}
    if not kept.get(stage.status, True):
        return
    batch.output_file_id = platform.files.add_result(f"{batch.id}_output.jsonl", _join(platform, output), ended)
    batch.error_file_id = platform.files.add_result(f"{batch.id}_error.jsonl", _join(platform, errors), ended)


def _write_failure(platform: "Platform", batch: BatchRecord, ended: float) -> None:
    behaviour = platform.behaviour
    reasons = batch.problems if behaviour.failed_error_file else []
    if batch.balance_failure and behaviour.balance_error_file:
        reasons = [("", RowError("failed_precondition", "user has insufficient balance"))]
    lines = [_error_line(platform, custom_id, error) for custom_id, error in reasons]
    batch.error_file_id = platform.files.add_result(f"{batch.id}_error.jsonl", _join(platform, lines), ended)


def _answer_rows(platform: "Platform", batch: BatchRecord, stage: Stage) -> tuple[list[bytes], list[bytes]]:
    output: list[bytes] = []
    errors: list[bytes] = []
    done = int(batch.total * stage.share_done)
    for number, line in enumerate(platform.files.lines(batch.input_file_id)):
        request = json.loads(line)
        answer: Answer | RowError | None
        if number >= done:
            code = f"batch_{stage.status}"
            listed = platform.behaviour.unfinished_rows == "error_file"
            answer = RowError(code, f"this request was not run before the batch {stage.status}") if listed else None
        elif platform.behaviour.forbidden_keys == "row" and (key := rules.forbidden_key(request["body"])):
            answer = RowError("invalid_request_error", f"{key} may not be set in a batch")
        else:
            answer = platform.responder(request)
        if isinstance(answer, Answer):
            output.append(_output_line(platform, request, answer))
        elif isinstance(answer, RowError):
            errors.append(_error_line(platform, request["custom_id"], answer))
    return output, errors


def _output_line(platform: "Platform", request: Mapping[str, Any], answer: Answer) -> bytes:
    response: dict[str, Any] = {"request_id": ""}
    if platform.behaviour.success_status_code is not None:
        response["status_code"] = platform.behaviour.success_status_code
    response["body"] = completion(request["body"], answer, int(platform.clock.now()))
    return _encode({"id": request["custom_id"], "custom_id": request["custom_id"], "response": response, "error": None})


def _error_line(platform: "Platform", custom_id: str, error: RowError) -> bytes:
    line: dict[str, Any] = {"id": custom_id, "custom_id": custom_id, "response": None, "error": None}
    match platform.behaviour.error_shape:
        case "error":
            line["error"] = {"code": error.code, "message": error.message}
        case "type":
            line["error"] = {"type": error.code, "message": error.message}
        case "text":
            line["error"] = error.message
        case "response":
            body = {"error": {"type": error.code, "message": error.message}}
            line["response"] = {"status_code": error.status_code, "request_id": "", "body": body}
        case "empty":
            line["response"] = {"status_code": 0, "request_id": "", "body": ""}
    return _encode(line)


def _encode(line: Mapping[str, Any]) -> bytes:
    """Write one line as UTF-8; half a surrogate pair, which UTF-8 cannot hold, stays a JSON escape."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _join(platform: "Platform", lines: list[bytes]) -> bytes:
    content = b"\n".join(lines)
    return content + b"\n" if content and platform.behaviour.final_newline else content
