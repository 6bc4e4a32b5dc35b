"""The batches that bench_land lands: requests, their shuffled answers, and the batch that names both."""

import json
import random
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.submit_rows import MODEL, PROMPT, texts_of

#: UTF-8 bytes of one answer, which explains its label. With the line around it, 50,000 of them are about 100 MB.
ANSWER_BYTES = 1610

#: What ends a line in Python's text, and not in JSON lines, where texts hold it as it is.
LINE_ENDS_IN_TEXT = "\u2028\u2029\x85"


def write_batch(folder: Path, name: str, rows: int, *, ending: str = "") -> int:
    """Write what the server gives out of a completed batch, and return the size of its output file.

    :param ending: What the text of every second answer ends in.
    """
    batch = {
        **{"id": name, "object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        **{"status": "completed", "created_at": 1, "completed_at": 2},
        **{"input_file_id": f"{name}-input", "output_file_id": f"{name}-output", "error_file_id": None},
        "request_counts": {"total": rows, "completed": rows, "failed": 0},
    }
    (folder / f"{name}.json").write_text(json.dumps(batch))
    _write(folder / f"{name}-input", map(_request, islice(cycle(texts_of(400)), rows), range(rows)))
    numbers = list(range(rows))
    random.Random(20261124).shuffle(numbers)
    texts = [text + ending * (place % 2) for place, text in enumerate(texts_of(ANSWER_BYTES))]
    return _write(folder / f"{name}-output", map(_answer, cycle(texts), numbers))


def _write(path: Path, lines: Iterator[dict[str, Any]]) -> int:
    with path.open("wb") as target:
        for line in lines:
            target.write(msgspec.json.encode(line) + b"\n")
    return path.stat().st_size


def _request(text: str, number: int) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT.format(text=text)}]}
    return {"custom_id": _id(number), "method": "POST", "url": "/v1/chat/completions", "body": body}


def _answer(text: str, number: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 181, "completion_tokens": 402, "total_tokens": 583, "cached_tokens": 128}
    body = {
        **{"id": f"chatcmpl-{number:024d}", "object": "chat.completion", "created": 1763900000, "model": MODEL},
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    response = {"status_code": 200, "request_id": "", "body": body}
    return {"id": _id(number), "custom_id": _id(number), "response": response, "error": None}


def _id(number: int) -> str:
    """An id that their adapter can read too: its number counts the rows."""
    return f"review-{number}"
