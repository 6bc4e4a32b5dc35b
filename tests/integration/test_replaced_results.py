"""A landing makes nothing worse: not the result that is there, not the files of others, not the input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.exceptions import KimiInputError, KimiResultError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.failure_limits import too_many_failed
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.staging import staged_name
from airflow_provider_kimi.results.switch import OvertakenError
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, submit, submit_prompts, write_jsonl
from tests.support.switching import publish, switch_steps
from tests.support.tasks import TaskInstanceRecord, run_task

#: What may come in place of an output file, with status 200.
NO_ANSWERS: dict[str, dict[str, Any]] = {
    "nothing": {"cut_after_bytes": 0, "cut_silently": True},
    "a page": {"status": 200, "html": True},
    "an error": {"status": 200},
}


def two_results(sim: KimiSimulator, hook: KimiHook) -> list[list[str]]:
    """Batches of three and of four rows that have ended."""
    tasks = [replace(TASK, task_id=name) for name in ("first", "second")]
    wanted = [
        order([f"{task.task_id} {number}" for number in range(rows)]) for task, rows in zip(tasks, (3, 4), strict=True)
    ]
    ids = [submit(hook, each, Attempt(task), LogRecord()).batch_ids for task, each in zip(tasks, wanted, strict=True)]
    sim.advance(60)
    return ids


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spoil_output(sim: KimiSimulator, **fault: Any) -> None:
    """Spoil every download but the first, which is that of the requests."""
    sim.inject("download_file", skip=1, times=None, **fault)


@pytest.mark.parametrize("fault", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_download_without_any_answer_keeps_the_result_that_is_there(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, fault: dict[str, Any]
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    land(hook, tmp_path / "out", ids)
    before = files_of(tmp_path / "out")
    spoil_output(sim, **fault)
    with pytest.raises(KimiResultError, match="Clear this task to try again: nothing is paid again") as caught:
        land(hook, tmp_path / "out", ids)
    assert caught.value.retryable
    assert "dead_letter" not in str(caught.value)
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("fault", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_download_without_any_answer_is_no_result_at_first_either(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, fault: dict[str, Any]
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    spoil_output(sim, **fault)
    with pytest.raises(KimiResultError):
        land(hook, tmp_path / "out", ids)
    assert files_of(tmp_path / "out") == {}


def test_a_download_with_fewer_answers_keeps_the_result_that_is_there(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    land(hook, tmp_path / "out", ids)
    before = files_of(tmp_path / "out")
    spoil_output(sim, cut_after_bytes=before["output.jsonl"].index(b"\n") + 1, cut_silently=True)
    with pytest.raises(KimiResultError, match="has 4 answers fewer than the result that is there") as caught:
        land(hook, tmp_path / "out", ids)
    assert caught.value.retryable
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("choice", "lack"),
    [
        ({"message": {"content": ""}, "finish_reason": "stop"}, "5 answers with text fewer"),
        ({"message": {"content": " "}, "finish_reason": "length"}, "5 answers with text fewer"),
        ({"message": {"content": "posi"}, "finish_reason": "length"}, "5 whole answers fewer"),
    ],
    ids=["empty", "cut to nothing", "cut"],
)
def test_answers_that_have_become_empty_or_cut_keep_the_result_that_is_there(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, choice: dict[str, Any], lack: str
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    land(hook, tmp_path / "out", ids)
    before = files_of(tmp_path / "out")
    lines = [json.loads(line) for line in before["output.jsonl"].splitlines()]
    for line in lines:
        line["response"]["body"]["choices"] = [choice]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    sim.replace_content(str(hook.get_batch(ids[0]).output_file_id), content)
    with pytest.raises(KimiResultError, match=f"has {lack} than the result that is there"):
        land(hook, tmp_path / "out", ids)
    assert files_of(tmp_path / "out") == before


def test_a_check_that_refuses_more_rows_replaces_the_earlier_result(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    land(hook, tmp_path, ids)
    landed = land(hook, tmp_path, ids, check=AnswerCheck(check=lambda row: "no"))
    assert landed.statuses == {"invalid": 5}
    assert landed.manifest["answers"] == {"whole": 5, "cut": 0}


def test_a_first_landing_with_fewer_answers_than_counted_is_to_be_cleared_not_to_be_paid_again(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    content = sim.file_content(str(hook.get_batch(ids[0]).output_file_id))
    spoil_output(sim, cut_after_bytes=content.index(b"\n") + 1, cut_silently=True)
    collected = land(hook, tmp_path / "out", ids).collected
    assert "clear this task later" in collected.to_come
    assert not collected.is_whole
    said = too_many_failed(["4 rows"], collected.tally, ids, collected.to_come)
    assert "clear this task later" in said
    assert "dead_letter" not in said


def test_a_result_with_another_schema_replaces_the_earlier_one(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """Fewer rows fit, but none has lost its answer."""
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    for schema in (["positive", "negative"], ["good", "bad"], ["positive", "negative"]):
        task = KimiBatchResultsOperator(
            task_id="r", batch_id=ids, output=str(tmp_path), output_schema=schema, max_failed_ratio=1.0
        )
        counts = run_task(task).value["counts"]
        assert counts["succeeded" if "positive" in schema else "invalid"] == 5


def test_a_table_that_lost_rows_since_keeps_the_columns_that_are_landed(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    rows = [{"id": number, "text": f"text {number}"} for number in range(5)]
    ids = submit(hook, order(lambda: rows, prompt="{text}", key_column="id"), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    land(hook, tmp_path / "out", ids, input=lambda: rows)
    before = files_of(tmp_path / "out")
    with pytest.raises(KimiInputError, match="2 more rows whose columns of the input are not known"):
        land(hook, tmp_path / "out", ids, input=lambda: rows[:3])
    assert files_of(tmp_path / "out") == before
    land(hook, tmp_path / "out", ids)


def results(ids: list[str], output: Path, ti: TaskInstanceRecord | None = None) -> dict[str, Any]:
    manifest: dict[str, Any] = run_task(
        KimiBatchResultsOperator(task_id="results", batch_id=ids, output=str(output)), ti
    ).value
    return manifest


def mapped(index: int, run_id: str = "monday") -> TaskInstanceRecord:
    return TaskInstanceRecord("results", run_id=run_id, map_index=index)


@pytest.mark.parametrize("sibling", [mapped(1), TaskInstanceRecord("other", run_id="monday")], ids=["mapped", "other"])
def test_a_result_of_another_task_of_the_run_is_not_replaced(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, sibling: TaskInstanceRecord
) -> None:
    """Half of the rows would be gone, and both tasks green."""
    first, second = two_results(sim, hook)
    results(first, tmp_path, mapped(0))
    before = files_of(tmp_path)
    with pytest.raises(AirflowFailException, match=r"of this run, which another task has landed.*ti.map_index"):
        results(second, tmp_path, sibling)
    assert files_of(tmp_path) == before
    results(first, tmp_path, mapped(0))


def test_the_result_of_the_next_run_replaces_that_of_the_last_one(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    first, second = two_results(sim, hook)
    results(first, tmp_path, mapped(0))
    assert results(second, tmp_path, mapped(0, "tuesday"))["counts"]["total"] == 4
    assert files_of(tmp_path).keys() == {"manifest.json", "output.jsonl", "report.html", "results.jsonl"}


def test_a_part_of_the_batches_does_not_replace_the_result_of_all(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ids = sum(two_results(sim, hook), [])
    land(hook, tmp_path, ids)
    with pytest.raises(KimiInputError, match="holds the result of these batches and of others"):
        land(hook, tmp_path, ids[:1])
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 7


TABLE = [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("place", "source", "output"),
    [
        ("in/results.jsonl", "in/results.jsonl", "in"),
        ("in/error.jsonl", "in/error.jsonl", "in/"),
        ("in/a.jsonl", "in", "in"),
        ("in/a.jsonl", "in", "in/out"),
        ("in/a.jsonl", "in/*.jsonl", "in"),
        ("in/2026/a.jsonl", "in/*/*.jsonl", "in/labels"),
        ("in/x/2026/a.jsonl", "in/**/*.jsonl", "in/x/2026/deep/labels"),
        ("in/a.csv", "in/*.csv", "in"),
        ("in/a.jsonl", "in/../in/a.jsonl", "in/./x/.."),
    ],
)
def test_an_output_in_the_way_of_the_input_is_refused(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, place: str, source: str, output: str
) -> None:
    ids = submit_prompts(hook, 2).batch_ids
    sim.advance(60)
    (tmp_path / place).parent.mkdir(parents=True)
    write_jsonl(tmp_path / place, TABLE)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KimiInputError, match=r"^Output .* (holds|lies inside) .*Nothing was landed"):
        land(hook, tmp_path / output, ids, input=str(tmp_path / source))
    assert sorted(tmp_path.rglob("*")) == before
    assert "download_file" not in [call.name for call in sim.journal]


@pytest.mark.parametrize(
    ("source", "output"), [("in/a.jsonl", "out"), ("in/*.jsonl", "in/out"), ("in/*/*.csv", "in/out"), ("in", "in2")]
)
def test_an_output_beside_the_input_is_accepted(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, source: str, output: str
) -> None:
    ids = submit(hook, order(TABLE, prompt="{text}"), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", TABLE)
    if "csv" in source:
        (tmp_path / "in" / "x").mkdir()
        (tmp_path / "in" / "x" / "a.csv").write_text("text\none\ntwo\n")
    landed = land(hook, tmp_path / output, ids, input=str(tmp_path / source))
    assert [row["text"] for row in landed.rows()] == ["one", "two"]


@pytest.mark.parametrize("name", ["manifest.json", "results.jsonl", "output.jsonl", "dead_letter.jsonl"])
def test_a_file_of_another_program_is_left_as_it_is(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, name: str
) -> None:
    ids = submit_prompts(hook, 2).batch_ids
    sim.advance(60)
    (tmp_path / name).write_text(json.dumps({"metadata": {"dbt_version": "1.9"}}))
    before = files_of(tmp_path)
    with pytest.raises(KimiInputError, match=f"holds the file {name}, which no result of this provider lists"):
        land(hook, tmp_path, ids)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [
        {"batch_ids": ["etl_7"]},
        {"batch_ids": ["etl_7"], "schema_version": 1, "status": "completed", "output_file": "/data/output.jsonl"},
    ],
)
def test_a_manifest_of_another_program_that_lists_batches_is_refused_by_name(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, content: dict[str, Any]
) -> None:
    ids = submit_prompts(hook, 2).batch_ids
    sim.advance(60)
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    (tmp_path / "output.jsonl").write_text("theirs")
    before = files_of(tmp_path)
    with pytest.raises(KimiInputError, match=r"holds the file manifest.json, which no result of this provider"):
        land(hook, tmp_path, ids)
    assert files_of(tmp_path) == before


def test_a_directory_in_the_home_directory_is_found(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ids = submit_prompts(hook, 2).batch_ids
    sim.advance(60)
    manifest = results(ids, Path("~/labels"))
    assert manifest["results_file"] == f"file://{tmp_path}/labels/results.jsonl"
    assert (tmp_path / "labels" / "manifest.json").exists()


@pytest.mark.parametrize(
    "named", ["../mine.csv", "mine.csv", "out/../../mine.csv", "manifest.json", "", ".", "..", "sub"]
)
def test_a_landing_deletes_no_file_that_no_result_has_whatever_its_manifest_says(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, named: str
) -> None:
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    out = tmp_path / "out"
    land(hook, out, ids)
    for mine in (tmp_path / "mine.csv", out / "mine.csv", out / "sub" / "mine.csv"):
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")
    staged = out / ".kimi-0123456789abcdef.results.jsonl"
    staged.write_bytes((out / "results.jsonl").read_bytes())
    manifest = json.loads((out / "manifest.json").read_text())
    edited = {"former_files": [named], "results_file": f"file://{staged}", "error_file": f"file://{out}/{named}"}
    (out / "manifest.json").write_text(json.dumps(manifest | edited))
    assert land(hook, out, ids).statuses == {"succeeded": 5}
    assert [path.read_text() for path in sorted(tmp_path.rglob("mine.csv"))] == ["mine"] * 3
    assert not staged.exists()


def test_a_former_file_that_cannot_be_removed_is_named_in_the_log_and_the_result_is_landed(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    first, second = two_results(sim, hook)
    land(hook, tmp_path, first, form=Form("csv"))
    (tmp_path / "results.csv").unlink()
    (tmp_path / "results.csv").mkdir()
    landed = land(hook, tmp_path, second)
    assert len(landed.rows()) == 4
    assert (
        f"Files that the result no longer needs could not be removed in {tmp_path}: results.csv."
        in landed.log.warnings[-1]
    )
    (tmp_path / "results.csv").rmdir()
    (tmp_path / "results.csv").write_text("custom_id\n")
    land(hook, tmp_path, second)
    assert files_of(tmp_path).keys() == {"manifest.json", "output.jsonl", "results.jsonl"}


def killed_while_staging(ids: list[str], folder: Path, task: TaskIdentity) -> str:
    """Leave behind what a landing of a task instance leaves that is killed before the switch."""
    left = staged_name(Landing(ids, str(folder), task=task).new_name(), "output.jsonl")
    (folder / left).write_bytes(b"half\n")
    return left


@pytest.mark.parametrize("end", ["kept", "refused"])
def test_files_that_a_killed_attempt_of_the_task_has_staged_are_removed_also_if_the_earlier_result_is_kept(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, end: str
) -> None:
    out = tmp_path / "out"
    ids = submit_prompts(hook, 5).batch_ids
    sim.advance(60)
    land(hook, out, ids, task=TASK)
    before = files_of(out)
    own = killed_while_staging(ids, out, TASK)
    theirs = killed_while_staging(ids, out, replace(TASK, task_id="other"))
    assert own != theirs
    if end == "kept":
        sim.inject("download_file", status=404, skip=1, times=None)
        assert land(hook, out, ids, task=TASK).collected.is_kept
    else:
        spoil_output(sim, cut_after_bytes=before["output.jsonl"].index(b"\n") + 1, cut_silently=True)
        with pytest.raises(KimiResultError):
            land(hook, out, ids, task=TASK)
    assert files_of(out) == {**before, theirs: b"half\n"}


def test_a_landing_whose_staged_files_are_gone_does_not_switch(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """Another attempt of the task has removed them, so a manifest that names them would name nothing."""
    publish(tmp_path / "out", output_jsonl=b"old\n")
    before = files_of(tmp_path / "out")
    (tmp_path / "new").write_bytes(b"new\n")
    steps = switch_steps(OutputDirectory(str(tmp_path / "out")), {"output.jsonl": [tmp_path / "new"]})
    next(steps)
    for path in (tmp_path / "out").glob(".kimi-*"):
        path.unlink()
    with pytest.raises(OvertakenError, match=r"are gone.*Nothing was landed"):
        list(steps)
    assert files_of(tmp_path / "out") == before
