"""Files on the platform are deleted when they are no longer needed, and never before."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.account.delete import Deletion
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, spoiling, submit, submit_prompts
from tests.support.tasks import run_task

DAY = 86_400.0


def landed(batch_ids: list[str], output: Path, **parameters: Any) -> dict[str, Any]:
    operator = KimiBatchResultsOperator(
        task_id="results", batch_id=batch_ids, output=str(output), delete_remote_files=True, **parameters
    )
    return dict(run_task(operator).value)


def deleted_by(**parameters: Any) -> list[str]:
    return list(run_task(KimiDeleteFilesOperator(task_id="clean", **parameters)).value)


def old(hook: KimiHook, seconds: float, run_state: str | None = None) -> list[str]:
    return Deletion(Calls(hook, LogRecord(), lambda pause: None)).older_than(seconds, lambda dag_id, run_id: run_state)


def kept(hook: KimiHook) -> set[str]:
    return {file.id for file in hook.list_files()}


def test_the_files_of_a_landed_batch_are_deleted(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    """A daily DAG does not fill the account."""
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    manifest = landed(submission.batch_ids, tmp_path)
    assert kept(hook) == set()
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert manifest["counts"]["succeeded"] == 3


def test_clearing_the_task_keeps_a_result_whose_files_are_deleted(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    manifest = landed(submission.batch_ids, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert landed(submission.batch_ids, tmp_path) == manifest
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_deletion_that_was_interrupted_is_finished(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    """The input alone is gone: a result landed without it would be poorer than the one that is there."""
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    first = land(hook, tmp_path, submission.batch_ids)
    hook.delete_file(submission.input_file_ids[0])
    assert landed(submission.batch_ids, tmp_path) == first.manifest
    assert kept(hook) == set()


def test_deleted_results_cannot_be_landed_in_another_directory(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit_prompts(hook, 3)
    sim.advance(7200)
    landed(submission.batch_ids, tmp_path / "one")
    with pytest.raises(KimiApiError, match="does not exist, was deleted"):
        landed(submission.batch_ids, tmp_path / "two")
    assert not (tmp_path / "two" / "manifest.json").exists()


@pytest.mark.parametrize("spoilt", ["output", "input"])
def test_files_are_not_deleted_if_another_download_may_bring_more(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, spoilt: str
) -> None:
    """A line that lacks today may be there tomorrow."""
    submission = submit_prompts(hook, 3)
    sim.advance(7200)
    (file_id,) = submission.input_file_ids
    output_id = hook.get_batch(submission.batch_ids[0]).output_file_id
    assert output_id is not None
    short = output_id if spoilt == "output" else file_id
    sim.replace_content(short, sim.file_content(short).split(b"\n")[0] + b"\n")
    before = kept(hook)
    landed(submission.batch_ids, tmp_path)
    assert kept(hook) == before


def test_the_only_copy_of_another_result_is_not_replaced(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    """Mapped tasks with one directory for all of them."""
    wanted = order(["a", "b"], max_rows_per_batch=1)
    one, two = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    manifest = landed([one], tmp_path)
    before = kept(hook)
    with pytest.raises(
        AirflowFailException, match=f"holds the result of other batches, which may be the only copy.*{one}"
    ):
        landed([two], tmp_path)
    assert kept(hook) == before
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert landed([two], tmp_path / "of its own")["counts"]["succeeded"] == 1


def test_another_format_of_deleted_results_is_refused(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    manifest = landed(submission.batch_ids, tmp_path)
    with pytest.raises(AirflowFailException, match=r"is results.jsonl, and cannot be landed again as csv"):
        landed(submission.batch_ids, tmp_path, output_format="csv")
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest


def test_files_are_not_deleted_if_too_many_rows_failed(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, responder=spoiling({"row-00000001": None})) as sim:
        hook = connect(sim)
        submission = submit_prompts(hook, 3)
        sim.advance(60)
        before = kept(hook)
        with pytest.raises(AirflowFailException, match="1 missing"):
            landed(submission.batch_ids, tmp_path, max_failed_rows=0)
        assert kept(hook) == before


def test_an_input_that_another_batch_is_working_on_is_not_deleted(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """A create whose answer was lost may have been sent twice, for one file."""
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    hook.create_batch(submission.input_file_ids[0])
    landed(submission.batch_ids, tmp_path)
    assert kept(hook) == set(submission.input_file_ids)


def test_files_of_a_batch_of_another_program_are_not_deleted(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
    source = tmp_path / "mine.jsonl"
    source.write_text(json.dumps({**line, "body": body}) + "\n")
    batch = hook.create_batch(hook.upload_file(source, "mine.jsonl").id)
    sim.advance(60)
    before = kept(hook)
    landed([batch.id], tmp_path / "out")
    assert kept(hook) == before


@pytest.mark.parametrize("together", [True, False], ids=["all shards at once", "one shard at a time"])
def test_the_file_of_skipped_rows_is_deleted_only_once_all_shards_are_landed(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, together: bool
) -> None:
    """Mapped tasks land one shard each, and each names the rows that were left out of its own."""
    rows: list[Any] = [*(f"review {number}" for number in range(4)), 7]
    wanted = order(rows, max_rows_per_batch=2, on_invalid_row="skip")
    batch_ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    for ids in [batch_ids] if together else [[batch_id] for batch_id in batch_ids]:
        landed(ids, tmp_path / str(ids[0]))
    stayed = [str(file.filename) for file in hook.list_files()]
    assert len(stayed) == (0 if together else 1)
    assert all("skipped" in name for name in stayed)


def test_the_delete_operator_deletes_named_files_of_ended_batches(sim: KimiSimulator, hook: KimiHook) -> None:
    submission = submit_prompts(hook, 2)
    sim.advance(60)
    assert deleted_by(file_id=submission.input_file_ids) == submission.input_file_ids
    assert deleted_by(file_id=str(submission.input_file_ids)) == []
    assert deleted_by(file_id=[]) == []


def test_the_delete_operator_never_deletes_the_input_of_a_running_batch(sim: KimiSimulator, hook: KimiHook) -> None:
    """Neither by name nor by age."""
    submission = submit_prompts(hook, 2)
    assert deleted_by(file_id=submission.input_file_ids) == []
    assert old(hook, 0) == []
    assert kept(hook) == set(submission.input_file_ids)


def test_the_delete_operator_never_deletes_a_file_of_another_program(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n")
    (tmp_path / "mine.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    foreign = [hook.upload_file(tmp_path / "mine.jsonl", "mine.jsonl").id]
    foreign.append(hook.upload_file(tmp_path / "mine.png", "mine.png", "image").id)
    sim.advance(40 * DAY)
    assert deleted_by(file_id=foreign) == []
    assert old(hook, -60 * DAY) == []
    assert kept(hook) == set(foreign)


def test_the_delete_operator_keeps_files_that_were_just_uploaded(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    (tmp_path / "input").write_text("{}\n")
    name = f"{'a' * 32}-1-{'b' * 12}.jsonl"
    file_id = hook.upload_file(tmp_path / "input", name).id
    assert deleted_by(file_id=file_id) == []
    assert old(hook, -DAY) == []


def test_the_delete_operator_deletes_old_files_that_no_run_needs(sim: KimiSimulator, hook: KimiHook) -> None:
    submission = submit_prompts(hook, 2)
    sim.advance(60)
    assert old(hook, -DAY, "running") == []
    assert old(hook, DAY, "success") == []
    assert set(old(hook, -DAY, "success")) == {
        *submission.input_file_ids,
        str(sim.batches[submission.batch_ids[0]].output_file_id),
    }
    assert kept(hook) == set()


@pytest.mark.parametrize("leftover", [False, True], ids=["used by a batch", "left by a job that stopped halfway"])
def test_files_of_another_airflow_that_shares_the_account_stay_unless_they_are_asked_for(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, leftover: bool
) -> None:
    """Its runs are unknown here, and it may not have landed its results yet."""
    submission = submit_prompts(hook, 2)
    sim.advance(60)
    if leftover:
        tags = Tags.of(hook.get_batch(submission.batch_ids[0]))
        (tmp_path / "input").write_text("{}\n")
        hook.upload_file(tmp_path / "input", f"{tags.job_key}-2-{'b' * 12}.jsonl")
    before = kept(hook)
    log = LogRecord()
    deletion = Deletion(Calls(hook, log))
    sim.advance(40 * DAY)
    assert deletion.older_than(-60 * DAY, lambda dag_id, run_id: None) == []
    assert kept(hook) == before
    assert "run manual__1 of reviews is unknown here; another Airflow may share the account" in str(log.infos)
    deletion.older_than(-60 * DAY, lambda dag_id, run_id: None, unknown_runs=True)
    assert len(kept(hook)) == leftover, "nothing says yet that no batch works on the upload"


def test_nothing_is_deleted_if_the_list_of_batches_does_not_show_what_was_landed(
    connect: Connect, tmp_path: Path
) -> None:
    """Such a list cannot prove that no other batch works on the input."""
    with KimiSimulator(speed=0, behaviour=Behaviour(list_lag_seconds=600)) as sim:
        hook = connect(sim)
        submission = submit_prompts(hook, 3)
        sim.advance(60)
        before = kept(hook)
        manifest = landed(submission.batch_ids, tmp_path)
        assert (manifest["status"], kept(hook)) == ("completed", before)
        sim.advance(600)
        landed(submission.batch_ids, tmp_path)
        assert kept(hook) == set()


def test_an_input_is_not_deleted_while_a_batch_runs_of_which_the_list_does_not_say_what_it_works_on(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(list_input_file=False)) as sim:
        hook = connect(sim)
        submission = submit_prompts(hook, 3)
        sim.advance(60)
        batch = hook.get_batch(submission.batch_ids[0])
        hook.create_batch(str(batch.input_file_id), metadata=batch.metadata)
        landed(submission.batch_ids, tmp_path)
        assert kept(hook) == {batch.input_file_id}


def test_a_dry_run_of_the_delete_operator_deletes_nothing(sim: KimiSimulator, hook: KimiHook) -> None:
    submission = submit_prompts(hook, 2)
    sim.advance(60)
    before = kept(hook)
    assert deleted_by(file_id=submission.input_file_ids, dry_run=True) == submission.input_file_ids
    assert kept(hook) == before


def test_the_delete_operator_deletes_nothing_without_seeing_every_batch(sim: KimiSimulator, hook: KimiHook) -> None:
    submission = submit_prompts(hook, 2)
    sim.advance(60)
    for _ in range(150):
        hook.create_batch(submission.input_file_ids[0])
    with pytest.raises(AirflowFailException, match="Nothing was deleted: .*raise max_batches_searched"):
        deleted_by(file_id=submission.input_file_ids, max_batches_searched=100)


@pytest.mark.parametrize(
    "parameters", [{}, {"file_id": "file_1", "older_than": 5}, {"older_than": timedelta(days=-1)}], ids=str
)
def test_the_delete_operator_refuses_parameters_that_contradict(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"file_id|older_than"):
        KimiDeleteFilesOperator(task_id="clean", **parameters)


@pytest.mark.parametrize("file_id", ["../../v1/batches", "", "a b", ["file_1", None]], ids=repr)
@pytest.mark.usefixtures("hook")
def test_the_delete_operator_refuses_a_value_that_is_not_an_id(sim: KimiSimulator, file_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="not a file id"):
        deleted_by(file_id=file_id)
    assert not sim.journal


def test_a_submit_warns_before_the_account_has_reached_its_limit_of_files(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in range(900):
        hook.upload_file(tmp_path / "image", f"{number}.png", "image")
    log = LogRecord()
    submit(hook, order(["hi"]), ATTEMPT, log)
    assert re.search("keeps 901 files; at 1,000 every upload is refused", log.warnings[-1])


def test_an_upload_beyond_the_limit_of_files_says_what_to_do(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in range(1000):
        hook.upload_file(tmp_path / "image", f"{number}.png", "image")
    with pytest.raises(Exception, match="exceeded the max file count 1000.*KimiDeleteFilesOperator"):
        submit(hook, order(["hi"]), ATTEMPT, LogRecord())
