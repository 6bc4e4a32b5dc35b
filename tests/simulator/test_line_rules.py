"""What the lines of an input file turn their batch `failed` for."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.simulator.conftest import Start
from tests.simulator.wire import RETIRED, finish, jsonl, line, rows_of

if TYPE_CHECKING:
    from openai import OpenAI

FAULTY = [
    pytest.param([b"{oops}"], "line 1: not a JSON object", id="not JSON"),
    pytest.param([b"[1]"], "line 1: not a JSON object", id="not an object"),
    pytest.param([b'"text"'], "line 1: not a JSON object", id="a text"),
    pytest.param([line("a"), b"", line("b")], "line 2: not a JSON object", id="blank line"),
    pytest.param([b"\xef\xbb\xbf" + jsonl(line())], "line 1: not a JSON object", id="BOM"),
    pytest.param([jsonl(line()).decode().encode("utf-16")], "line 1: not a JSON object", id="UTF-16"),
    pytest.param([b"[" * 100_000], "line 1: not a JSON object", id="too deep"),
    pytest.param([jsonl(line(body={"top_k": float("nan")}))], "line 1: not a JSON object", id="NaN"),
    pytest.param([line(None)], "line 1: custom_id is required", id="no custom_id"),
    pytest.param([line("")], "line 1: custom_id is required", id="empty custom_id"),
    pytest.param([line(7)], "line 1: custom_id is required", id="custom_id is a number"),
    pytest.param([line(method=None)], "line 1: method must be POST", id="no method"),
    pytest.param([line(method="post")], "line 1: method must be POST", id="method in lower case"),
    pytest.param([line(url=None)], "line 1: method must be POST", id="no url"),
    pytest.param([line(url="/v1/embeddings")], "line 1: method must be POST", id="another url"),
    pytest.param([{**line(), "body": None}], "line 1: body is required", id="no body"),
    pytest.param([line(), line("b", {"messages": []})], "line 2: messages is required", id="no messages"),
    pytest.param([line(body={"messages": "hi"})], "line 1: messages is required", id="messages is a text"),
    pytest.param([line(body={"messages": ["hi"]})], "line 1: each message must be an object", id="message is a text"),
    pytest.param([line("a"), line("b"), line("a")], "line 3: duplicate custom_id", id="duplicate custom_id"),
    pytest.param(
        [line("a"), line("b", {"model": "kimi-k2.7-code"}), line("c")],
        "line 2: all lines must use the same model",
        id="two models",
    ),
    *(
        pytest.param([line(body={"model": model})], f"line 1: model {model!r} not found", id=f"retired {model}")
        for model in RETIRED
    ),
    pytest.param([line(body={"model": "kimi-k3"})], "line 1: model 'kimi-k3' not found", id="not a batch model"),
    pytest.param([line(body={"model": {}})], "line 1: model {} not found", id="model is an object"),
    pytest.param([line(body={"stream": True})], "line 1: stream may not be set", id="stream"),
    *(
        pytest.param([line(body={key: 1})], f"line 1: {key} may not be set", id=key)
        for key in ("temperature", "top_p", "n", "presence_penalty", "frequency_penalty")
    ),
]


@pytest.mark.parametrize(("rows", "reason"), FAULTY)
def test_a_faulty_line_fails_its_batch_and_the_error_file_says_why(
    lasting: KimiSimulator, lasting_client: "OpenAI", rows: list[Any], reason: str
) -> None:
    batch = finish(lasting, lasting_client, *rows)
    assert batch.status == "failed"
    assert batch.output_file_id is None
    (problem,) = rows_of(lasting, batch.error_file_id)
    assert problem["error"]["code"] == "invalid_request_error"
    assert problem["error"]["message"].startswith(reason)
    assert (problem["response"], problem["id"]) == (None, problem["custom_id"])


def test_every_faulty_line_is_reported_under_its_custom_id(sim: KimiSimulator, client: "OpenAI") -> None:
    rows = [line("good"), line("bad", {"n": 1}), b"{", line("good"), line("worse", url=None)]
    batch = finish(sim, client, *rows)
    problems = [(row["custom_id"], row["error"]["message"][:7]) for row in rows_of(sim, batch.error_file_id)]
    assert problems == [("bad", "line 2:"), ("", "line 3:"), ("good", "line 4:"), ("worse", "line 5:")]
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(jsonl(line("a"), line("b")), id="no final newline"),
        pytest.param(jsonl(line("a"), line("b")) + b"\n", id="final newline"),
        pytest.param(jsonl(line("a"), line("b")).replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(jsonl(line("a\u2028"), line("b\x85")), id="Unicode line ends inside a line"),
        pytest.param(json.dumps(line("好")).encode() + b"\n" + jsonl(line("b")), id="escaped and plain"),
        pytest.param(jsonl(line("a", {"model": "kimi-k2.7-code"}), line("b", {"model": "kimi-k2.7-code"})), id="code"),
        pytest.param(jsonl(line("a", {"response_format": None}), line("b", {"stream": False})), id="harmless nulls"),
        pytest.param(
            jsonl(
                line("a", {"messages": [{}]}), line("b", {"messages": [{"role": 1, "content": [1, {"text": None}]}]})
            ),
            id="odd messages",
        ),
    ],
)
def test_a_batch_of_a_good_file_completes(lasting: KimiSimulator, lasting_client: "OpenAI", content: bytes) -> None:
    batch = finish(lasting, lasting_client, content)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 2, "completed": 2, "failed": 0}


def test_thinking_token_caps_and_json_mode_are_allowed_in_a_batch(start: Start) -> None:
    sim, client = start()
    extras = {
        "thinking": {"type": "disabled"},
        "max_tokens": 200_000,
        "response_format": {"type": "json_object"},
        "messages": [{"role": "user", "content": 'Reply {"label": "yes" | "no"}'}],
    }
    batch = finish(sim, client, line(body=extras))
    (row,) = rows_of(sim, batch.output_file_id)
    assert json.loads(row["response"]["body"]["choices"][0]["message"]["content"])["label"] in ("yes", "no")
