"""The whole input is checked, and written as it will be sent, before anything is sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import Prepared, prepare
from airflow_provider_kimi.requests.recipe import Recipe
from tests.support.logs import LogRecord
from tests.support.samples import BODY, request_line


class Desk:
    """Prepares inputs in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = LogRecord()

    def ready(self, *lines: bytes, **changes: Any) -> Prepared:
        """A file of request lines."""
        path = self.folder / "ready.jsonl"
        path.write_bytes(b"\n".join(lines))
        return self.prepare(str(path), Recipe("kimi-k2.6"), **changes)

    def prepare(self, source: object, recipe: Recipe, **changes: Any) -> Prepared:
        workshop = self.folder / "workshop"
        workshop.mkdir()
        return prepare(Order(source, recipe, **changes), workshop, self.log)

    def refusal(self, *lines: bytes, **changes: Any) -> str:
        with pytest.raises(KimiInputError) as caught:
            self.ready(*lines, **changes)
        return str(caught.value).removeprefix(f"Input '{self.folder}/ready.jsonl' ")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def sent(prepared: Prepared) -> list[bytes]:
    contents = []
    for shard in prepared.shards:
        with shard.content.open() as lines:
            contents.append(lines.read())
    return contents


def test_ready_requests_are_sent_byte_for_byte(desk: Desk) -> None:
    lines = [request_line("a"), b"  " + request_line("b") + b"\r", request_line("名", note="\u2028{{ x }}")]
    prepared = desk.ready(*lines)
    assert sent(prepared) == [b"".join(line + b"\n" for line in lines)]
    assert (prepared.request_count, prepared.model, prepared.skipped) == (3, "kimi-k2.6", None)


def test_an_input_is_measured_in_bytes_and_newlines(desk: Desk) -> None:
    """Bytes of multi-byte text, not characters."""
    line = json.dumps({**json.loads(request_line()), "note": "名"}, ensure_ascii=False).encode()
    assert len(line) == len(line.decode()) + 2
    (shard,) = desk.ready(line, request_line("b")).shards
    assert shard.content.size == len(line) + 1 + len(request_line("b")) + 1


def test_an_input_may_be_made_by_a_function_which_is_read_once(desk: Desk) -> None:
    read = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(3):
            read.append(number)
            yield {"id": f"k{number}", "text": "{{ x }}"}

    prepared = desk.prepare(rows, Recipe("kimi-k2.6", prompt="{text}", key_column="id"))
    (content,) = sent(prepared)
    requests = [json.loads(line) for line in content.splitlines()]
    assert [request["custom_id"] for request in requests] == ["k0", "k1", "k2"]
    assert {request["body"]["messages"][0]["content"] for request in requests} == {"{{ x }}"}
    assert read == [0, 1, 2]


def test_rows_without_a_key_are_named_by_their_place_so_that_names_sort_like_them(desk: Desk) -> None:
    (content,) = sent(desk.prepare(["x"] * 11, Recipe("m")))
    names = [json.loads(line)["custom_id"] for line in content.splitlines()]
    assert names == sorted(names)
    assert (names[0], names[-1]) == ("row-00000001", "row-00000011")


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"prompt": "{custom_id}"}, id="prompt"),
        pytest.param({"messages": [{"role": "user", "content": "{custom_id}"}]}, id="messages"),
        pytest.param({"body": lambda row: {"messages": [{"role": "user", "content": row["custom_id"]}]}}, id="body"),
    ],
)
def test_a_file_of_json_lines_is_a_table_if_a_parameter_says_what_to_ask(
    parameters: dict[str, Any], desk: Desk
) -> None:
    (desk.folder / "in.jsonl").write_bytes(request_line("a"))
    (content,) = sent(desk.prepare(str(desk.folder / "in.jsonl"), Recipe("m", **parameters)))
    assert json.loads(content)["body"] == {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def test_a_file_of_json_lines_holds_requests_if_no_parameter_says_what_to_ask(desk: Desk) -> None:
    assert sent(desk.ready(request_line("a"))) == [request_line("a") + b"\n"]


def test_a_csv_file_never_holds_requests(desk: Desk) -> None:
    (desk.folder / "in.csv").write_text("a\n1\n")
    with pytest.raises(KimiInputError, match=r"is a table\. Nothing was sent\. Pass prompt="):
        desk.prepare(str(desk.folder / "in.csv"), Recipe("m"))


def test_a_file_of_requests_refuses_parameters_that_it_would_ignore(desk: Desk) -> None:
    with pytest.raises(KimiInputError, match="so system_prompt would have no effect"):
        desk.prepare(str(desk.folder / "in.jsonl"), Recipe("m", system_prompt="S"))


def test_an_input_with_a_problem_is_refused_with_what_to_do(desk: Desk) -> None:
    assert desk.refusal(request_line(), b"[") == (
        "has 1 problem: line 2 is not valid JSON (Input data was truncated). Nothing was sent. Correct the input "
        "or the task's parameters, then clear the task; on_invalid_row='skip' leaves such rows out."
    )


def test_an_input_without_a_good_row_is_refused_without_the_advice_to_skip(desk: Desk) -> None:
    with pytest.raises(KimiInputError) as caught:
        desk.prepare([{"a": 1}, {"a": 2}], Recipe("kimi-k2.6", prompt="{text}"))
    assert "skip" not in str(caught.value)
    assert str(caught.value).endswith("then clear the task.")


def test_all_problems_of_an_input_are_reported_together(desk: Desk) -> None:
    message = desk.refusal(b"", request_line("a"), request_line("b", method="GET"), b'{"a": "\xff"}')
    assert message.startswith(
        "has 3 problems: line 1 is blank; line 3 (custom_id 'b') must have method 'POST'; line 4 is not UTF-8 at "
        "byte 7; save the file as UTF-8. Nothing was sent."
    )


@pytest.mark.parametrize("source", [[], lambda: iter(())], ids=["list", "function"])
def test_an_empty_input_is_refused(source: object, desk: Desk) -> None:
    with pytest.raises(KimiInputError) as caught:
        desk.prepare(source, Recipe("m"))
    assert str(caught.value).endswith(" given as input is empty. Nothing was sent. A batch needs at least one row.")


def test_an_input_of_an_empty_file_is_refused(desk: Desk) -> None:
    assert desk.refusal() == "is empty. Nothing was sent. A batch needs at least one row."


def test_an_input_of_two_models_names_the_rows_of_the_second(desk: Desk) -> None:
    other = request_line("b", body={**BODY, "model": "kimi-k2.7-code"})
    expected = "line 2 (custom_id 'b') asks model 'kimi-k2.7-code', but this batch uses 'kimi-k2.6'; one batch has one"
    assert expected in desk.refusal(request_line("a"), other, request_line("c"))


def test_bad_rows_are_left_out_if_the_user_says_so(desk: Desk) -> None:
    prepared = desk.ready(b"[", request_line("a"), request_line("a"), on_invalid_row="skip")
    assert sent(prepared) == [request_line("a") + b"\n"]
    assert prepared.skipped is not None
    expected = "has 2 problems: line 1 is not valid JSON (Input data was truncated); line 3 (custom_id 'a') repeats the"
    (warning,) = desk.log.warnings
    assert expected in warning


def test_a_row_that_repeats_a_custom_id_is_named_with_the_first_one(desk: Desk) -> None:
    """Two rows of one id would overwrite each other's answers."""
    message = desk.refusal(request_line("a"), request_line("b"), request_line("a"))
    expected = "has 1 problem: line 3 (custom_id 'a') repeats the custom_id of line 1; each must be unique. Nothing"
    assert message.startswith(expected)


def test_every_further_repetition_of_a_custom_id_is_counted(desk: Desk) -> None:
    assert "each must be unique (2 more alike). Nothing was sent." in desk.refusal(*[request_line("a")] * 4)


def test_custom_ids_that_differ_in_case_or_space_differ(desk: Desk) -> None:
    assert desk.ready(request_line("a"), request_line("A"), request_line("a ")).request_count == 3


def test_a_repeated_row_is_named_by_its_place_though_bad_rows_come_before_it(desk: Desk) -> None:
    message = desk.refusal(b"", request_line("a"), b"[", request_line("b"), request_line("a"))
    assert "line 5 (custom_id 'a') repeats the custom_id of line 2; each must be unique" in message


def test_a_warning_about_rows_is_logged_once_with_their_number(desk: Desk) -> None:
    body = {**BODY, "max_completion_tokens": 64}
    desk.ready(request_line("a", body=body), request_line("b", body=body), request_line("c"))
    (warning,) = desk.log.warnings
    assert warning.startswith("2 rows: max_completion_tokens covers thinking as well as the answer")


def test_a_warning_about_the_task_is_logged_once(desk: Desk) -> None:
    recipe = Recipe("kimi-k2.6", prompt="{a}", request_params={"response_format": {"type": "json_object"}})
    desk.prepare([{"a": 1}, {"a": 2}], recipe)
    (warning,) = desk.log.warnings
    assert warning.startswith("response_format asks for a JSON object, but no message says so")
