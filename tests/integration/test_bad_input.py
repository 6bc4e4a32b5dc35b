"""Bad input: one paragraph with place, state and remedy; nothing reaches the platform; Airflow does not retry."""

import io
import json
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.requests import request, write_jsonl
from tests.support.tasks import run_task

pytestmark = pytest.mark.usefixtures("hook")


def refusal_of(sim: KimiSimulator, **parameters: Any) -> str:
    """Run the create operator, assert that it fails for good before the first call, and return what it says."""
    with pytest.raises(AirflowFailException) as caught:
        run_task(KimiCreateBatchOperator(task_id="create", **parameters))
    assert sim.journal == []
    message = str(caught.value)
    assert "Nothing was sent." in message
    assert "\n" not in message
    return message


GOOD = json.dumps(request("good")).encode()
HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is empty", id="empty file"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, "line 1 begins with a byte order mark", id="BOM"),
        pytest.param(GOOD + b'\n{"custom_id":"\xff"}\n', "line 2 is not UTF-8 at byte 14", id="not UTF-8"),
        pytest.param(
            GOOD.decode().encode("utf-16"), "looks like UTF-16. Nothing was sent. Pass encoding='utf-16'", id="UTF-16"
        ),
        pytest.param(GOOD + b"\n{oops}\n", "line 2 is not valid JSON", id="not JSON"),
        pytest.param(GOOD + b"\n[1]\n", "line 2 is JSON, but not an object", id="not an object"),
        pytest.param(GOOD + b"\n\n" + GOOD, "line 2 is blank", id="blank line"),
        pytest.param(b"\n \n", "is empty", id="nothing but blank lines"),
        pytest.param(b'{"a": NaN}\n', "NaN and Infinity are no JSON, write null", id="NaN"),
        pytest.param(b'{"id": 1, "text": "x"}\n', "is a table row (it has 'id', 'text')", id="a table"),
        pytest.param(
            b'{"custom_id": "a", "row": {"x": 1}, "error": {"code": "not_sent"}}\n',
            "is a row that was never sent, as dead_letter.jsonl keeps it",
            id="a row of dead_letter.jsonl that was never sent",
        ),
    ],
)
def test_a_file_that_is_not_json_lines_is_refused(
    sim: KimiSimulator, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    message = refusal_of(sim, input=str(path))
    assert said in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"custom_id": None}, "has no custom_id", id="no custom_id"),
        pytest.param({"custom_id": 7}, "has no custom_id; it must be a non-empty string", id="custom_id a number"),
        pytest.param({"custom_id": "good"}, "repeats the custom_id of line 1", id="duplicate custom_id"),
        pytest.param({"method": None}, "(custom_id 'b') must have method 'POST'", id="no method"),
        pytest.param({"method": "GET"}, "(custom_id 'b') must have method 'POST'", id="wrong method"),
        pytest.param({"url": "/v1/embeddings"}, "must have url '/v1/chat/completions'", id="wrong url"),
        pytest.param({"body": None}, "has no body", id="no body"),
        pytest.param({"body": "{}"}, "has no body", id="body a text"),
        pytest.param({"body": {"messages": HI}}, "has no model", id="no model"),
        pytest.param({"body": {"model": "kimi-k2.6"}}, "has no messages", id="no messages"),
        pytest.param(
            {"body": {"model": "kimi-k2.7-code", "messages": HI}},
            "asks model 'kimi-k2.7-code', but this batch uses 'kimi-k2.6'",
            id="two models",
        ),
        pytest.param(
            {"body": {"model": "kimi-k2.6", "messages": HI, "temperature": 0}},
            "sets 'temperature', which the model fixes",
            id="forbidden parameter",
        ),
        pytest.param({"body": {"model": "kimi-k2.6", "messages": HI, "stream": True}}, "sets 'stream'", id="stream"),
    ],
)
def test_a_wrong_request_is_refused_by_line(
    sim: KimiSimulator, tmp_path: Path, changes: Mapping[str, Any], said: str
) -> None:
    """Faults that the platform finds minutes after it has accepted the batch."""
    source = write_jsonl(tmp_path / "in.jsonl", [request("good"), {**request("b"), **changes}])
    if None in changes.values():
        source = write_jsonl(tmp_path / "in.jsonl", [request("good"), request(**{"custom_id": "b", **changes})])
    message = refusal_of(sim, input=source)
    assert "line 2" in message
    assert said in message


def test_many_problems_are_reported_together_and_counted(sim: KimiSimulator, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{f"column_{n}": "x"} for n in range(30)])
    message = refusal_of(sim, input=source, prompt="{text}")
    assert "has 30 problems" in message
    assert "line 20 " in message
    assert "line 21 " not in message
    assert "and 10 more" in message


def test_problems_that_are_alike_are_reported_once(sim: KimiSimulator, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [request(f"r{n}", method="PUT") for n in range(30)])
    message = refusal_of(sim, input=source)
    assert "has 30 problems: line 1 (custom_id 'r0') must have method 'POST' (29 more alike)." in message


def test_a_list_over_1_mb_is_refused_with_the_numbers_and_the_ways_out(sim: KimiSimulator) -> None:
    message = refusal_of(sim, input=["x" * 600_000] * 2)
    assert "a list of 2 elements and over 1,000,000 bytes" in message
    assert "give its URI, or give a function" in message


def test_a_missing_column_is_named_with_those_there_are(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,body\n1,good\n")
    message = refusal_of(sim, input=str(tmp_path / "t.csv"), prompt="Classify: {text}")
    assert "row 1 has no column 'text', which the prompt uses; it has 'id', 'body'" in message


def test_a_null_is_not_sent_as_the_word_none(sim: KimiSimulator, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "t.jsonl", [{"text": "a"}, {"text": None}])
    assert "line 2 has null in column 'text'" in refusal_of(sim, input=source, prompt="{text}")


def test_a_repeated_key_is_named_with_both_places(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,a\n2,b\n1,c\n")
    message = refusal_of(sim, input=str(tmp_path / "t.csv"), prompt="{text}", key_column="id")
    assert "row 3 (custom_id '1') repeats the custom_id of row 1;" in message


def test_rows_of_a_csv_table_with_more_or_fewer_cells_are_refused(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,a,extra\n2\n")
    message = refusal_of(sim, input=str(tmp_path / "t.csv"), prompt="{text}")
    assert "row 1 has more cells than the header has columns (it ends in line 2 of the file)" in message
    assert "row 2 has fewer cells than the header has columns (it ends in line 3 of the file)" in message


def test_a_csv_table_in_another_encoding_is_refused(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("id,text\n1,很好\n".encode("gb18030"))
    assert "is not UTF-8" in refusal_of(sim, input=str(tmp_path / "t.csv"), prompt="{text}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param('id,text\n1,"a\n', "is not valid CSV at line 2", id="an open quote"),
        pytest.param('id,text\n1,"a"b\n', "is not valid CSV at line 2", id="text after a quote"),
        pytest.param("id,text,id\n1,a,2\n", "names the column 'id' twice", id="a repeated column"),
    ],
)
def test_a_file_that_is_not_valid_csv_is_refused_as_a_whole(
    sim: KimiSimulator, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "t.csv").write_text(content)
    for on_invalid_row in ("fail", "skip"):
        message = refusal_of(sim, input=str(tmp_path / "t.csv"), prompt="{text}", on_invalid_row=on_invalid_row)
        assert said in message
        assert "problem" not in message


def test_a_table_without_a_prompt_is_refused(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,a\n")
    message = refusal_of(sim, input=str(tmp_path / "t.csv"))
    assert "t.csv' is a table." in message
    assert "Pass prompt='... {column} ...', messages or body, to say what to ask about its rows." in message


def test_a_template_that_reaches_into_objects_is_only_a_column_name(sim: KimiSimulator) -> None:
    message = refusal_of(sim, input=[{"text": "a"}], prompt="{text.__class__}")
    assert "has no column 'text.__class__'" in message


@pytest.mark.parametrize("prompt", ["{", "{text", "{}", "{0}", "{text!r}"])
def test_a_template_that_is_not_valid_is_refused(sim: KimiSimulator, prompt: str) -> None:
    assert "prompt template" in refusal_of(sim, input=[{"text": "a"}], prompt=prompt)


@pytest.mark.parametrize("window", ["11h", "8d", "24", "1w", "0h", "1.5d", "", "-1d", "24H"])
def test_a_window_outside_12_hours_to_7_days_is_refused(sim: KimiSimulator, window: str) -> None:
    message = refusal_of(sim, input=["hi"], completion_window=window)
    assert f"completion_window is {window!r}" in message
    assert "12h to 168h" in message


def test_more_than_16_metadata_pairs_are_refused(sim: KimiSimulator) -> None:
    message = refusal_of(sim, input=["hi"], metadata={f"k{n}": "v" for n in range(9)})
    assert "has 9 pairs; a batch may have 16, of which 8 are this provider's" in message


def test_metadata_that_would_hide_ours_are_refused(sim: KimiSimulator) -> None:
    assert "which this provider sets" in refusal_of(sim, input=["hi"], metadata={"kimi_job_key": "x"})


@pytest.mark.parametrize("key", ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty", "stream"])
def test_a_forbidden_parameter_is_refused(sim: KimiSimulator, key: str) -> None:
    assert f"request_params sets {key!r}" in refusal_of(sim, input=["hi"], request_params={key: True})


def test_an_unknown_connection_is_refused(sim: KimiSimulator) -> None:
    message = refusal_of(sim, input=["hi"], kimi_conn_id="kimi_absent")
    assert "There is no Airflow connection 'kimi_absent'" in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param([], "is empty", id="empty list"),
        pytest.param([""], "element 1 makes an empty prompt", id="empty prompt"),
        pytest.param(["a", 7], "element 2 is a int", id="a number"),
        pytest.param([{"text": "a"}], "element 1 is a table row, and nothing says how to ask", id="row without prompt"),
        pytest.param(["half \ud800"], "element 1 holds half a character", id="lone surrogate"),
        pytest.param(7, "input is a int", id="not an input"),
        pytest.param("rows.xlsx", "ends in none of .jsonl, .ndjson, .json, .csv, .tsv (each", id="another format"),
        pytest.param("/nowhere/rows.jsonl", "does not exist", id="no such file"),
    ],
)
def test_an_input_that_holds_no_rows_is_refused(sim: KimiSimulator, source: object, said: str) -> None:
    assert said in refusal_of(sim, input=source)


def test_prompts_beside_a_template_are_refused(sim: KimiSimulator) -> None:
    assert "element 1 is a str, but prompt is a template" in refusal_of(sim, input=["hi"], prompt="{text}")


#: The parameters that are not templated, and so can be checked before a run.
CHECKED_AT_PARSE = signature(KimiCreateBatchOperator.__init__).parameters.keys() - {
    *("self", "kwargs"),
    *KimiCreateBatchOperator.template_fields,
}


@pytest.mark.parametrize("name", sorted(CHECKED_AT_PARSE))
@pytest.mark.parametrize("value", [object(), "", -1, ["a", 1]], ids=["object", "empty text", "number", "list"])
def test_a_wrong_parameter_is_refused_while_the_dag_is_parsed(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"(?s)^{name} is .*; it "):
        KimiCreateBatchOperator(task_id="create", input=["hi"], **{name: value})


@pytest.mark.parametrize(
    "right",
    [
        {"image_column": "photo", "video_column": ["a", "b"]},
        {"parameter_rules": {"kimi-*": {"top_p": None, "n": {"fixed": "1"}}}},
        {"max_rows_per_batch": 1, "thinking": None, "output_schema": ["good", "bad"]},
    ],
)
def test_a_right_parameter_is_accepted_while_the_dag_is_parsed(right: dict[str, Any]) -> None:
    KimiCreateBatchOperator(task_id="create", input=["hi"], **right)


BLANK = [pytest.param(" \t\n", id="short"), pytest.param(" " * 5000, id="long"), pytest.param("", id="empty")]
ASKING = [
    pytest.param({"prompt": "Classify this review: {text}"}, id="prompt"),
    pytest.param({"prompt": "{text}!", "system_prompt": "About {title}"}, id="system prompt"),
    pytest.param({"messages": [{"role": "user", "content": "Classify: {text} {title}"}]}, id="messages"),
    pytest.param({"messages": [{"role": "user", "content": [{"type": "text", "text": "Q: {text}"}]}]}, id="parts"),
    pytest.param({"body": {"messages": [{"role": "user", "content": "Classify: {text}"}]}}, id="body"),
]


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("blank", BLANK)
def test_a_row_that_is_blank_in_all_columns_of_what_is_asked_is_refused(
    sim: KimiSimulator, asking: dict[str, Any], blank: str
) -> None:
    rows = [{"text": "a", "title": "b"}, {"text": blank, "title": blank}]
    assert "element 2 has no text in any column of the prompt" in refusal_of(sim, input=rows, **asking)


IMAGE = b"\x89PNG\r\n\x1a\n of the tests"


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("blank", BLANK)
def test_a_blank_row_is_refused_only_if_it_has_no_picture(
    sim: KimiSimulator, asking: dict[str, Any], blank: str
) -> None:
    rows = [{"text": blank, "title": "", "photo": IMAGE}, {"text": blank, "title": "", "photo": None}]
    message = refusal_of(sim, input=rows, image_column="photo", **asking)
    assert "has 1 problem: element 2 has no text in any column of the prompt" in message


@pytest.mark.parametrize("photo", [None, "", [], float("nan"), pandas.NA, numpy.array([])], ids=repr)
def test_a_row_of_messages_about_pictures_only_needs_one(sim: KimiSimulator, photo: object) -> None:
    rows = [{"photo": IMAGE}, {"photo": photo}]
    messages = [{"role": "user", "content": "What is it?"}]
    message = refusal_of(sim, input=rows, image_column="photo", messages=messages)
    assert "element 2 has no text in any column of the prompt, nor a picture or video" in message


@pytest.mark.parametrize("written", ["{{ text }}", "{{text}}", "{{ text | trim }}", "{{- text -}}"])
@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(lambda text: {"prompt": f"{text} {{id}}"}, id="prompt"),
        pytest.param(lambda text: {"prompt": "{id}", "system_prompt": f"About {text}"}, id="system prompt"),
        pytest.param(lambda text: {"messages": [{"role": "user", "content": f"{text} {{id}}"}]}, id="messages"),
        pytest.param(lambda text: {"body": {"messages": [{"role": "user", "content": f"{text} {{id}}"}]}}, id="body"),
    ],
)
def test_doubled_braces_around_a_column_are_refused(
    sim: KimiSimulator, written: str, asking: Callable[[str], dict[str, Any]]
) -> None:
    """They would send the name of the column to the model, once for every row."""
    message = refusal_of(sim, input=[{"id": "a", "text": "b"}], **asking(written))
    assert f"The prompt template has '{written}', and the rows have a column 'text'." in message
    assert message.endswith("Write {text}.")


def test_doubled_braces_are_found_though_the_first_row_cannot_be_read(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{oops}\n{"id": "a", "text": "b"}\n')
    message = refusal_of(sim, input=str(tmp_path / "in.jsonl"), prompt="{{ text }} {id}", on_invalid_row="skip")
    assert "and the rows have a column 'text'" in message


@pytest.mark.parametrize("prompt", ['{text}: {{"label": "..."}}', "{text} {{ name }}", "{{{text}}}", "{text} {{}}"])
def test_doubled_braces_that_name_no_column_are_literal(sim: KimiSimulator, prompt: str) -> None:
    run_task(KimiCreateBatchOperator(task_id="create", input=[{"text": "b"}], prompt=prompt))
    (batch,) = sim.batches.values()
    line = json.loads(sim.file_content(batch.input_file_id))
    assert line["body"]["messages"][-1]["content"] == prompt.format(text="b")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param(pandas.Series(["a"]), "Series", id="Series"),
        pytest.param({"text": "a"}, "dict", id="dict"),
        pytest.param(io.StringIO("a"), "file handle", id="file handle"),
        pytest.param(None, "NoneType", id="nothing"),
        pytest.param("a.csv", "str", id="text"),
        pytest.param(b"a", "bytes", id="bytes"),
        pytest.param(5, "int", id="number"),
    ],
)
def test_a_function_that_returns_no_rows_is_refused_by_what_it_returns(
    sim: KimiSimulator, value: object, kind: str
) -> None:
    assert f"input is a function that returned a {kind}." in refusal_of(sim, input=lambda: value)


def test_a_function_that_asks_for_what_airflow_does_not_know_is_refused(sim: KimiSimulator) -> None:
    message = refusal_of(sim, input=lambda day: [day])
    assert "input is a function that asks for 'day', which Airflow's context lacks." in message
