"""The canaries in what a job leaves beside Airflow: its files, its cache, its page, its metadata and its budget."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.canaries import ANSWER, KEY, ROW, SECRETS, found_in
from tests.support.requests import write_jsonl
from tests.support.rounds import QUICK
from tests.support.tasks import run_task, run_to_end

#: What each file may hold of rows and answers. No other file of a result may hold any.
MAY_HOLD = {
    "results.jsonl": {ROW, ANSWER},
    "output.jsonl": {ANSWER},
    "error.jsonl": {ROW},  # the platform repeats the row in it
    "dead_letter.jsonl": {ROW},
    "saved.jsonl": {ROW, ANSWER},
}


def answer(asked: Mapping[str, Any]) -> Answer | RowError:
    """Refuse one row with its text."""
    return RowError("server_error", f"'{ROW} 1' is refused") if asked["custom_id"] == "r1" else Answer(ANSWER)


@pytest.fixture
def platform(connect: Connect) -> Iterator[KimiSimulator]:
    with KimiSimulator(api_key=KEY, speed=50, timing=QUICK, responder=answer) as platform:
        connect(platform)
        yield platform


def job(folder: Path, **parameters: Any) -> KimiBatchOperator:
    table = write_jsonl(folder / "rows.jsonl", [{"id": f"r{n}", "text": f"{ROW} {n}"} for n in range(3)])
    asked = {"input": table, "prompt": "{text}", "key_column": "id", "output": f"{folder}/out", "poke_interval": 0.1}
    return KimiBatchOperator(task_id="job", **{**asked, **parameters})


def held_by(folder: Path) -> dict[str, set[str]]:
    """Rows and answers that the files of a folder hold, by their names."""
    texts = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in folder.iterdir()}
    return {name: {canary for canary in (ROW, ANSWER) if canary in text} for name, text in texts.items()}


def test_rows_and_answers_are_in_the_files_of_a_result_that_hold_rows_and_in_no_other(
    platform: KimiSimulator, tmp_path: Path
) -> None:
    run_to_end(job(tmp_path, cache=f"{tmp_path}/cache"))
    held = held_by(tmp_path / "out")
    assert {"manifest.json", "report.html", "results.jsonl", "dead_letter.jsonl"} <= set(held)
    assert not {name: canaries for name, canaries in held.items() if canaries - MAY_HOLD.get(name, set())}
    assert held["results.jsonl"] == {ROW, ANSWER}, "the search does not see what is there"
    kept = held_by(tmp_path / "cache")
    assert set.union(*kept.values()) == {ANSWER}
    names = "".join(str(path) for place in ("out", "cache") for path in (tmp_path / place).rglob("*"))
    contents = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert not found_in(names)
    assert not found_in(contents, SECRETS)


@pytest.mark.parametrize(("report_rows", "held"), [(0, set()), (3, {ROW, ANSWER})])
def test_the_report_shows_rows_and_answers_only_where_it_is_told_to(
    platform: KimiSimulator, tmp_path: Path, report_rows: int, held: set[str]
) -> None:
    run_to_end(job(tmp_path, report_rows=report_rows))
    assert held_by(tmp_path / "out")["report.html"] == held


def test_what_travels_with_a_batch_names_no_row_and_no_key(platform: KimiSimulator, tmp_path: Path) -> None:
    run_to_end(job(tmp_path))
    (batch,) = platform.batches.values()
    assert batch.metadata
    assert not found_in(repr(batch.metadata))


def test_a_budget_keeps_no_row_no_answer_and_no_key_in_airflows_variables(
    platform: KimiSimulator, tmp_path: Path
) -> None:
    pytest.importorskip("airflow.sdk", reason="the other end of Variables is that of Airflow 3")
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    from tests.support.variables import airflow_tables, keeping

    defined = {"kimi_budget_labels": '{"amount": 50, "per": "day", "currency": "CNY"}'}
    with airflow_tables(), keeping(defined):
        run_to_end(job(tmp_path, budget="labels", thinking="disabled", request_params={"max_completion_tokens": 100}))
        with create_session() as session:
            kept = {one.key: one.val for one in session.query(Variable)}
    assert len(kept) > len(defined)
    assert not found_in(repr(kept))


def test_a_merge_logs_no_row_that_the_platform_repeats(
    platform: KimiSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    run_to_end(job(tmp_path))
    created = run_task(KimiCreateBatchOperator(task_id="create", input=f"{tmp_path}/out/dead_letter.jsonl"))
    platform.advance(9000)
    capsys.readouterr()
    places: dict[str, Any] = {"merge_with": f"{tmp_path}/out", "output": f"{tmp_path}/merged"}
    run_task(KimiBatchResultsOperator(task_id="results", batch_id=created.value, **places))
    logged = caplog.text + "".join(capsys.readouterr())
    assert logged.count("most common error") == 1
    assert not found_in(logged)
