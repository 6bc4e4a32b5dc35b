"""The output and error file of a batch that has ended, line by line."""

import json
import random
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from airflow_provider_kimi.simulator import rules
from airflow_provider_kimi.simulator.answers import Answer, Responder, RowError, completion
from airflow_provider_kimi.simulator.behaviour import Behaviour, Clock
from airflow_provider_kimi.simulator.files import FileStore
from airflow_provider_kimi.simulator.lifecycle import BatchRecord, Stage, ended_at
from airflow_provider_kimi.simulator.thinking import starve


class Platform(Protocol):
    """What answering a batch needs of a platform."""

    clock: Clock
    behaviour: Behaviour
    files: FileStore
    responder: Responder


def write_results(platform: Platform, batch: BatchRecord, stage: Stage) -> None:
    """Answer the rows that were done, and store what the batch's status lets a client download."""
    ended = ended_at(batch, stage)
    add = platform.files.add_result
    if stage.status == "failed":
        reasons = (_error_line(platform, custom_id, error) for custom_id, error in batch.problems)
        batch.error_file_id = add(f"{batch.id}_error.jsonl", reasons, ended, batch.created_by)
        return
    if batch.problems:
        return  # it ended before the validation that would have refused its lines
    with platform.files.spool() as output, platform.files.spool() as errors:
        for line, good in _answered_lines(platform, batch, stage):
            (output if good else errors).add(line)
        batch.completed, batch.failed = len(output), len(errors)
        kept = {"expired": platform.behaviour.expired_output, "cancelled": platform.behaviour.cancelled_output}
        if not kept.get(stage.status, True):
            return
        order = array("Q", range(len(output)))
        if platform.behaviour.shuffle_output:
            random.Random(batch.id).shuffle(order)
        batch.output_file_id = add(f"{batch.id}_output.jsonl", output.lines(order), ended, batch.created_by)
        batch.error_file_id = add(f"{batch.id}_error.jsonl", errors.lines(range(len(errors))), ended, batch.created_by)


def _answered_lines(platform: Platform, batch: BatchRecord, stage: Stage) -> Iterator[tuple[bytes, bool]]:
    """Answer row by row: a line of the output file with True, one of the error file with False."""
    done = int(batch.total * stage.share_done)
    for number, line in enumerate(platform.files.lines(batch.input_file_id)):
        request = json.loads(line)
        answer = _answer(platform, request) if number < done else _unfinished(platform, stage)
        if isinstance(answer, Answer):
            yield _output_line(platform, request, answer), True
        elif isinstance(answer, RowError):
            yield _error_line(platform, request["custom_id"], answer), False


def _answer(platform: Platform, request: Mapping[str, Any]) -> Answer | RowError | None:
    body, behaviour = request["body"], platform.behaviour
    if problem := rules.row_problem(body, behaviour, platform.files.purpose_of):
        return RowError("invalid_request_error", problem)
    answer = platform.responder(request)
    return starve(answer, body, behaviour.starve_below_tokens) if isinstance(answer, Answer) else answer


def _unfinished(platform: Platform, stage: Stage) -> RowError | None:
    if platform.behaviour.unfinished_rows == "absent":
        return None
    return RowError(f"batch_{stage.status}", f"this request was not run before the batch {stage.status}")


def _output_line(platform: Platform, request: Mapping[str, Any], answer: Answer) -> bytes:
    response: dict[str, Any] = {"request_id": ""}
    if platform.behaviour.success_status_code is not None:
        response["status_code"] = platform.behaviour.success_status_code
    response["body"] = completion(request["body"], answer, int(platform.clock.now()))
    return _encode({"id": request["custom_id"], "custom_id": request["custom_id"], "response": response, "error": None})


def _error_line(platform: Platform, custom_id: str, error: RowError) -> bytes:
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
