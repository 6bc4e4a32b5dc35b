"""Landing results with the input: its columns come beside the right answers."""

import csv
from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, LABELS, order, submit, write_jsonl


def test_columns_of_the_input_are_landed_beside_the_answers(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with table.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows([["id", "text", "status"], ["k2", "很好", "new"], ["k1", "太差", "old"]])
    recipe = {"prompt": "{text}", "system_prompt": LABELS, "key_column": "id"}
    submission = submit(hook, order(str(table), **recipe), ATTEMPT, LogRecord())
    sim.advance(60)
    landed = land(hook, tmp_path / "out", submission.batch_ids, input=str(table), key_column="id")
    first, second = landed.rows()
    assert (first["id"], first["text"], first["input_status"], first["status"], first["content"]) == (
        *("k2", "很好", "new", "succeeded", "positive"),
    )
    assert (second["id"], second["content"]) == ("k1", "negative")


def test_columns_of_the_input_are_landed_without_a_key_column(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "t.jsonl", [{"text": "很好", "custom_id": "x", "body": "mail"}])
    submission = submit(hook, order(source, prompt="{text}", system_prompt=LABELS), ATTEMPT, LogRecord())
    sim.advance(60)
    (row,) = land(hook, tmp_path / "out", submission.batch_ids, input=source).rows()
    assert (row["custom_id"], row["input_custom_id"], row["text"], row["body"]) == (
        "row-00000001",
        "x",
        "很好",
        "mail",
    )


def test_answers_are_landed_although_another_input_is_given(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "x"}])
    submission = submit(hook, order(source, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    sim.advance(60)
    write_jsonl(tmp_path / "t.jsonl", [{"id": "b", "text": "x"}])
    asked, added = land(hook, tmp_path / "out", submission.batch_ids, input=source).rows()
    assert (asked["custom_id"], asked["status"], asked["input_change"], "text" in asked) == (
        *("a", "succeeded", "removed", False),
    )
    assert (added["custom_id"], added["status"], added["content"]) == ("b", "missing", None)


def test_the_key_of_the_create_counts_whatever_the_results_are_told(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}])
    submission = submit(hook, order(source, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    sim.advance(60)
    for key_column in (None, "id", "text"):
        landed = land(hook, tmp_path / "out", submission.batch_ids, input=source, key_column=key_column)
        assert [(row["custom_id"], row["text"]) for row in landed.rows()] == [("a", "x"), ("b", "y")]


def test_an_input_that_was_deleted_after_the_payment_is_reported_as_such(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    table = write_jsonl(tmp_path / "in.jsonl", [{"text": "hi"}])
    submission = submit(hook, order(table, prompt="{text}"), ATTEMPT, LogRecord())
    sim.advance(60)
    Path(table).unlink()
    with pytest.raises(KimiInputError, match="does not exist. The batches have ended and are billed") as refused:
        land(hook, tmp_path / "out", submission.batch_ids, input=table)
    assert "Nothing was sent" not in str(refused.value)


def test_the_input_may_hold_half_a_character_that_no_prompt_uses(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    rows = [{"text": "hi", "file": "caf\udce9"}]
    submission = submit(hook, order(lambda: rows, prompt="{text}"), ATTEMPT, LogRecord())
    sim.advance(60)
    (row,) = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: rows).rows()
    assert (row["status"], row["file"]) == ("succeeded", "caf?")


def test_a_skipped_row_keeps_columns_that_are_named_like_notes_of_dead_letters(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """`row` and `error` are names that dead letters use, too."""
    rows = [{"custom_id": "x", "text": text, "row": {"n": 1}, "error": "E7"} for text in ("good", None)]
    table = write_jsonl(tmp_path / "rows.jsonl", rows)
    submission = submit(hook, order(table, prompt="{text}", on_invalid_row="skip"), ATTEMPT, LogRecord())
    sim.advance(60)
    landed = land(hook, tmp_path / "out", submission.batch_ids, input=table)
    assert [(row["status"], row["row"], row["error"]) for row in landed.rows()] == [
        ("succeeded", {"n": 1}, "E7"),
        ("invalid", {"n": 1}, "E7"),
    ]
