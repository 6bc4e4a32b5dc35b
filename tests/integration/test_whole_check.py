"""The whole input is checked before the first call: problems are reported together, or their rows are skipped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiApiError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, request, spoiling, submit, write_jsonl


def test_one_bad_row_among_100_000_is_named_and_nothing_is_sent(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    table = tmp_path / "rows.jsonl"
    lines = [json.dumps({"id": n, "text": f"review {n}"}) for n in range(1, 100_001)]
    lines[77_776] = json.dumps({"id": 77_777, "text": None})
    table.write_text("\n".join(lines))
    with pytest.raises(KimiInputError, match=r"1 problem: line 77777 \(custom_id '77777'\) has null in column 'text'"):
        submit(hook, order(str(table), prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    assert not sim.journal


def test_one_bad_line_among_100_000_ready_requests_is_named_and_nothing_is_sent(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ready = tmp_path / "rows.jsonl"
    lines = [json.dumps(request(f"r{n}")) for n in range(100_000)]
    lines[50_000] = lines[50_000].replace('"content": "hi"', '"content": ""')
    ready.write_text("\n".join(lines))
    with pytest.raises(KimiInputError, match=r"line 50001 \(custom_id 'r50000'\) has an empty content in message 1"):
        submit(hook, order(str(ready)), ATTEMPT, LogRecord())
    assert not sim.journal


def test_a_key_that_repeats_far_behind_is_named_with_both_rows(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    keys = [f"k{n}" for n in range(100_000)]
    keys[99_999] = "k6"
    table = write_jsonl(tmp_path / "rows.jsonl", [{"id": key, "text": "x"} for key in keys])
    message = r"line 100000 \(custom_id 'k6'\) repeats the custom_id of line 7; each must be unique"
    with pytest.raises(KimiInputError, match=message):
        submit(hook, order(table, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    assert not sim.journal


def test_a_row_larger_than_a_batch_file_is_named_by_its_key(sim: KimiSimulator, hook: KimiHook) -> None:
    rows = [{"id": "small", "text": "x"}, {"id": "huge", "text": "x" * 100_000_000}]
    message = r"element 2 \(custom_id 'huge'\) makes a request of 100,000,1\d\d bytes; a whole batch file may have 100"
    with pytest.raises(KimiInputError, match=message):
        submit(hook, order(lambda: rows, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    assert not sim.journal


def test_a_line_larger_than_a_batch_file_is_named_and_the_rest_is_read(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    table = tmp_path / "rows.jsonl"
    table.write_text('{"text": "x"}\n{"text": "' + "x" * 102_000_000 + '"}\n{"text": null}\n{"text": "y"}\n')
    with pytest.raises(KimiInputError, match="2 problems: line 2 is over 100,000,000 bytes long.*; line 3 has null"):
        submit(hook, order(str(table), prompt="{text}"), ATTEMPT, LogRecord())
    assert not sim.journal


def test_many_problems_are_reported_together_up_to_twenty(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    rows = [{"id": f"k{n}", "text": "x", f"odd{n}": 1} for n in range(50)]
    for row in rows:
        del row["text"]
    table = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(KimiInputError) as refused:
        submit(hook, order(table, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    assert "has 50 problems: line 1 (custom_id 'k0')" in str(refused.value)
    assert "line 20 (custom_id 'k19')" in str(refused.value)
    assert "line 21" not in str(refused.value)
    assert "and 30 more" in str(refused.value)
    assert not sim.journal


def test_a_problem_in_one_of_several_files_names_the_file(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}] * 3)
    write_jsonl(tmp_path / "b.jsonl", [{"text": "x"}, {"text": None}])
    with pytest.raises(KimiInputError, match=r"line 2 of \S+b\.jsonl has null"):
        submit(hook, order(str(tmp_path), prompt="{text}"), ATTEMPT, LogRecord())
    assert not sim.journal


ROWS = (
    {"id": "a", "text": "good", "lang": "en"},
    {"id": "b", "text": None, "lang": "fr"},
    {"id": "", "text": "no key", "lang": "de"},
    {"id": "c", "text": "fine", "lang": "zh"},
    {"id": "a", "text": "again", "lang": "it"},
    {"id": "d", "text": "well", "lang": "es"},
)


def test_dead_letters_of_skipped_rows_are_skipped_again(connect: Connect, tmp_path: Path) -> None:
    """The default refuses rows that cannot be sent, but these are known already, beside one to ask again."""
    broken: dict[str, Answer | RowError | None] = {"c": RowError("server_error", "it broke")}
    with KimiSimulator(speed=0, responder=lambda line: spoiling(broken)(line)) as sim:
        hook = connect(sim)
        table = write_jsonl(tmp_path / "rows.jsonl", ROWS)
        wanted = order(table, prompt="{text}", key_column="id", on_invalid_row="skip")
        first = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
        sim.advance(60)
        land(hook, tmp_path / "out", first, input=table, key_column="id")
        broken.clear()
        letters, log = str(tmp_path / "out" / "dead_letter.jsonl"), LogRecord()
        again = submit(hook, order(letters), Attempt(replace(TASK, task_id="repair")), log)
        sim.advance(60)
        landed = land(hook, tmp_path / "again", again.batch_ids, input=letters)
    assert again.request_count == 1
    assert any("has 3 problems" in line and "These rows are left out" in line for line in log.warnings)
    assert [(row["custom_id"], row["status"], row["lang"]) for row in landed.rows()] == [
        ("b", "invalid", "fr"),
        ("row-00000003", "invalid", "de"),
        ("c", "succeeded", "zh"),
        ("a", "invalid", "it"),
    ]


@pytest.mark.parametrize("max_rows", [None, 1, 2], ids=["one batch", "1 row per batch", "2 rows per batch"])
@pytest.mark.parametrize("with_input", [True, False], ids=["with input", "without input"])
def test_skipped_rows_keep_their_place_in_results_and_dead_letters(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, with_input: bool, max_rows: int | None
) -> None:
    table = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    wanted = order(table, prompt="{text}", key_column="id", on_invalid_row="skip", max_rows_per_batch=max_rows)
    submission = submit(hook, wanted, ATTEMPT, LogRecord())
    sim.advance(60)
    changes = {"input": table, "key_column": "id"} if with_input else {}
    landed = land(hook, tmp_path / "out", submission.batch_ids, **changes)
    names = ["a", "b", "row-00000003", "c", "a", "d"]
    assert [row["custom_id"] for row in landed.rows()] == names
    statuses = ["succeeded", "invalid", "invalid", "succeeded", "invalid", "succeeded"]
    assert [row["status"] for row in landed.rows()] == statuses
    assert landed.manifest["counts"]["total"] == 6
    letters = landed.rows("dead_letter.jsonl")
    assert [letter["custom_id"] for letter in letters] == ["b", "row-00000003", "a"]
    assert [letter["row"] for letter in letters] == [ROWS[n] if with_input else None for n in (1, 2, 4)]
    message = "line 2 was left out, because it has null in column 'text', which the prompt uses"
    assert letters[0]["error"] == {"status": "invalid", "code": "not_sent", "message": message}
    if with_input:
        assert [row.get("lang") for row in landed.rows()] == ["en", "fr", "de", "zh", "it", "es"]


def test_the_content_of_skipped_rows_is_never_sent(sim: KimiSimulator, hook: KimiHook) -> None:
    rows = [{"text": "good", "ssn": "123"}, {"text": None, "ssn": "456"}]
    submission = submit(hook, order(rows, prompt="{text}", on_invalid_row="skip"), ATTEMPT, LogRecord())
    (batch,) = sim.batches.values()
    kept = sim.file_content((batch.metadata or {})["kimi_skipped_file"])
    assert b"has null" in kept
    assert b"456" not in kept
    assert submission.request_count == 1


def test_other_skipped_rows_make_another_job(sim: KimiSimulator, hook: KimiHook) -> None:
    """Otherwise a retry would attach to batches that know nothing of the rows that are bad now."""
    submit(hook, order(["good", ""], on_invalid_row="skip"), ATTEMPT, LogRecord())
    with pytest.raises(KimiInputError, match="Changed: "):
        submit(hook, order(["good", "", ""], on_invalid_row="skip"), ATTEMPT, LogRecord())


def test_images_of_skipped_rows_are_not_uploaded(sim: KimiSimulator, hook: KimiHook) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    rows = [{"text": "good", "photo": png + b"1"}, {"text": None, "photo": png + b"2"}]
    wanted = order(
        lambda: rows,
        prompt="{text}",
        media_columns={"photo": "image"},
        media="upload",
        on_invalid_row="skip",
    )
    submit(hook, wanted, ATTEMPT, LogRecord())
    assert len(sim.file_ids("image")) == 1


def test_a_skipped_row_and_a_sent_row_of_the_same_key_keep_their_own_columns(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "text": None, "lang": "1st"}, {"id": "a", "text": "x", "lang": "2nd"}]
    table = write_jsonl(tmp_path / "rows.jsonl", rows)
    submission = submit(
        hook, order(table, prompt="{text}", key_column="id", on_invalid_row="skip"), ATTEMPT, LogRecord()
    )
    sim.advance(60)
    landed = land(hook, tmp_path / "out", submission.batch_ids, input=table, key_column="id")
    assert [(row["status"], row["lang"]) for row in landed.rows()] == [
        ("invalid", "1st"),
        ("succeeded", "2nd"),
    ]


def test_a_skipped_row_does_not_decide_the_model(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    bad = request("bad", body={"model": "kimi-k2.7-code", "messages": []})
    ready = write_jsonl(tmp_path / "in.jsonl", [bad, request("a"), request("b")])
    assert submit(hook, order(ready, on_invalid_row="skip"), ATTEMPT, LogRecord()).request_count == 2


def test_a_retry_finds_the_skipped_rows_of_the_first_attempt(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    wanted = order(["good", "", "also good"], on_invalid_row="skip", max_rows_per_batch=1)
    sim.inject("create_batch", skip=1, status=400)
    with pytest.raises(Exception, match="1 of the 2 batches"):
        submit(hook, wanted, ATTEMPT, LogRecord())
    submission = submit(hook, wanted, ATTEMPT, LogRecord())
    assert len({(sim.batches[b].metadata or {})["kimi_skipped_file"] for b in submission.batch_ids}) == 1
    sim.advance(60)
    landed = land(hook, tmp_path, submission.batch_ids)
    assert [row["status"] for row in landed.rows()] == ["succeeded", "invalid", "succeeded"]


def test_skipped_rows_are_uploaded_once_although_every_create_was_refused(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    wanted = order(write_jsonl(tmp_path / "rows.jsonl", ROWS), prompt="{text}", on_invalid_row="skip")
    sim.inject("create_batch", status=403, times=2)
    for _ in range(2):
        with pytest.raises(KimiApiError):
            submit(hook, wanted, ATTEMPT, LogRecord())
    submit(hook, wanted, ATTEMPT, LogRecord())
    kept = [file.filename for file in hook.list_files() if str(file.filename).endswith("-skipped.jsonl")]
    assert len(kept) == 1


def test_an_input_of_skipped_rows_only_is_refused(sim: KimiSimulator, hook: KimiHook) -> None:
    with pytest.raises(KimiInputError, match="has no row that can be sent: 2 problems: element 1 makes an empty"):
        submit(hook, order(["", ""], on_invalid_row="skip"), ATTEMPT, LogRecord())
    assert not sim.journal


def test_a_file_that_cannot_be_read_is_not_skipped(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes("id,text\n1,中文\n".encode("gbk"))
    with pytest.raises(KimiInputError, match="is not UTF-8"):
        submit(hook, order(str(table), prompt="{text}", on_invalid_row="skip"), ATTEMPT, LogRecord())
    assert not sim.journal
