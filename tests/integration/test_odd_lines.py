"""A line that cannot be read costs its own row and no other."""

from pathlib import Path

import pytest

from airflow_provider_kimi.files.line_ids import id_of, is_whole
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.line_template import encode
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.tables import InputRow
from airflow_provider_kimi.requests.validation import RequestCheck
from airflow_provider_kimi.results.answer_lines import read_row
from tests.support.samples import answer_body, answer_files, output_line, request_line

#: Deeper than any reader of JSON goes.
DEPTH = 100_000

#: Lines whose name can be read, and nothing else.
NAMED = [
    pytest.param(b'{"custom_id":"a","x":' + b"9" * 5000 + b"}", id="number of many digits"),
    pytest.param(b'{"x":' + b"9" * 5000 + b',"custom_id":"a"}', id="number of many digits before the name"),
    pytest.param(b'{"custom_id":"a","x":-' + b"9" * 5000 + b"}\r\n", id="with a line end"),
    pytest.param(b'{"custom_id":"a","x":"\xff","y":' + b"9" * 5000 + b"}", id="no UTF-8 either"),
]

#: Lines that are nested too deeply.
NESTED = [
    pytest.param(b"[" * DEPTH, id="open lists"),
    pytest.param(b"[" * DEPTH + b"]" * DEPTH, id="lists"),
    pytest.param(b'{"a":' * DEPTH + b"1" + b"}" * DEPTH, id="objects"),
]
NESTED_BEHIND_A_NAME = b'{"custom_id":"a","x":' + b"[" * DEPTH + b"]" * DEPTH + b"}"

UNREADABLE_ROW = Row(
    custom_id="a",
    status="failed",
    error_code="unreadable_line",
    error_message="the line of this request is not JSON: it is cut, nested too deeply or broken in another way",
)


@pytest.mark.parametrize("line", NAMED)
def test_a_line_of_which_only_the_name_can_be_read_is_a_failed_row_of_that_name(line: bytes) -> None:
    assert id_of(line) == "a"
    assert read_row(line) == UNREADABLE_ROW


@pytest.mark.parametrize("line", NAMED)
def test_a_line_of_which_only_the_name_can_be_read_is_found_among_the_others(line: bytes, tmp_path: Path) -> None:
    before, behind = output_line("0"), output_line("b", body=answer_body("behind"))
    (tmp_path / "output").write_bytes(b"\n".join([before, line.rstrip(), behind]))
    with answer_files(tmp_path / "output") as answers:
        assert answers.take("a") == UNREADABLE_ROW
        row = answers.take("b")
        assert row is not None
        assert row.content == "behind"
        assert ([row.custom_id for row in answers.left_rows()], answers.unreadable, answers.duplicates) == (["0"], 0, 0)


@pytest.mark.parametrize("line", NESTED)
def test_a_line_that_is_nested_too_deeply_has_no_name(line: bytes) -> None:
    assert id_of(line) is None


@pytest.mark.parametrize("line", NESTED)
def test_a_line_that_is_nested_too_deeply_is_not_taken_for_the_end_of_a_file_that_was_cut(line: bytes) -> None:
    assert is_whole(line)


@pytest.mark.parametrize("line", NESTED)
def test_a_line_that_is_nested_too_deeply_among_answers_costs_no_other(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(line + b"\n" + output_line("b"))
    with answer_files(tmp_path / "output") as answers:
        assert ([row.custom_id for row in answers.left_rows()], answers.unreadable) == (["b"], 1)
        row = answers.take("b")
        assert row is not None
        assert row.status == "succeeded"


def test_a_line_that_is_nested_too_deeply_after_its_name_is_a_failed_row(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(NESTED_BEHIND_A_NAME + b"\n" + output_line("b"))
    with answer_files(tmp_path / "output") as answers:
        assert answers.take("a") == UNREADABLE_ROW
        assert ([row.custom_id for row in answers.left_rows()], answers.unreadable) == (["b"], 0)


@pytest.mark.parametrize("line", NESTED)
def test_a_request_that_is_nested_too_deeply_is_a_problem_of_its_line(line: bytes) -> None:
    check = RequestCheck(None, ParameterRules())
    with pytest.raises(RowProblem, match=r"^is nested too deeply$"):
        check.passed(line)
    assert check.passed(request_line("b"))[0] == "b"


@pytest.mark.parametrize("key", ["user", "messages", "model"])
def test_a_body_that_is_nested_too_deeply_is_a_problem_of_its_line(key: str) -> None:
    line = request_line(body={"model": "m", "messages": [{"role": "user", "content": "hi"}], key: "?"})
    for deep in (b"[" * DEPTH + b"]" * DEPTH, b'{"a":' * DEPTH + b"1" + b"}" * DEPTH):
        with pytest.raises(RowProblem, match=r"^is nested too deeply$"):
            RequestCheck(None, ParameterRules()).passed(line.replace(b'"?"', deep))


@pytest.mark.parametrize("line", NESTED)
def test_a_table_row_that_is_nested_too_deeply_is_a_problem_of_its_line(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    source = Input(str(path))
    assert list(source) == [InputRow({"a": 1}), InputRow(line, "is nested too deeply"), InputRow({"a": 3})]
    assert source.place(2) == "line 2"


@pytest.mark.parametrize(
    "body",
    ["[" * DEPTH, "[" * DEPTH + "]" * DEPTH, '{"a":' * DEPTH + "1" + "}" * DEPTH],
    ids=["open lists", "lists", "objects"],
)
@pytest.mark.parametrize("status_code", [200, 400])
def test_a_body_whose_text_is_nested_too_deeply_is_not_an_answer(body: str, status_code: int) -> None:
    row = read_row(output_line("a", response={"status_code": status_code, "body": body}))
    assert (row.custom_id, row.status, row.error_code, row.content) == ("a", "failed", "no_answer", None)


@pytest.mark.parametrize(
    "body", ['{"choices":[{}],"x":' + "9" * 5000 + "}", '{"x":' + "9" * 5000 + "}"], ids=["choices", "none"]
)
def test_a_body_whose_text_holds_a_number_of_many_digits_is_not_an_answer(body: str) -> None:
    row = read_row(output_line("a", response={"status_code": 200, "body": body}))
    assert (row.custom_id, row.status, row.error_code, row.content) == ("a", "failed", "no_answer", None)


def test_a_request_that_holds_itself_cannot_be_encoded() -> None:
    loop: list[object] = []
    loop.append(loop)
    for request in (loop, {"body": loop}):
        with pytest.raises(RowProblem, match=r"^is nested too deeply$"):
            encode(request)


def test_a_request_that_holds_itself_is_a_problem_of_its_row() -> None:
    chat: dict[str, object] = {"role": "user"}
    chat["content"] = [chat]
    with pytest.raises(RowProblem, match=r"^is nested too deeply$"):
        Recipe("kimi-k2.6").way.line([chat], "a")
