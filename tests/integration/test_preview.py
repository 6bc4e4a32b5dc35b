"""A preview asks a sample with a new prompt, compares it with an earlier result, and leaves that result alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.budgets.entries import read_budget
from airflow_provider_kimi.budgets.ledger import MICRO, Ledger
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.in_flight import event_of, resumed, to_end
from tests.support.rounds import BROKEN, QUICK, Model, asked_in, expire, job, lines_of, manifest, results
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task
from tests.support.variables import airflow_tables, keeping

LABELS = ["positive", "negative", "neutral"]
SAMPLE = ["r1", "r3", "r5", "r7", "r9"]
CHANGED = [{"from": "positive", "to": "neutral", "count": 2, "sample": ["r5", "r7"]}]


def by_prompt(custom_id: str, times: int, body: Any) -> Answer | RowError:
    """Positive, but for two rows, which a strict prompt makes neutral."""
    strict = body["messages"][-1]["content"].startswith("Strictly")
    return Answer("neutral" if strict and custom_id[-1] in "57" else "positive")


def labelled(folder: Path, sim: KimiSimulator, **parameters: Any) -> Any:
    return job(folder, sim=sim, **{"max_rounds": 1, "output_schema": LABELS, **parameters})


def preview(folder: Path, sim: KimiSimulator, **parameters: Any) -> Any:
    given = {"prompt": "Strictly: {text}", "preview_rows": 5, "task_id": "preview", **parameters}
    return labelled(folder, sim, **given)


def rows_of_preview(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "preview" / "results.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_preview_returns_which_labels_a_new_prompt_changes(
    connect: Connect, tmp_path: Path, deferrable: bool, output_format: str
) -> None:
    with KimiSimulator(speed=0 if deferrable else 1000, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        before = to_end(labelled(tmp_path, sim, output_format=output_format), sim).value
        found = to_end(preview(tmp_path, sim, output_format=output_format, deferrable=deferrable), sim).value
        assert asked_in(sim)[1:] == [SAMPLE]
    assert (found["preview"], found["rows"], found["whole_rows"]) == (True, 5, 10)
    assert (found["compared"], found["changed"], found["not_compared"]) == (5, 2, {})
    assert found["changes"] == CHANGED
    assert found["compared_with"] == f"{tmp_path}/out"
    assert found["results_file"].endswith(f"/out/preview/results.{output_format}")
    assert found["whole_cost"]["amount"] == pytest.approx(2 * found["cost"]["amount"])
    assert manifest(tmp_path) == before


def test_the_table_of_changed_labels_is_in_the_log(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim), sim)
        to_end(preview(tmp_path, sim), sim)
    log = capsys.readouterr().out
    assert "Preview: 5 of 10 rows were asked for" in log
    assert '  2  "positive" -> "neutral"  r5, r7' in log


def test_only_the_rows_of_the_sample_are_in_its_result_with_their_columns(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        found = to_end(preview(tmp_path, sim), sim)
    assert [(row["custom_id"], row["text"]) for row in rows_of_preview(tmp_path)] == [
        (name, f"review {name[1:]}") for name in SAMPLE
    ]
    assert found.ti.xcoms["manifest"]["counts"]["total"] == 5
    assert found.value["compared_with"] is None
    assert (found.value["compared"], found.value["changes"]) == (0, [])
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_whole_run_after_a_preview_of_the_same_task_instance_is_another_job(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(preview(tmp_path, sim, preview_rows=10), sim)
        whole = preview(tmp_path, sim, preview_rows=None)
        assert to_end(whole, sim, number=2).value["counts"]["succeeded"] == 10
        assert [len(ids) for ids in asked_in(sim)] == [10, 10]
        again = to_end(preview(tmp_path, sim, preview_rows=10), sim, number=3).value
        assert (again["compared"], again["changed"]) == (10, 0)
        assert len(sim.batches) == 2
    assert len(results(tmp_path)) == 10


@pytest.mark.parametrize("waits", [0, 1])
def test_a_try_of_a_preview_that_dies_is_gone_on_with(connect: Connect, tmp_path: Path, waits: int) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim), sim)
        attempt = run_task(preview(tmp_path, sim), TaskInstanceRecord(task_id="preview"))
        if waits:
            resumed(preview(tmp_path, sim), sim, attempt)
        sim.advance(20)
        assert to_end(preview(tmp_path, sim), sim, number=2).value["changes"] == CHANGED
        assert asked_in(sim)[1:] == [SAMPLE]


def test_another_prompt_in_a_clear_of_a_preview_is_asked_as_on_changed_input_says(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(preview(tmp_path, sim, prompt="Mildly: {text}"), sim)
        with pytest.raises(AirflowFailException, match="on_changed_input='fresh'"):
            to_end(preview(tmp_path, sim), sim, number=2)
        to_end(preview(tmp_path, sim, on_changed_input="fresh"), sim, number=3)
        assert asked_in(sim) == [SAMPLE, SAMPLE]


def test_a_preview_waits_for_room_as_any_job_does(connect: Connect, tmp_path: Path) -> None:
    behaviour = Behaviour(max_active_batches=1, full_queue="refused")
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt), behaviour=behaviour) as sim:
        connect(sim)
        (tmp_path / "other").mkdir()
        run_task(labelled(tmp_path / "other", sim, task_id="other"))
        attempt = run_task(preview(tmp_path, sim), TaskInstanceRecord(task_id="preview"))
        assert len(sim.batches) == 1
        assert attempt.deferred is not None
        sim.advance(100)
        attempt = resume_task(
            preview(tmp_path, sim), event_of(attempt).to_dict(), ti=attempt.ti, kwargs=attempt.deferred.kwargs
        )
        found = to_end(preview(tmp_path, sim), sim, attempt).value
        assert asked_in(sim)[1:] == [SAMPLE]
    assert (found["rows"], found["whole_rows"]) == (5, 10)


def test_rows_without_a_key_are_compared_by_their_place(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim, key_column=None), sim)
        found = to_end(preview(tmp_path, sim, key_column=None, preview_rows=2), sim).value
        assert asked_in(sim)[1:] == [["row-00000003", "row-00000008"]]
    assert (found["compared"], found["changed"], found["changes"]) == (2, 0, [])
    assert [row["text"] for row in rows_of_preview(tmp_path)] == ["review 2", "review 7"]


def test_rows_of_a_function_keep_their_columns_in_a_preview(connect: Connect, tmp_path: Path) -> None:
    def ask(row: Any) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"Strictly: {row['text']}"}]

    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        found = to_end(preview(tmp_path, sim, prompt=None, messages=ask), sim)
    assert found.ti.xcoms["manifest"]["input_changes"]["changed"] == 0
    assert [row["text"] for row in rows_of_preview(tmp_path)] == [f"review {name[1:]}" for name in SAMPLE]


@pytest.mark.parametrize("named", ["directory", "manifest.json", "manifest", "text"])
def test_the_result_to_compare_with_may_be_named_in_each_way(connect: Connect, tmp_path: Path, named: str) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        before = to_end(labelled(tmp_path, sim), sim).value
        ways = {"directory": f"{tmp_path}/out", "manifest": before, "text": str(before)}
        given = ways.get(named, f"{tmp_path}/out/manifest.json")
        found = to_end(preview(tmp_path, sim, compare_with=given, output=f"{tmp_path}/other"), sim).value
    assert found["compared_with"].removeprefix("file://") == f"{tmp_path}/out"
    assert found["changes"] == CHANGED


def test_a_result_that_is_not_there_is_refused_before_anything_is_sent(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        task = preview(tmp_path, sim, compare_with=f"{tmp_path}/nowhere")
        with pytest.raises(
            AirflowFailException, match=r"compare_with is .*nowhere.* holds no result. Nothing was sent"
        ):
            run_task(task)
        assert not {call.name for call in sim.journal} & {"upload_file", "create_batch"}


@pytest.mark.parametrize(
    ("output_format", "damage"),
    [
        ("jsonl", b'{"custom_id": "r1", "status": "succeeded", "content": "x"}\n{"custom_id": "r3"}\n'),
        ("jsonl", b'{"status": "succeeded", "content": "x"}\n'),
        ("jsonl", b'{"custom_id": "r1", "status": "succeeded", "content": ["x"]}\n'),
        ("csv", b"custom_id,status,content\r\nr1,succeeded\r\n"),
        ("jsonl", None),
    ],
)
def test_an_earlier_result_that_cannot_be_read_leaves_the_preview_landed_and_says_so(
    connect: Connect, tmp_path: Path, output_format: str, damage: bytes | None
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim, output_format=output_format), sim)
        path = tmp_path / "out" / f"results.{output_format}"
        before = path.read_bytes()
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(AirflowFailException) as caught:
            to_end(preview(tmp_path, sim, output_format=output_format), sim)
        assert "The answers of the preview are landed in " in str(caught.value)
        assert "Nothing was changed" not in str(caught.value)
        path.write_bytes(before)
        assert to_end(preview(tmp_path, sim, output_format=output_format), sim).value["changes"] == CHANGED
        assert len(sim.batches) == 2


def test_rows_without_an_answer_on_either_side_are_counted_apart(connect: Connect, tmp_path: Path) -> None:
    def say(custom_id: str, times: int, body: Any) -> Answer | RowError:
        strict = body["messages"][-1]["content"].startswith("Strictly")
        return BROKEN if custom_id == ("r1" if strict else "r3") else by_prompt(custom_id, times, body)

    with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim, rows=8), sim)
        found = to_end(preview(tmp_path, sim, max_rounds=3, allow_realtime=True), sim).value
        assert asked_in(sim)[1:] == [SAMPLE]
    assert found["not_compared"] == {"no_answer_now": 1, "no_answer_before": 1, "not_in_earlier_result": 1}
    assert (found["compared"], found["changes"]) == (2, CHANGED)


def test_free_text_is_counted_and_never_shown(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim, output_schema=None), sim)
        found = to_end(preview(tmp_path, sim, output_schema=None), sim).value
    assert found["changes"] == [{"from": None, "to": None, "count": 2, "sample": ["r5", "r7"]}]
    assert "neutral" not in json.dumps(found)
    log = capsys.readouterr().out
    assert "2  another text  r5, r7" in log
    assert "neutral" not in log


def test_a_pilot_and_limits_of_a_batch_leave_the_sample_as_it_is(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        found = to_end(preview(tmp_path, sim, pilot_rows=2, max_in_flight=1, max_cost=3), sim).value
        assert asked_in(sim) == [SAMPLE]
    assert found["rows"] == 5


def test_a_preview_whose_batch_did_not_complete_fails_and_a_clear_asks_the_rest(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        to_end(labelled(tmp_path, sim), sim)
        with pytest.raises(AirflowFailException, match="Clear this task to ask the rest"):
            to_end(preview(tmp_path, sim), sim, at=expire(sim))
        done = len([row for row in rows_of_preview(tmp_path) if row["status"] == "succeeded"])
        assert 0 < done < 5
        found = to_end(preview(tmp_path, sim), sim, number=2).value
        assert len(asked_in(sim)[2]) == 5 - done
    assert (found["rows"], found["changes"]) == (5, CHANGED)


def test_rows_that_cannot_be_sent_are_no_part_of_a_preview(connect: Connect, tmp_path: Path) -> None:
    rows = [{"id": f"r{number}", "text": "" if number % 2 else "fine"} for number in range(10)]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        task = preview(tmp_path, sim, input=rows, on_invalid_row="skip", preview_rows=2)
        found = to_end(task, sim).value
        assert asked_in(sim) == [["r2", "r6"]]
    assert (found["rows"], found["whole_rows"]) == (2, 5)
    assert [row["custom_id"] for row in rows_of_preview(tmp_path)] == ["r2", "r6"]


def test_only_images_of_the_sample_are_uploaded(connect: Connect, tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    rows = [{"id": f"r{number}", "text": "look", "image": png + bytes([number])} for number in range(6)]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(lambda *_: Answer("positive"))) as sim:
        connect(sim)
        given = {"input": rows, "image_column": "image", "media": "upload", "preview_rows": 2}
        found = to_end(preview(tmp_path, sim, **given), sim).value
        assert len(sim.file_ids("image")) == 2
        assert all("ms://" in json.dumps(line) for line in lines_of(sim, next(iter(sim.batches))))
    assert found["rows"] == 2


def test_the_results_operator_lands_a_preview_as_the_rows_that_it_asked(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        task = preview(tmp_path, sim)
        to_end(task, sim)
        landing = KimiBatchResultsOperator(
            task_id="land", batch_id=list(sim.batches), output=f"{tmp_path}/landed", input=task.input, key_column="id"
        )
        assert run_task(landing).value["counts"]["total"] == 5


def test_a_dry_run_of_a_preview_says_what_the_sample_costs(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        assert run_task(preview(tmp_path, sim, dry_run=True)).value["rows"] == 5
        assert not sim.batches


def test_a_preview_reserves_and_settles_in_its_budget_what_the_sample_costs(connect: Connect, tmp_path: Path) -> None:
    defined = {"kimi_budget_labels": '{"amount": 3, "per": "day", "currency": "CNY"}'}
    with airflow_tables(), keeping(defined), KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        found = to_end(preview(tmp_path, sim, budget="labels"), sim).value
        ledger = Ledger(read_budget("labels"))
        assert ledger.reserved == []
        assert ledger.spent == -(-found["cost"]["amount"] * MICRO // 1)


def test_the_whole_run_does_not_pay_again_for_rows_that_a_preview_has_asked(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(by_prompt)) as sim:
        connect(sim)
        given = {"cache": f"{tmp_path}/cache", "dedupe": True}
        assert to_end(preview(tmp_path, sim, **given), sim).value["rows"] == 5
        whole = to_end(preview(tmp_path, sim, preview_rows=None, **given), sim, number=2).value
        assert asked_in(sim) == [SAMPLE, ["r0", "r2", "r4", "r6", "r8"]]
        again = to_end(preview(tmp_path, sim, **given), sim, number=3).value
        assert len(sim.batches) == 2
    assert whole["saved"] == {"cache": 5, "duplicate": 0, "stored": 5}
    assert (again["compared"], again["changed"]) == (5, 0)
