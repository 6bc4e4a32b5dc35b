"""One line of an output or error file becomes one row with an honest status."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.files.line_ids import id_of
from airflow_provider_kimi.records.rows import ROW_STATUSES, Row, RowStatus, absent_row
from airflow_provider_kimi.results.answer_lines import read_row
from tests.support.samples import answer_body, output_line


def reply(status_code: object, body: object) -> dict[str, object]:
    return {"status_code": status_code, "request_id": "", "body": body}


def judged(line: bytes) -> tuple[str, str | None, str | None]:
    row = read_row(line)
    return row.status, row.error_code, row.error_message


def test_row_statuses_are_those_of_the_contract_in_its_order() -> None:
    contract = "succeeded failed invalid truncated filtered expired cancelled missing"
    assert " ".join(ROW_STATUSES) == contract


def test_every_field_of_a_successful_line_is_read() -> None:
    body = answer_body("positive", reasoning_content="hm")
    body["usage"] = {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "total_tokens": 25,
        "cached_tokens": 16,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert read_row(output_line("row-1", body=body)) == Row(
        custom_id="row-1",
        status="succeeded",
        content="positive",
        reasoning="hm",
        finish_reason="stop",
        prompt_tokens=20,
        cached_tokens=16,
        completion_tokens=5,
        reasoning_tokens=3,
        model="kimi-k2.6",
    )


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(reply(200, answer_body()), id="200"),
        pytest.param(reply(0, answer_body()), id="0"),
        pytest.param(reply(None, answer_body()), id="null"),
        pytest.param({"body": answer_body()}, id="missing"),
        pytest.param(reply(200, json.dumps(answer_body())), id="body as the text of JSON"),
    ],
)
@pytest.mark.parametrize("error", [None, {}, ""], ids=["null error", "empty error", "blank error"])
def test_every_spelling_of_success_is_a_success(response: object, error: object) -> None:
    assert judged(output_line(response=response, error=error)) == ("succeeded", None, None)


def test_a_line_without_an_error_key_is_a_success() -> None:
    line = json.dumps({"custom_id": "a", "response": reply(200, answer_body())}).encode()
    assert judged(line) == ("succeeded", None, None)


def test_a_row_is_named_by_its_custom_id_and_not_by_its_id() -> None:
    assert read_row(output_line("a", id="other")).custom_id == "a"


@pytest.mark.parametrize("content", ["", None], ids=repr)
def test_tool_calls_without_content_are_the_answer(content: str | None) -> None:
    body = answer_body(content, "tool_calls", tool_calls=[{"id": "t", "type": "function"}])
    row = read_row(output_line(body=body))
    assert (row.status, row.finish_reason) == ("succeeded", "tool_calls")
    assert row.content is not None
    assert json.loads(row.content) == [{"id": "t", "type": "function"}]


@pytest.mark.parametrize("calls", [[], [None], None], ids=repr)
def test_an_empty_list_of_tool_calls_is_an_empty_answer(calls: list[None] | None) -> None:
    row = read_row(output_line(body=answer_body("", "tool_calls", tool_calls=calls)))
    assert (row.status, row.error_code) == ("invalid", "empty_answer")


def test_the_text_beside_tool_calls_is_the_answer() -> None:
    assert read_row(output_line(body=answer_body("so", tool_calls=[{"id": "t"}]))).content == "so"


def test_parts_of_text_are_joined_into_one_answer() -> None:
    parts = [{"type": "text", "text": "posi"}, {"type": "other"}, {"type": "text", "text": "tive"}, None]
    row = read_row(output_line(body=answer_body(parts)))
    assert (row.status, row.content) == ("succeeded", "positive")


@pytest.mark.parametrize("text", ["a\u2028b", "a\u0085b", "a\nb", "\x0b", "{{ x }}"])
def test_the_text_of_an_answer_is_not_changed(text: str) -> None:
    """Unicode line ends stay inside the row, escaped or not."""
    for ensure_ascii in (True, False):
        line = json.dumps(json.loads(output_line(body=answer_body(text))), ensure_ascii=ensure_ascii)
        assert read_row(line.encode()).content == text


@pytest.mark.parametrize(
    ("content", "finish_reason", "status", "code"),
    [
        pytest.param("half an ans", "length", "truncated", "length", id="cut"),
        pytest.param("", "length", "truncated", "length", id="all spent on reasoning"),
        pytest.param(None, "length", "truncated", "length", id="cut before it began"),
        pytest.param("", "content_filter", "filtered", "content_filter", id="filtered"),
        pytest.param("some", "content_filter", "filtered", "content_filter", id="filtered midway"),
        pytest.param("", "stop", "invalid", "empty_answer", id="empty"),
        pytest.param(" \n\t\u3000", "stop", "invalid", "empty_answer", id="whitespace only"),
        pytest.param(None, "stop", "invalid", "empty_answer", id="null"),
        pytest.param(None, None, "invalid", "empty_answer", id="null without a reason"),
        pytest.param([{"type": "text"}], "stop", "invalid", "empty_answer", id="no text"),
        pytest.param("", "tool_calls", "invalid", "empty_answer", id="tool calls announced only"),
    ],
)
def test_an_unusable_answer_has_a_status_and_a_code_and_its_tokens(
    content: object, finish_reason: object, status: str, code: str
) -> None:
    row = read_row(output_line(body=answer_body(content, finish_reason)))
    assert (row.status, row.error_code) == (status, code)
    assert row.content == (content if isinstance(content, str) else None)
    assert (row.prompt_tokens, row.completion_tokens) == (20, 5)


def test_an_answer_without_a_message_is_invalid() -> None:
    row = read_row(output_line(body={"choices": [{}]}))
    assert (row.status, row.error_code, row.content) == ("invalid", "empty_answer", None)


@pytest.mark.parametrize(
    ("fields", "judgement"),
    [
        pytest.param(
            {"response": None, "error": {"code": "invalid", "message": "m"}},
            ("failed", "invalid", "m"),
            id="a: error and no response",
        ),
        pytest.param(
            {"response": reply(400, {"error": {"type": "invalid_request_error", "message": "m"}})},
            ("failed", "invalid_request_error", "m"),
            id="b: error inside the body, null outside",
        ),
        pytest.param(
            {"response": reply(400, json.dumps({"error": {"type": "t", "message": "m"}}))},
            ("failed", "t", "m"),
            id="b: body as the text of JSON",
        ),
        pytest.param(
            {"response": None, "error": {"type": "invalid_request_error", "message": "m"}},
            ("failed", "invalid_request_error", "m"),
            id="c: type instead of code",
        ),
        pytest.param({"error": {"code": 429, "message": "m"}}, ("failed", "429", "m"), id="c: code as a number"),
        pytest.param({"response": None, "error": "m"}, ("failed", "error", "m"), id="c: bare text"),
        pytest.param({"error": {"message": "m"}}, ("failed", "error", "m"), id="message only"),
        pytest.param({"error": {"code": "c"}}, ("failed", "c", None), id="code only"),
        pytest.param({"error": {"code": "", "type": "t", "message": "m"}}, ("failed", "t", "m"), id="empty code, type"),
        pytest.param({"error": {"code": "c", "message": "m"}}, ("failed", "c", "m"), id="error beside a good answer"),
        pytest.param(
            {"response": reply(0, "")},
            ("failed", "no_answer", "the line holds no answer and no error (status_code 0)"),
            id="status 0 and an empty body",
        ),
        pytest.param(
            {"response": reply(200, {"choices": []})},
            ("failed", "no_answer", "the line holds no answer and no error (status_code 200)"),
            id="200 without choices",
        ),
        pytest.param(
            {"response": None},
            ("failed", "no_answer", "the line holds no answer and no error (status_code None)"),
            id="nothing at all",
        ),
        pytest.param(
            {"response": reply(500, answer_body())},
            ("failed", "no_answer", "the line holds no answer and no error (status_code 500)"),
            id="an answer under a status of failure",
        ),
        pytest.param(
            {"response": reply(200, "<html>")},
            ("failed", "no_answer", "the line holds no answer and no error (status_code 200)"),
            id="body is no JSON",
        ),
        pytest.param(
            {"error": {"code": "batch_expired", "message": "m"}}, ("expired", "batch_expired", "m"), id="expired"
        ),
        pytest.param(
            {"error": {"code": "batch_cancelled", "message": "m"}},
            ("cancelled", "batch_cancelled", "m"),
            id="cancelled",
        ),
        pytest.param(
            {"response": reply(400, {"error": {"type": "content_filter", "message": "m"}})},
            ("filtered", "content_filter", "m"),
            id="refused by the filter",
        ),
    ],
)
def test_every_spelling_of_an_error_is_a_failure(
    fields: dict[str, Any], judgement: tuple[str, str | None, str | None]
) -> None:
    assert judged(output_line(**fields)) == judgement


def test_an_error_row_has_no_content_and_keeps_the_tokens_that_were_billed() -> None:
    row = read_row(output_line("a", error={"code": "c", "message": "m"}))
    assert (row.status, row.error_code, row.error_message, row.content) == ("failed", "c", "m", None)
    assert (row.prompt_tokens, row.completion_tokens, row.model) == (20, 5, "kimi-k2.6")
    bare = read_row(output_line("a", response=None, error={"code": "c", "message": "m"}))
    assert bare == Row(custom_id="a", status="failed", error_code="c", error_message="m")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"code": 400, "type": "content_filter", "message": "m"}, "filtered", "content_filter"),
        ({"code": "400", "type": "content_filter", "message": "m"}, "filtered", "content_filter"),
        ("batch_expired", "expired", "error"),
        ({"error": {"type": "content_filter", "message": "m"}}, "filtered", "content_filter"),
        ({"code": 400, "message": "m"}, "failed", "400"),
    ],
    ids=str,
)
def test_the_status_of_an_error_follows_any_known_word_in_it(error: object, status: str, code: str) -> None:
    row = read_row(output_line("a", response=None, error=error))
    assert (row.status, row.error_code) == (status, code)


@pytest.mark.parametrize("key", ["code", "type"])
def test_ids_in_the_code_of_an_error_are_hidden_as_those_in_its_text(key: str) -> None:
    row = read_row(output_line("a", response=None, error={key: "limit of org-0123456789", "message": "ak-0123456789"}))
    assert (row.error_code, row.error_message) == ("limit of <hidden>", "<hidden>")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        pytest.param({"cached_tokens": 16}, (None, 16, None, None), id="Kimi's own key"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": 8}}, (None, 8, None, None), id="OpenAI's key"),
        pytest.param(
            {"cached_tokens": None, "prompt_tokens_details": {"cached_tokens": 8}}, (None, 8, None, None), id="a null"
        ),
        pytest.param(
            {"cached_tokens": 0, "prompt_tokens_details": {"cached_tokens": 8}},
            (None, 0, None, None),
            id="Kimi's own key first",
        ),
        pytest.param(
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}},
            (None, None, 9, 4),
            id="reasoning",
        ),
        pytest.param({"prompt_tokens": 0}, (0, None, None, None), id="zero"),
        pytest.param({"prompt_tokens": True, "completion_tokens": "5"}, (None, None, None, None), id="no numbers"),
        pytest.param({"prompt_tokens_details": None, "prompt_tokens": 3}, (3, None, None, None), id="null details"),
        pytest.param({}, (None, None, None, None), id="empty"),
        pytest.param(None, (None, None, None, None), id="null"),
    ],
)
def test_tokens_are_read_where_they_are_reported(usage: object, tokens: tuple[int | None, ...]) -> None:
    row = read_row(output_line(body={**answer_body(), "usage": usage}))
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.reasoning_tokens) == tokens


@pytest.mark.parametrize("body", [{}, {"error": {}}], ids=["usual", "read leniently"])
@pytest.mark.parametrize(
    ("usage", "written"),
    [
        ({"prompt_tokens_details": {"cache_write_tokens": 8}}, 8),
        ({"cache_write_tokens": 16}, 16),
        ({"cache_write_tokens": None, "prompt_tokens_details": {"cache_write_tokens": 8}}, 8),
        ({"cache_write_tokens": 0, "prompt_tokens_details": {"cache_write_tokens": 8}}, 0),
        ({"cache_write_tokens": -1, "prompt_tokens_details": {"cached_tokens": 8}}, None),
        ({"prompt_tokens_details": {"cache_write_tokens": True}}, None),
        (None, None),
    ],
    ids=str,
)
def test_tokens_that_were_written_to_the_cache_are_read_where_they_are_reported(
    usage: object, written: int | None, body: dict[str, Any]
) -> None:
    row = read_row(output_line(body={**answer_body(), "usage": usage, **body}))
    assert (row.status, row.cache_write_tokens) == ("succeeded", written)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
CODE = st.one_of(JSON, st.sampled_from([0, 200, 400, "200", [200]]))
MESSAGE = st.one_of(JSON, st.fixed_dictionaries({}, optional={"content": JSON, "tool_calls": JSON}))
CHOICE = st.one_of(JSON, st.fixed_dictionaries({}, optional={"message": MESSAGE, "finish_reason": JSON}))
ERROR = st.one_of(JSON, st.fixed_dictionaries({}, optional={"code": JSON, "type": JSON, "message": JSON}))
USAGE = st.one_of(JSON, st.fixed_dictionaries({}, optional={"prompt_tokens": JSON, "prompt_tokens_details": JSON}))
OBJECT = st.fixed_dictionaries(
    {}, optional={"choices": st.one_of(JSON, st.lists(CHOICE)), "error": ERROR, "usage": USAGE, "model": JSON}
)
BODY = st.one_of(JSON, OBJECT, OBJECT.map(json.dumps))
RESPONSE = st.one_of(JSON, st.fixed_dictionaries({}, optional={"status_code": CODE, "body": BODY}))
LINE = st.fixed_dictionaries(
    {"custom_id": st.text(min_size=1)}, optional={"response": RESPONSE, "error": ERROR, "id": JSON}
)


@given(fields=LINE, ensure_ascii=st.booleans())
def test_any_line_with_a_custom_id_gets_a_status(fields: dict[str, Any], ensure_ascii: bool) -> None:
    """One odd line never stops the others."""
    line = json.dumps(fields, ensure_ascii=ensure_ascii).encode()
    assert id_of(line) == fields["custom_id"]
    row = read_row(line)
    assert row.custom_id == fields["custom_id"]
    assert row.status in ROW_STATUSES
    assert (row.error_code is None) is (row.status == "succeeded")


ABSENT: list[tuple[str, RowStatus]] = [
    ("expired", "expired"),
    ("cancelled", "cancelled"),
    ("failed", "failed"),
    ("completed", "missing"),
    ("paused", "missing"),
]


@pytest.mark.parametrize(("batch_status", "status"), ABSENT, ids=[batch_status for batch_status, _ in ABSENT])
def test_the_status_of_a_row_in_no_file_follows_the_status_of_its_batch(batch_status: str, status: RowStatus) -> None:
    assert absent_row("a", batch_status) == Row(
        custom_id="a",
        status=status,
        error_code=f"batch_{batch_status}",
        error_message=f"the batch ended as {batch_status} without a line for this request",
    )


@pytest.mark.parametrize("code", [0, True, False, ""], ids=repr)
def test_the_type_of_an_error_replaces_an_empty_code(code: object) -> None:
    line = json.dumps({"custom_id": "a", "error": {"code": code, "type": "server_error"}}).encode()
    assert read_row(line).error_code == "server_error"


@pytest.mark.parametrize(
    ("indexes", "content"),
    [([1, 0], "second"), ([0, 1], "first"), ([1], "first"), ([2, 1, 3], "second"), ([None, 1], "first")],
)
@pytest.mark.parametrize("is_odd", [False, True])
def test_of_several_choices_the_one_with_the_lowest_index_is_the_answer(
    indexes: list[int | None], content: str, is_odd: bool
) -> None:
    """Wherever it stands; without an index, a choice has that of its place."""
    texts = ["first", "second", "third"]
    choices: list[dict[str, Any]] = [
        {"message": {"content": text}, "finish_reason": "stop", **({} if index is None else {"index": index})}
        for index, text in zip(indexes, texts, strict=False)
    ]
    body = {"choices": choices, "model": 7 if is_odd else "kimi-k2.6"}
    line = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": body}})
    row = read_row(line.encode())
    assert (row.status, row.content) == ("succeeded", content)
