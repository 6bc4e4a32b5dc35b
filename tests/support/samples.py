"""Values that many unit tests start from."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.settings import ConnectionSettings, read_settings
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_files import AnswerFiles
from airflow_provider_kimi.results.tally import Tally

#: Every status of a batch that the platform documents.
ACTIVE = ("validating", "in_progress", "finalizing", "cancelling")
TERMINAL = ("completed", "failed", "expired", "cancelled")

#: Statuses that the platform does not document.
UNKNOWN = ("paused", "", "COMPLETED")

#: Pieces of row text that a program may take for a template or for a line end.
TRICKY = ("{", "}", "{{", "}}", "{%", "{{ conn.kimi.password }}", "{x}", "%s", "$x", "\\n", "\n", "\u2028", "\u0085")
ROW_TEXT = st.lists(st.one_of(st.text(), st.sampled_from(TRICKY))).map("".join)

#: The smallest valid request body.
BODY = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}


def make_batch(status: str = "in_progress", batch_id: str = "batch_1", **fields: Any) -> Batch:
    return Batch(id=batch_id, status=status, **fields)


def make_settings(
    *, host: str | None = None, port: int | None = None, password: str | None = "sk-secret0123", **extra: object
) -> ConnectionSettings:
    return read_settings("kimi_default", host=host, port=port, password=password, extra=extra)


def request_line(custom_id: object = "a", *, body: object = None, **fields: object) -> bytes:
    """A line of a batch input file. It is valid unless an argument spoils it."""
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body or BODY}
    return json.dumps(request | fields).encode()


def answer_body(content: object = "positive", finish_reason: object = "stop", **message: object) -> dict[str, Any]:
    """A chat completion as a batch row holds it."""
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "model": "kimi-k2.6",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }


def output_line(custom_id: str = "a", *, body: object = None, **fields: object) -> bytes:
    """A line of an output file. The row succeeded unless an argument says otherwise."""
    response = {"status_code": 200, "request_id": "", "body": answer_body() if body is None else body}
    line = {"id": custom_id, "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(line | fields).encode()


def answer_files(output: Path | None, error: Path | None = None) -> AnswerFiles:
    """Open result files, with room for every line."""
    return AnswerFiles([output], [error], sum(path.read_bytes().count(b"\n") + 1 for path in (output, error) if path))


def tally_of(**counts: int) -> Tally:
    """Rows without more than a status."""
    tally = Tally()
    for status, count in counts.items():
        for number in range(count):
            tally.add(Row(custom_id=f"{status}-{number}", status=status))  # type: ignore[arg-type]
    return tally
