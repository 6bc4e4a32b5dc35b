"""Collecting with the table: its columns come back beside the answers, and never beside the wrong ones."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, LABELS, order, submit, write_jsonl


class TestTheTablesColumns:
    def test_come_back_beside_the_answers(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
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

    def test_come_back_without_a_key_column_too(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
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

    def test_of_another_table_are_refused(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
        source = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "x"}])
        submission = submit(hook, order(source, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
        sim.advance(60)
        write_jsonl(tmp_path / "t.jsonl", [{"id": "b", "text": "x"}])
        with pytest.raises(KimiInputError, match="has changed since"):
            land(hook, tmp_path / "out", submission.batch_ids, input=source, key_column="id")


class TestATextThatHasChangedSinceItWasSent:
    def submitted(self, hook: KimiHook, table: Path, **recipe: Any) -> list[str]:
        table.write_text(json.dumps({"id": "a", "text": "good"}) + "\n" + json.dumps({"id": "b", "text": "bad"}) + "\n")
        return submit(hook, order(str(table), key_column="id", **recipe), ATTEMPT, LogRecord()).batch_ids

    def test_is_refused_because_its_answer_belongs_to_another(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path
    ) -> None:
        table = tmp_path / "rows.jsonl"
        batch_ids = self.submitted(hook, table, prompt="Classify {text}")
        sim.advance(60)
        table.write_text(table.read_text().replace("bad", "great"))
        with pytest.raises(KimiInputError, match=r"row 'b' of the given input has another text in column 'text'"):
            land(hook, tmp_path / "out", batch_ids, input=str(table), key_column="id")
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert land(hook, tmp_path / "out", batch_ids).statuses == {"succeeded": 2}

    def test_is_not_known_of_what_a_function_made(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
        table = tmp_path / "rows.jsonl"
        batch_ids = self.submitted(hook, table, messages=lambda row: row["text"].upper())
        sim.advance(60)
        landed = land(hook, tmp_path / "out", batch_ids, input=str(table), key_column="id")
        assert [row["text"] for row in landed.rows()] == ["good", "bad"]


class TestTheInputOfTheResults:
    """What has become of the table after its batch was paid for."""

    def test_that_is_gone_is_told_as_what_it_is(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
        table = write_jsonl(tmp_path / "in.jsonl", [{"text": "hi"}])
        submission = submit(hook, order(table, prompt="{text}"), ATTEMPT, LogRecord())
        sim.advance(60)
        Path(table).unlink()
        with pytest.raises(KimiInputError, match="does not exist. The batches have ended and are billed") as refused:
            land(hook, tmp_path / "out", submission.batch_ids, input=table)
        assert "Nothing was sent" not in str(refused.value)

    def test_may_hold_half_a_character_that_no_prompt_uses(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path
    ) -> None:
        rows = [{"text": "hi", "file": "caf\udce9"}]
        submission = submit(hook, order(lambda: rows, prompt="{text}"), ATTEMPT, LogRecord())
        sim.advance(60)
        (row,) = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: rows).rows()
        assert (row["status"], row["file"]) == ("succeeded", "caf?")


def test_a_left_out_row_of_a_table_with_columns_named_like_notes_keeps_them(
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
