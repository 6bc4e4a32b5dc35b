"""A table that changes while its batch runs: every answer is landed, and none beside a text that it is not of."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import Landed, land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

ROWS = [{"id": f"k{number}", "text": f"text {number}", "price": number / 4} for number in range(1, 26)]

Edit = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def landed(
    sim: KimiSimulator, hook: KimiHook, folder: Path, edit: Edit, rows: list[dict[str, Any]] = ROWS, **recipe: Any
) -> Landed:
    """Label a table, edit it, and land the answers with its columns; the results task is told nothing else."""
    if not {"prompt", "messages", "body"} & recipe.keys():
        recipe["prompt"] = "Classify {text}"
    submission = submit(hook, order(lambda: rows, **recipe), ATTEMPT, LogRecord())
    sim.advance(60)
    edited = edit([dict(row) for row in rows])
    return land(hook, folder / "out", submission.batch_ids, input=lambda: edited)


def edited(place: int, **values: Any) -> Edit:
    return lambda rows: [{**row, **values} if at == place else row for at, row in enumerate(rows)]


def deleted(place: int) -> Edit:
    return lambda rows: rows[:place] + rows[place + 1 :]


def inserted(place: int) -> Edit:
    return lambda rows: [*rows[:place], {"id": "new", "text": "new", "price": 0}, *rows[place:]]


KEYS = pytest.mark.parametrize("key_column", [None, "id"], ids=["no key", "key"])


def changes(result: Landed) -> dict[str, int]:
    return {change: rows for change, rows in result.manifest["input_changes"].items() if rows}


@KEYS
def test_an_unchanged_table_has_its_columns_beside_the_answers(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None
) -> None:
    result = landed(sim, hook, tmp_path, lambda rows: rows, key_column=key_column)
    assert [row["text"] for row in result.rows()] == [row["text"] for row in ROWS]
    assert {row["input_change"] for row in result.rows()} == {None}
    assert changes(result) == {}


@KEYS
def test_an_edited_row_keeps_its_answer_without_its_new_text(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None
) -> None:
    result = landed(sim, hook, tmp_path, edited(3, text="something else"), key_column=key_column)
    row = result.rows()[3]
    assert (row["status"], row["input_change"], "text" in row, "price" in row) == ("succeeded", "changed", False, False)
    assert row.get("id") == (key_column and "k4")
    assert (result.statuses, changes(result)) == ({"succeeded": 25}, {"changed": 1})
    assert "Of its rows, 1 changed (they keep their answer, not their columns)." in " ".join(result.log.warnings)


@KEYS
@pytest.mark.parametrize("place", [0, 12, 24])
def test_the_answer_of_a_deleted_row_is_landed_and_all_others_keep_their_rows(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None, place: int
) -> None:
    result = landed(sim, hook, tmp_path, deleted(place), key_column=key_column)
    assert (result.statuses, changes(result)) == ({"succeeded": 25}, {"removed": 1})
    for sent, row in zip(ROWS, result.rows(), strict=True):
        assert row.get("text", sent["text"]) == sent["text"]
    assert result.rows()[place]["input_change"] == "removed"


@KEYS
@pytest.mark.parametrize("place", [0, 12, 25])
def test_an_inserted_row_comes_back_as_not_asked(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None, place: int
) -> None:
    result = landed(sim, hook, tmp_path, inserted(place), key_column=key_column)
    *asked, added = result.rows()
    assert [row["text"] for row in asked] == [row["text"] for row in ROWS]
    assert (added["status"], added["error_code"], added["input_change"]) == ("missing", "not_asked", "added")
    assert (added["text"], added["batch_id"]) == ("new", None)
    assert (result.manifest["counts"]["total"], changes(result)) == (26, {"added": 1})
    assert result.manifest["status"] == "partial"
    assert result.rows("dead_letter.jsonl") == []
    assert len(result.by_id) == 26  # it has the name of no other row


@KEYS
def test_a_table_in_another_order_has_the_right_label_on_every_row(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None
) -> None:
    result = landed(sim, hook, tmp_path, lambda rows: rows[::-1], key_column=key_column)
    assert [row["text"] for row in result.rows()] == [row["text"] for row in ROWS]
    assert changes(result) == {}


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        pytest.param({"prompt": "Costs {price}"}, {"price": 9}, id="a number"),
        pytest.param({"prompt": "Costs {price:.1f}"}, {"price": 9}, id="a field with a format"),
        pytest.param({"prompt": "text 40 {text}"}, {"text": "text 4"}, id="words of the prompt"),
        pytest.param({"prompt": "{text}"}, {"text": "text"}, id="a part of the text"),
        pytest.param({"prompt": "On {text}: {id}"}, {"text": ""}, id="nothing"),
        pytest.param({"prompt": "{id}", "system_prompt": "About {text}"}, {"text": "x"}, id="the system prompt"),
        pytest.param({"messages": [{"role": "user", "content": "{text}"}]}, {"text": "x"}, id="messages"),
        pytest.param({"body": {"messages": [{"role": "user", "content": "{text}"}]}}, {"text": "x"}, id="a body"),
        pytest.param({"messages": lambda row: f"{row['text']}!"}, {"text": "x"}, id="a function of messages"),
        pytest.param(
            {"body": lambda row: {"model": "kimi-k2.6", "messages": [{"role": "user", "content": row["text"]}]}},
            {"text": "x"},
            id="a function of a body",
        ),
        pytest.param(
            {"prompt": "Long " + "word " * 4 + "".join(map(chr, range(0x4E00, 0x5600))) + "{text}"},
            {"text": "x"},
            id="a prompt that does not fit into metadata",
        ),
        pytest.param(
            {"prompt": "{text}", "metadata": {f"own{n}": "x" for n in range(7)}},
            {"text": "x"},
            id="seven own pairs of metadata",
        ),
        pytest.param(
            {"prompt": "{text}", "metadata": {f"own{n}": "x" for n in range(8)}},
            {"text": "x"},
            id="eight own pairs of metadata",
        ),
    ],
)
@KEYS
def test_a_changed_row_is_noticed_however_it_was_asked(
    sim: KimiSimulator,
    hook: KimiHook,
    tmp_path: Path,
    key_column: str | None,
    recipe: dict[str, Any],
    change: dict[str, Any],
) -> None:
    rows = [row for row in ROWS if row["id"] != "k4"]
    rows.insert(3, {"id": "k4", "text": "text 40", "price": 1})
    result = landed(sim, hook, tmp_path, edited(3, **change), rows, key_column=key_column, **recipe)
    assert [row["input_change"] for row in result.rows()] == [None] * 3 + ["changed"] + [None] * 21
    assert [row["text"] for row in result.rows() if "text" in row] == [row["text"] for row in rows if row["id"] != "k4"]


PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


@pytest.mark.parametrize("media", ["base64", "upload"])
@KEYS
def test_a_changed_picture_is_noticed(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None, media: str
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(PIXEL + bytes([number]))
    rows = [{"id": f"k{number}", "picture": str(tmp_path / f"{number}.png")} for number in (0, 1)]
    edit = edited(1, picture=str(tmp_path / "2.png"))
    recipe: dict[str, Any] = {"prompt": "What is it?", "media_columns": {"picture": "image"}, "media": media}
    result = landed(sim, hook, tmp_path, edit, rows, key_column=key_column, **recipe)
    assert [row["input_change"] for row in result.rows()] == [None, "changed"]
    assert [row.get("picture") for row in result.rows()] == [str(tmp_path / "0.png"), None]


@pytest.mark.parametrize("key_column", ["id", ["shop", "id"]], ids=["one column", "two columns"])
@pytest.mark.parametrize("form", ["list", "frame", "parquet", "jsonl"])
def test_whole_keys_that_have_become_floats_name_the_same_rows(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, form: str, key_column: str | list[str]
) -> None:
    rows: list[dict[str, Any]] = [{"shop": "a", "id": number, "text": f"text {number}"} for number in range(1, 6)]
    wanted = order(lambda: rows, prompt="About {text}", key_column=key_column)
    batch_ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    now = pandas.DataFrame([{**row, "id": float(row["id"])} for row in rows])
    path = tmp_path / f"table.{form}"
    given: Any = str(path)
    if form == "parquet":
        now.to_parquet(path)
    elif form == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in now.to_dict("records")))
    else:
        given = (lambda: now.to_dict("records")) if form == "list" else lambda: now
    result = land(hook, tmp_path / "out", batch_ids, input=given)
    assert ([row["text"] for row in result.rows()], changes(result)) == ([row["text"] for row in rows], {})


def test_a_whole_number_and_the_float_of_it_are_one_key(hook: KimiHook) -> None:
    rows = [{"id": 1, "text": "a"}, {"id": 1.0, "text": "b"}]
    with pytest.raises(KimiInputError, match="repeats the custom_id of element 1"):
        submit(hook, order(lambda: rows, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())


def test_results_of_rows_that_were_left_out_keep_their_columns(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [{"text": "a", "n": 1}, {"text": None, "n": 2}, {"text": "b", "n": 3}]
    result = landed(sim, hook, tmp_path, lambda rows: rows, rows, on_invalid_row="skip")
    assert [(row["status"], row["n"]) for row in result.rows()] == [("succeeded", 1), ("invalid", 2), ("succeeded", 3)]
    assert changes(result) == {}


def test_a_batch_without_a_note_says_that_its_rows_are_not_compared(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order(lambda: ROWS, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    sim.advance(60)
    for batch in sim.batches.values():
        assert batch.metadata is not None
        del batch.metadata["kimi_recipe"]
    result = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: ROWS, key_column="id")
    assert changes(result) == {"not_compared": 25}
    assert [row["text"] for row in result.rows()] == [row["text"] for row in ROWS]


def test_a_batch_without_a_note_joins_no_rows_if_their_key_is_not_given(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order(lambda: ROWS, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    sim.advance(60)
    for batch in sim.batches.values():
        batch.metadata = {}
    result = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: ROWS)
    assert changes(result) == {"not_compared": 25}
    assert [("text" in row, row["status"]) for row in result.rows()] == [(False, "succeeded")] * 25
    assert "pass key_column" in " ".join(result.log.warnings)


@pytest.mark.parametrize("parts", [1, 2], ids=["one job", "two jobs"])
def test_rows_that_cannot_be_compared_are_joined_by_no_places_that_are_not_theirs(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, parts: int
) -> None:
    rows = [{"text": None if at == 3 and parts == 1 else f"text {at}"} for at in range(8)]
    ids: list[str] = []
    for number in range(parts):
        wanted = order(rows[number::parts], prompt="About {text}", on_invalid_row="skip")
        attempt = replace(ATTEMPT, task=replace(ATTEMPT.task, map_index=number))
        ids += submit(hook, wanted, attempt, LogRecord()).batch_ids
    sim.advance(60)
    for batch in sim.batches.values():
        batch.metadata = None
    now = [row for row in rows if row["text"]]
    result = land(hook, tmp_path / "out", ids, input=lambda: now if parts == 1 else rows[::-1])
    assert changes(result) == {"not_compared": 7 if parts == 1 else 8}
    assert all("text" not in row for row in result.rows())


def test_a_result_is_not_replaced_by_one_whose_rows_can_no_longer_be_compared(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    rows = [{"text": f"text {number}"} for number in range(400)]  # digests of so many are a file beside the input
    recipe = {"messages": lambda row: f"Classify {row['text']}"}
    submission = submit(hook, order(lambda: rows, **recipe), ATTEMPT, LogRecord())
    sim.advance(60)
    shifted = [{"text": "new"}, *rows[:-1]]
    first = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: shifted)
    before = first.rows()
    assert [row["text"] for row in before[:-2]] == [row["text"] for row in rows[:-1]]
    note = Tags.of(hook.get_batch(submission.batch_ids[0])).note_file
    assert note is not None
    hook.delete_file(note)
    with pytest.raises(KimiInputError, match="399 more rows whose columns"):
        land(hook, tmp_path / "out", submission.batch_ids, input=lambda: shifted)
    assert first.rows() == before


@KEYS
def test_dead_letters_keep_their_columns_however_often_they_are_given_back(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None
) -> None:
    letters = tmp_path / "letters.jsonl"
    submission = submit(hook, order(lambda: ROWS, prompt="{text}", key_column=key_column), ATTEMPT, LogRecord())
    for batch_id in submission.batch_ids:
        hook.cancel_batch(batch_id)
    sim.advance(3600)
    result = land(hook, tmp_path / "0", submission.batch_ids, input=lambda: ROWS)
    for again in ("1", "2"):
        letters.write_bytes((result.folder / "dead_letter.jsonl").read_bytes())
        submission = submit(hook, order(str(letters)), ATTEMPT, LogRecord())
        for batch_id in submission.batch_ids:
            hook.cancel_batch(batch_id)
        sim.advance(3600)
        result = land(hook, tmp_path / again, submission.batch_ids, input=str(letters))
        rows = result.rows()
        assert [{name: row[name] for name in ("id", "text", "price")} for row in rows] == ROWS
        assert "row" not in json.dumps(rows[0]).replace("row-0", "")
        assert {row["input_change"] for row in rows} == {None}


def test_dead_letters_may_be_landed_beside_their_table_by_its_key(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order(lambda: ROWS, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    for batch_id in submission.batch_ids:
        hook.cancel_batch(batch_id)
    sim.advance(3600)
    first = land(hook, tmp_path / "0", submission.batch_ids, input=lambda: ROWS)
    letters = tmp_path / "letters.jsonl"
    letters.write_bytes((first.folder / "dead_letter.jsonl").read_bytes())
    submission = submit(hook, order(str(letters)), ATTEMPT, LogRecord())
    sim.advance(60)
    result = land(hook, tmp_path / "1", submission.batch_ids, input=lambda: ROWS[::-1], key_column="id")
    assert (result.statuses, changes(result)) == ({"succeeded": 25}, {"not_compared": 25})
    assert {row["custom_id"]: row["text"] for row in result.rows()} == {row["id"]: row["text"] for row in ROWS}
    result = land(hook, tmp_path / "2", submission.batch_ids, input=str(letters), key_column="id")
    assert (changes(result), [row["text"] for row in result.rows()]) == ({}, [row["text"] for row in ROWS])


def test_a_check_of_the_users_own_sees_the_columns_of_the_input(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order(lambda: ROWS, prompt="{text}"), ATTEMPT, LogRecord())
    sim.advance(60)
    check = AnswerCheck(check=lambda row: "too cheap" if row["price"] < 1 else None)
    result = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: ROWS, check=check)
    assert [row["error_message"] for row in result.rows()] == ["too cheap"] * 3 + [None] * 22


def test_a_check_of_the_users_own_is_told_that_a_row_has_lost_its_columns(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order(lambda: ROWS, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    sim.advance(60)
    edited_rows = [{**ROWS[0], "text": "other"}, *ROWS[2:]]

    def of_price(row: Any) -> str | None:
        return "cheap" if row["price"] < 0 else None

    def where_known(row: Any) -> str | None:
        return None if row["input_change"] in ("changed", "removed") else of_price(row)

    def landed_with(check: Callable[[Any], str | None]) -> Landed:
        folder = tmp_path / check.__name__
        return land(hook, folder, submission.batch_ids, input=lambda: edited_rows, check=AnswerCheck(check=check))

    result = landed_with(where_known)
    assert result.statuses == {"succeeded": 25}
    result = landed_with(of_price)
    assert result.statuses == {"succeeded": 23, "invalid": 2}
    assert "has no columns of the input, which changed" in result.rows()[0]["error_message"]


@pytest.mark.parametrize(
    "form",
    [{}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"separators": (", ", ":")}],
    ids=["blanks and escapes", "blanks", "escapes", "blanks behind commas"],
)
@KEYS
def test_requests_that_the_platform_gives_back_as_other_bytes_are_the_same_requests(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None, form: dict[str, Any]
) -> None:
    texts = ["good", "很好", 'a "quoted": text', "a/b", "tab\t\u2028\u0001", "\\u0041"]
    rows = [{"id": f"k{number}", "text": text} for number, text in enumerate(texts)]
    recipe = {"messages": [{"role": "system", "content": "Classify: é"}, {"role": "user", "content": "{text}"}]}
    batch_ids = submit(hook, order(lambda: rows, key_column=key_column, **recipe), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    file_id = str(hook.get_batch(batch_ids[0]).input_file_id)
    lines = map(json.loads, sim.file_content(file_id).splitlines())
    sim.replace_content(file_id, "".join(f"{json.dumps(line, **form)}\n" for line in lines).encode())
    result = land(hook, tmp_path, batch_ids, input=lambda: rows)
    assert ([row["text"] for row in result.rows()], changes(result)) == (texts, {})
