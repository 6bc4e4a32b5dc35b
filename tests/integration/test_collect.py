"""Landing results: every row under its own status, joined by id, whatever the files look like."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet  # noqa: TID253  # it reads the files
from pyarrow.csv import read_csv  # noqa: TID253  # likewise

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator, RowError
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.landing import land, land_prompts
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, LABELS, TASK, order, request, spoiling, submit, submit_prompts


def test_results_have_every_row_in_input_order(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    landed = land_prompts(sim, hook, tmp_path, 50)
    expected = [f"row-{number:08d}" for number in range(1, 51)]
    assert [row["custom_id"] for row in landed.rows()] == expected
    assert [row["custom_id"] for row in landed.rows("output.jsonl")] != expected, "the platform shuffles"
    assert landed.statuses == {"succeeded": 50}
    assert {row["content"] for row in landed.rows()} == {"positive"}


def test_the_manifest_of_a_completed_batch_is_that_of_the_contract(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    manifest = land_prompts(sim, hook, tmp_path).manifest
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert list(manifest) == [
        *("schema_version", "batch_ids", "status", "model", "counts", "usage", "cost", "rounds"),
        *("output_file", "error_file", "results_file", "dead_letter_file"),
        *("input_fingerprint", "prompt_fingerprint", "created_at", "completed_at", "answers", "plain_locations"),
    ]
    assert manifest["counts"]["total"] == sum(n for key, n in manifest["counts"].items() if key != "total") == 10
    assert manifest["status"] == "completed"
    assert manifest["model"] == "kimi-k2.6"
    assert manifest["output_file"] == f"file://{tmp_path}/output.jsonl"
    assert manifest["error_file"] is None
    assert manifest["dead_letter_file"] is None
    assert manifest["usage"]["total_tokens"] > manifest["usage"]["prompt_tokens"] > 0
    tokens = manifest["usage"]
    yuan = (tokens["prompt_tokens"] - tokens["cached_tokens"]) * 3.90 + tokens["cached_tokens"] * 0.66
    yuan += tokens["completion_tokens"] * 16.20
    assert manifest["cost"]["amount"] == pytest.approx(yuan / 1e6)
    assert manifest["cost"]["currency"] == "CNY"
    assert manifest["created_at"] < manifest["completed_at"]
    assert manifest["created_at"].endswith("+00:00")


def test_the_output_file_is_landed_byte_for_byte(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    landed = land_prompts(sim, hook, tmp_path)
    file_id = str(landed.collected.batches[0].output_file_id)
    assert (tmp_path / "output.jsonl").read_bytes() == sim.file_content(file_id)
    assert not (tmp_path / "error.jsonl").exists()


def test_a_batch_landed_twice_gives_the_same_files(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    landed = land_prompts(sim, hook, tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    land(hook, tmp_path, landed.manifest["batch_ids"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_a_landing_whose_staged_files_are_gone_is_made_again(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    first = land_prompts(sim, hook, tmp_path, 3)
    rows, manifest = first.rows(), tmp_path / "manifest.json"
    killed = manifest.read_text().replace("results.jsonl", ".kimi-0123456789abcdef.results.jsonl")
    manifest.write_text(killed)  # as a killed landing leaves it, before a clean-up of hidden files
    (tmp_path / "results.jsonl").unlink()
    again = land(hook, tmp_path, first.manifest["batch_ids"])
    assert again.rows() == rows
    assert "its file .kimi-0123456789abcdef.results.jsonl is gone" in " ".join(again.log.warnings)
    assert not list(tmp_path.glob(".kimi-*"))


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_a_result_in_another_format_replaces_the_first(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, output_format: OutputFormat
) -> None:
    landed = land_prompts(sim, hook, tmp_path)
    landed_rows = landed.rows()
    again = land(hook, tmp_path, landed.manifest["batch_ids"], form=Form(output_format))
    assert again.manifest["results_file"] == f"file://{tmp_path}/results.{output_format}"
    assert [path.name for path in tmp_path.glob("results.*")] == [f"results.{output_format}"]
    table = parquet.read_table if output_format == "parquet" else read_csv
    ids = [row["custom_id"] for row in table(tmp_path / f"results.{output_format}").to_pylist()]
    assert ids == [row["custom_id"] for row in landed_rows]


def test_batches_of_several_tasks_become_one_result(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    ids = []
    for task in ("t0", "t1", "t2"):
        wanted = order([request(f"{task}-{n}") for n in range(5)])
        ids += submit(hook, wanted, Attempt(replace(TASK, task_id=task)), LogRecord()).batch_ids
    sim.advance(60)
    landed = land(hook, tmp_path, ids)
    assert [row["custom_id"] for row in landed.rows()] == [f"t{task}-{n}" for task in range(3) for n in range(5)]
    assert landed.manifest["batch_ids"] == ids
    assert len(landed.rows("output.jsonl")) == 15


def test_missing_failed_and_odd_rows_each_have_their_status(connect: Connect, tmp_path: Path) -> None:
    spoilt = {
        "row-00000001": None,
        "row-00000002": RowError("invalid_request_error", "Input token length too long"),
        "row-00000003": RowError("content_filter", "high risk"),
        "row-00000004": Answer("posi", finish_reason="length"),
        "row-00000005": Answer("", finish_reason="stop"),
        "row-00000006": Answer(None, finish_reason="content_filter"),
    }
    with KimiSimulator(speed=0, responder=spoiling(spoilt)) as sim:
        landed = land_prompts(sim, connect(sim), tmp_path)
    assert [row["status"] for row in landed.rows()][:7] == [
        *("missing", "failed", "filtered", "truncated", "invalid", "filtered", "succeeded"),
    ]
    assert landed.by_id["row-00000002"]["error_code"] == "invalid_request_error"
    assert landed.by_id["row-00000002"]["error_message"] == "Input token length too long"
    assert landed.manifest["status"] == "partial"
    assert landed.manifest["counts"] == {
        **{"total": 10, "succeeded": 4, "failed": 1, "invalid": 1, "truncated": 1, "filtered": 2},
        **{"expired": 0, "cancelled": 0, "missing": 1},
    }
    assert len(landed.rows("error.jsonl")) == 2


def test_dead_letters_can_be_sent_again_as_input(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, responder=spoiling({"row-00000004": None})) as sim:
        hook = connect(sim)
        land_prompts(sim, hook, tmp_path)
        repair = Attempt(replace(TASK, task_id="repair"))
        again = submit(hook, order(str(tmp_path / "dead_letter.jsonl")), repair, LogRecord())
        first, second = (sim.file_content(file_id).split(b"\n") for file_id in sim.file_ids("batch"))
    assert again.request_count == 1
    assert second[0] == first[3], "what was noted in it is not sent"


def test_dead_letters_hold_the_reason_and_the_row(connect: Connect, tmp_path: Path) -> None:
    table = [{"id": f"k{n}", "text": "很好", "photo": b"\xff", "lot": {"n": n}} for n in range(3)]
    recipe: dict[str, Any] = {"prompt": "{text}", "system_prompt": LABELS, "key_column": "id"}
    spoilt: dict[str, Answer | RowError | None]
    spoilt = {"k1": RowError("server_error", "it broke"), "k2": Answer("posi", finish_reason="length")}
    with KimiSimulator(speed=0, responder=spoiling(spoilt)) as sim:
        hook = connect(sim)
        submission = submit(hook, order(table, **recipe), ATTEMPT, LogRecord())
        sim.advance(60)
        landed = land(hook, tmp_path, submission.batch_ids, input=table, key_column="id")
        (file_id,) = sim.file_ids("batch")
        sent = [json.loads(line) for line in sim.file_content(file_id).split(b"\n") if line]
        broken, cut = landed.rows("dead_letter.jsonl")
        letters, repair = str(tmp_path / "dead_letter.jsonl"), Attempt(replace(TASK, task_id="repair"))
        again = submit(hook, order(letters), repair, LogRecord())
        sim.advance(60)
        rows = land(hook, tmp_path / "again", again.batch_ids, input=letters).rows()
    assert broken == {
        **sent[1],
        "error": {"status": "failed", "code": "server_error", "message": "it broke"},
        "row": {"id": "k1", "text": "很好", "lot": {"n": 1}},
    }
    assert (cut["error"]["status"], cut["error"]["code"]) == ("truncated", "length")
    assert [(row["custom_id"], row["id"], row["lot"]) for row in rows] == [
        ("k1", "k1", {"n": 1}),
        ("k2", "k2", {"n": 2}),
    ]


@pytest.mark.parametrize("shape", ["error", "type", "text", "response", "empty"])
def test_an_error_row_is_failed_in_every_spelling_of_the_platform(connect: Connect, tmp_path: Path, shape: Any) -> None:
    spoilt = {"row-00000001": RowError("server_error", "it broke")}
    with KimiSimulator(speed=0, responder=spoiling(spoilt), behaviour=Behaviour(error_shape=shape)) as sim:
        landed = land_prompts(sim, connect(sim), tmp_path)
    assert landed.statuses == {"succeeded": 9, "failed": 1}
    assert landed.by_id["row-00000001"]["status"] == "failed"


@pytest.mark.parametrize("status_code", [200, 0, None], ids=str)
def test_an_answer_succeeds_with_every_status_code_of_success(
    connect: Connect, tmp_path: Path, status_code: int | None
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(success_status_code=status_code)) as sim:
        landed = land_prompts(sim, connect(sim), tmp_path)
    assert landed.statuses == {"succeeded": 10}


def test_answers_with_unicode_line_ends_stay_whole(connect: Connect, tmp_path: Path) -> None:
    """`splitlines` would cut such a row into pieces."""
    text = "one\u2028two\u0085three\u2029four\x0b\x0c\x1c\r"
    with KimiSimulator(speed=0, responder=lambda line: Answer(text)) as sim:
        landed = land_prompts(sim, connect(sim), tmp_path)
    assert landed.statuses == {"succeeded": 10}
    assert {row["content"] for row in landed.rows()} == {text}


@pytest.mark.parametrize("spelling", ["null", "empty", "absent"])
def test_no_output_file_is_requested_for_a_batch_without_answers(
    connect: Connect, tmp_path: Path, spelling: Any
) -> None:
    """A request to /files//content."""
    broken = RowError("server_error", "it broke")
    behaviour = Behaviour(empty_file_id=spelling)
    with KimiSimulator(speed=0, responder=lambda line: broken, behaviour=behaviour) as sim:
        landed = land_prompts(sim, connect(sim), tmp_path)
        assert {call.status for call in sim.journal} == {200}
    assert landed.manifest["status"] == "failed"
    assert landed.manifest["output_file"] is None
    assert landed.statuses == {"failed": 10}


def test_rows_count_and_wrong_counts_of_the_platform_do_not(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    submission = submit_prompts(hook, 10)
    sim.advance(60)
    (batch,) = sim.batches.values()
    sim.status(batch.id)
    batch.completed = 12
    landed = land(hook, tmp_path, submission.batch_ids)
    assert landed.statuses == {"succeeded": 10}
    assert any("has 10 lines; the batch counted 12" in line for line in landed.log.warnings)


def test_a_batch_with_null_counts_is_landed(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(null_request_counts=True)) as sim:
        landed = land_prompts(sim, connect(sim), tmp_path)
    assert landed.statuses == {"succeeded": 10}


def test_an_answer_with_half_a_character_is_kept(connect: Connect, tmp_path: Path) -> None:
    """The platform writes what its model cut in the middle of an emoji."""
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        submission = submit_prompts(hook, 2)
        sim.advance(60)
        file_id = hook.get_batch(submission.batch_ids[0]).output_file_id
        assert file_id is not None
        stored = sim.file_content(file_id).replace(b'"positive"', b'"positive \\ud83d"')
        sim.replace_content(file_id, stored)
        landed = land(hook, tmp_path, submission.batch_ids)
    assert landed.statuses == {"succeeded": 2}
    assert {row["content"] for row in landed.rows()} == {"positive \ufffd"}
    assert (tmp_path / "output.jsonl").read_bytes() == stored


def test_rows_with_the_same_text_keep_their_own_keys(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    """Nothing is shared between equal rows, so no key can be lost; each is asked and comes back by itself."""
    table = [{"id": key, "text": "很好"} for key in ("k1", "k2", "k3")]
    wanted = order(table, prompt="{text}", system_prompt=LABELS, key_column="id")
    submission = submit(hook, wanted, ATTEMPT, LogRecord())
    sim.advance(60)
    landed = land(hook, tmp_path, submission.batch_ids, input=table, key_column="id")
    assert [(row["custom_id"], row["id"], row["status"]) for row in landed.rows()] == [
        (key, key, "succeeded") for key in ("k1", "k2", "k3")
    ]


def test_each_landing_of_dead_letters_counts_its_own_rows(connect: Connect, tmp_path: Path) -> None:
    """Each landing counts its own rows, and the counts of both add up to the rows of the table."""
    spoilt: dict[str, Answer | RowError | None] = {
        "row-00000002": RowError("server_error", "it broke"),
        "row-00000005": Answer("posi", finish_reason="length"),
    }
    with KimiSimulator(speed=0, responder=lambda line: spoiling(spoilt)(line)) as sim:
        hook = connect(sim)
        first = land_prompts(sim, hook, tmp_path / "first").manifest["counts"]
        del spoilt["row-00000002"]
        repair = Attempt(replace(TASK, task_id="repair"))
        again = submit(hook, order(str(tmp_path / "first" / "dead_letter.jsonl")), repair, LogRecord())
        sim.advance(60)
        second = land(hook, tmp_path / "second", again.batch_ids).manifest["counts"]
    for counts in (first, second):
        assert counts["total"] == sum(rows for status, rows in counts.items() if status != "total")
    assert (first["total"], first["succeeded"], first["failed"], first["truncated"]) == (10, 8, 1, 1)
    assert (second["total"], second["succeeded"], second["failed"], second["truncated"]) == (2, 1, 0, 1)
    assert first["succeeded"] + second["succeeded"] + second["truncated"] == first["total"]


@pytest.mark.parametrize(
    ("completed", "failed", "differ"),
    [
        pytest.param(1, 0, True, id="too few"),
        pytest.param(12, 3, True, id="too many"),
        pytest.param(10, 0, False, id="right"),
        pytest.param(0, 0, False, id="none at all"),
    ],
)
def test_counts_of_the_platform_that_differ_from_the_lines_are_logged(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, completed: int, failed: int, differ: bool
) -> None:
    submission = submit_prompts(hook, 10)
    sim.advance(60)
    (batch,) = sim.batches.values()
    sim.status(batch.id)
    batch.completed, batch.failed = completed, failed
    landed = land(hook, tmp_path, submission.batch_ids)
    assert landed.statuses == {"succeeded": 10}
    message = (
        f"counts {completed} completed and {failed} failed requests; its files hold 10 output lines and 0 error lines"
    )
    assert any(message in line for line in landed.log.warnings) is differ


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_an_expired_or_cancelled_batch_keeps_the_rows_that_are_done(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, status: str
) -> None:
    """Paid rows of a batch that did not complete."""
    (batch_id,) = submit_prompts(hook, 10).batch_ids
    batch = sim.batches[batch_id]
    if status == "expired":
        batch.expires_at = batch.created_at + 13
    else:
        sim.advance(13)
        hook.cancel_batch(batch_id)
    sim.advance(60)
    landed = land(hook, tmp_path, [batch_id])
    assert landed.statuses == {"succeeded": 5, status: 5}
    assert len(landed.rows("dead_letter.jsonl")) == 5


def test_the_rows_of_an_expired_batch_without_files_are_expired(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(expired_output=False)) as sim:
        hook = connect(sim)
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.batches[batch_id].expires_at = sim.batches[batch_id].created_at + 13
        sim.advance(60)
        landed = land(hook, tmp_path, [batch_id])
    assert landed.statuses == {"expired": 4}


def test_the_rows_of_a_failed_batch_are_failed_with_its_reason(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    body = {"model": "kimi-k3", "messages": [{"role": "user", "content": "hi"}]}
    (batch_id,) = submit(hook, order([request("b", body=body)]), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    landed = land(hook, tmp_path, [batch_id])
    assert landed.statuses == {"failed": 1}
    assert "kimi-k3" in landed.by_id["b"]["error_message"]


def test_rows_are_counted_without_their_ids_if_the_input_file_is_deleted(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit_prompts(hook, 10)
    sim.advance(13)
    hook.cancel_batch(submission.batch_ids[0])
    sim.advance(60)
    hook.delete_file(submission.input_file_ids[0])
    landed = land(hook, tmp_path, submission.batch_ids)
    assert landed.statuses == {"succeeded": 5}
    assert (landed.manifest["counts"]["total"], landed.manifest["counts"]["cancelled"]) == (10, 5)
    assert landed.manifest["status"] == "partial"


def test_a_batch_that_has_not_ended_is_not_landed(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    submission = submit_prompts(hook, 4)
    with pytest.raises(
        KimiBatchError, match="is still validating. Nothing was landed, and the batch goes on and is billed"
    ):
        land(hook, tmp_path, submission.batch_ids)
    assert list(tmp_path.iterdir()) == []


def test_the_result_of_other_batches_is_replaced_with_a_warning(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ids = [submit(hook, order([request(one)], reuse="never"), ATTEMPT, LogRecord()).batch_ids for one in ("a", "b")]
    sim.advance(60)
    land(hook, tmp_path, ids[0], form=Form("csv"))
    landed = land(hook, tmp_path, ids[1])
    assert any(f"Batches of that result: {ids[0][0]}" in line for line in landed.log.warnings)
    assert not (tmp_path / "results.csv").exists()
    assert not any("holds the result of other batches" in line for line in land(hook, tmp_path, ids[1]).log.warnings)


def test_a_file_that_is_not_of_the_result_is_not_deleted(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("mine")
    landed = land_prompts(sim, hook, tmp_path)
    land(hook, tmp_path, landed.manifest["batch_ids"])
    assert (tmp_path / "results.csv").read_text() == "mine"
