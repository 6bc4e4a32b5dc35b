"""`approve_over`: a person approves a job before anything is uploaded; a reject skips the task."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, task
from airflow.sdk.exceptions import TaskAwaitingInput

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import Attempt, TaskInstanceRecord, resume_task, resume_to_end, run_task, run_to_end

QUICK = Timing(validating_seconds=1, working_seconds=5, finalizing_seconds=1)
PAYING = {"upload_file", "create_batch"}
ADA = {"id": "7", "name": "ada"}
APPROVED = {
    **{"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": ADA},
    **{"responded_at": datetime(2026, 11, 30, tzinfo=UTC), "timedout": False},
}
REJECTED = {**APPROVED, "chosen_options": ["Reject"]}


@pytest.fixture
def airflow() -> Iterator[Supervisor]:
    with supervised(Supervisor()) as supervisor:
        yield supervisor


@pytest.fixture
def sim(connect: Connect) -> Iterator[KimiSimulator]:
    with KimiSimulator(speed=20, timing=QUICK) as sim:
        connect(sim)
        yield sim


def job(folder: Path, rows: int = 40, **parameters: Any) -> KimiBatchOperator:
    """A job that costs at most 0.067 CNY for 40 rows."""
    table = folder / "reviews.jsonl"
    table.write_text("".join(json.dumps({"id": f"r{n}", "text": f"review {n}"}) + "\n" for n in range(rows)))
    return KimiBatchOperator(
        **{
            **{"task_id": "job", "input": str(table), "output": f"{folder}/out", "key_column": "id"},
            **{"prompt": "Positive or negative? {text}", "thinking": "disabled", "poke_interval": 0.1},
            **{"request_params": {"max_completion_tokens": 100}, "approve_over": 0, **parameters},
        }
    )


def parked(operator: KimiBatchOperator) -> TaskAwaitingInput:
    """Run a task until it waits for a person."""
    with pytest.raises(TaskAwaitingInput) as waits:
        run_task(operator)
    return waits.value


def answered(operator: KimiBatchOperator, waits: TaskAwaitingInput, event: Mapping[str, Any]) -> Attempt:
    """Resume a task as Airflow does once the question is answered."""
    kwargs = json.loads(json.dumps(waits.kwargs))
    return resume_task(operator, event, kwargs=kwargs, method=waits.method_name)


def run_to_end_approved(operator: KimiBatchOperator) -> Any:
    """Run a task, approve it, and return its manifest."""
    return resume_to_end(operator, answered(operator, parked(operator), APPROVED)).value


def names(sim: KimiSimulator) -> list[str]:
    return [call.name for call in sim.journal]


def test_nothing_is_uploaded_before_a_person_has_approved_and_then_the_job_is_done(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = job(tmp_path, approve_over=0.06, approval_timeout=timedelta(hours=2))
    waits = parked(operator)
    assert not PAYING & set(names(sim))
    assert airflow.question is not None
    assert airflow.question.subject == "Pay up to 0.067 CNY for 40 rows?"
    assert airflow.question.options == ["Approve", "Reject"]
    body = airflow.question.body or ""
    assert "```text\nPositive or negative? review 0\n```" in body
    assert ("review 2" in body, "review 3" in body) == (True, False)
    assert waits.timeout == timedelta(hours=2)
    attempt = resume_to_end(operator, answered(operator, waits, APPROVED))
    assert attempt.value["counts"]["succeeded"] == 40
    assert names(sim).count("create_batch") == 1
    logged = capsys.readouterr().out
    assert "Approved by 'ada' (id '7')." in logged
    assert "Positive or negative?" not in logged


def test_a_rejected_job_uploads_nothing_and_is_skipped_by_name(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    operator = job(tmp_path)
    waits = parked(operator)
    asked = len(sim.journal)
    with pytest.raises(AirflowSkipException, match=r"Rejected by 'ada' \(id '7'\)\. Nothing was uploaded"):
        answered(operator, waits, REJECTED)
    assert len(sim.journal) == asked
    assert not PAYING & set(names(sim))


def test_a_job_that_nobody_has_approved_in_time_fails_whatever_its_retries(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    operator = job(tmp_path, retries=3)
    with pytest.raises(AirflowFailException, match="Nobody answered in approval_timeout. Nothing was uploaded"):
        answered(operator, parked(operator), {"error": "late", "error_type": "timeout"})
    assert not PAYING & set(names(sim))


@pytest.mark.parametrize("over", [0.07, "0.07", "{{ params.over }}", None])
def test_a_job_that_costs_no_more_asks_nobody(sim: KimiSimulator, tmp_path: Path, over: Any) -> None:
    run_task(job(tmp_path, approve_over=over), params={"over": 0.07})
    assert len(sim.batches) == 1


def test_a_job_without_a_known_price_is_asked_about(sim: KimiSimulator, airflow: Supervisor, tmp_path: Path) -> None:
    parked(job(tmp_path, model="kimi-k3", parameter_check="off", approve_over=5))
    assert airflow.question is not None
    assert airflow.question.subject == "Pay an unknown amount for 40 rows?"


def test_max_cost_refuses_before_a_person_is_asked(sim: KimiSimulator, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="more than max_cost"):
        run_task(job(tmp_path, max_cost=0.06))


def test_a_dry_run_asks_nobody(sim: KimiSimulator, tmp_path: Path) -> None:
    assert run_task(job(tmp_path, dry_run=True)).value["dry_run"] is True


def test_a_retry_after_an_approval_attaches_to_the_batch_and_asks_nobody(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    operator = job(tmp_path)
    answered(operator, parked(operator), APPROVED)
    again = run_to_end(operator, TaskInstanceRecord(task_id="job", try_number=2))
    assert again.value["counts"]["succeeded"] == 40
    assert len(sim.batches) == 1


def test_a_retry_that_finds_half_of_an_approved_job_submits_the_rest(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    operator = job(tmp_path, max_rows_per_batch=20)
    sim.inject("create_batch", status=400, skip=1, times=1)
    with pytest.raises(AirflowFailException, match="1 of the 2 batches of this task exist"):
        answered(operator, parked(operator), APPROVED)
    assert run_to_end(operator).value["counts"]["succeeded"] == 40
    assert len(sim.batches) == 2


def test_a_retry_that_finds_no_batch_asks_again_in_the_same_words(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    operator = job(tmp_path)
    sim.inject("upload_file", status=400, times=1)
    with pytest.raises(AirflowFailException):
        answered(operator, parked(operator), APPROVED)
    assert run_to_end_approved(operator)["counts"]["succeeded"] == 40


def test_an_input_that_has_grown_since_it_was_approved_is_asked_about_again(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = parked(job(tmp_path))
    with supervised(Supervisor()) as newest, pytest.raises(TaskAwaitingInput):
        answered(job(tmp_path, rows=50), waits, APPROVED)
    assert newest.question is not None
    assert "for 50 rows" in newest.question.subject
    assert (
        "The job is not the one that was approved. It costs more, or has another price, now: up to 0.08"
        in capsys.readouterr().out
    )
    assert not PAYING & set(names(sim))


def test_an_approved_job_is_sent_though_the_platform_counts_no_tokens_any_more(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = job(tmp_path)
    waits = parked(operator)
    sim.inject("estimate_tokens", status=400, times=99)
    answered(operator, waits, APPROVED)
    assert len(sim.batches) == 1
    assert "not the one that was approved" not in capsys.readouterr().out


def test_an_approval_in_one_currency_is_none_in_another(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    waits = parked(job(tmp_path))
    prices = {"currency": "USD", "date": "2026-09-01", "models": {"kimi-k2.6": {"input": 0.57, "output": 2.4}}}
    in_dollars = job(tmp_path, rows=60, price_list=prices)
    with supervised(Supervisor()) as newest, pytest.raises(TaskAwaitingInput):
        answered(in_dollars, waits, APPROVED)
    assert newest.question is not None
    assert "USD for 60 rows" in newest.question.subject
    assert not PAYING & set(names(sim))


def test_a_question_that_airflow_does_not_show_is_not_waited_for(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    """Airflow 3.3 shows a cleared task's first question; approved would be what nobody has read."""
    waits = parked(job(tmp_path))
    with pytest.raises(AirflowFailException, match="Airflow still shows an earlier question.*Start another run"):
        answered(job(tmp_path, rows=50), waits, APPROVED)
    assert not PAYING & set(names(sim))


def test_an_input_that_costs_no_more_than_what_was_approved_is_sent_with_a_warning(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = parked(job(tmp_path))
    smaller = job(tmp_path, rows=30)
    attempt = resume_to_end(smaller, answered(smaller, waits, APPROVED))
    assert attempt.value["counts"]["succeeded"] == 30
    assert "The job is not the one that was approved. It costs no more now" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [APPROVED, REJECTED])
def test_a_late_answer_to_a_question_of_an_earlier_try_does_not_end_the_wait_for_batches(
    connect: Connect, airflow: Supervisor, tmp_path: Path, answer: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Airflow 3.3 shows an open question while the task is deferred, and resumes the task with any answer."""
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        parked(job(tmp_path))
        cleared = job(tmp_path, approve_over=None, reuse="never", max_rows_per_batch=20, max_in_flight=1)
        waits = run_task(cleared).deferred
        assert waits is not None
        kwargs = json.loads(json.dumps(waits.kwargs))
        again = resume_task(cleared, answer, kwargs=kwargs, method=waits.method_name)
        assert again.deferred is not None
        assert again.deferred.trigger.serialize()[1]["batch_ids"] == waits.trigger.serialize()[1]["batch_ids"]
        assert names(sim).count("create_batch") == 1
    assert "'ada' (id '7') answered a question of an earlier try" in capsys.readouterr().out


def test_a_parked_task_cancels_nothing_though_it_is_to_cancel_when_it_fails(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parked(job(tmp_path, on_final_failure="cancel"))
    assert "was ended" not in capsys.readouterr().out


def test_a_job_that_is_approved_too_late_for_finish_by_is_not_sent(
    sim: KimiSimulator, airflow: Supervisor, tmp_path: Path
) -> None:
    waits = parked(job(tmp_path))
    with pytest.raises(AirflowFailException, match="too late for finish_by"):
        answered(job(tmp_path, finish_by=datetime.now(UTC) - timedelta(seconds=1)), waits, APPROVED)
    assert not PAYING & set(names(sim))


def test_the_limits_of_the_wait_for_batches_count_from_the_approval(
    connect: Connect, airflow: Supervisor, tmp_path: Path
) -> None:
    operator = job(tmp_path, execution_timeout=timedelta(seconds=60), timeout=60)
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        waits = parked(operator)
        time.sleep(1)
        approved_at = time.time()
        deferred = answered(operator, waits, APPROVED).deferred
    assert deferred is not None
    assert deferred.trigger.serialize()[1]["deadline"] > approved_at + 53.9


def test_a_decorated_function_is_approved_too(sim: KimiSimulator, airflow: Supervisor, tmp_path: Path) -> None:
    def rows(count: int) -> Iterator[dict[str, str]]:
        yield from ({"text": f"x{number}"} for number in range(count))

    asked: dict[str, Any] = {"prompt": "{text}", "output": f"{tmp_path}/out", "approve_over": 0, "poke_interval": 0.1}
    with DAG("approved", schedule=None):
        labels: Any = task.kimi_batch(**asked)(rows)(5)
    assert run_to_end_approved(labels.operator)["counts"]["succeeded"] == 5


@pytest.mark.parametrize("parameters", [{"approve_over": -1}, {"approve_over": "cheap"}, {"approval_timeout": 0}])
def test_a_wrong_value_is_refused_while_the_dag_is_parsed(tmp_path: Path, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))) as refused:
        job(tmp_path, **parameters)
    assert isinstance(refused.value, KimiInputError) or "approval_timeout" in parameters


def statuses(sim: KimiSimulator) -> list[str]:
    return [sim.status(batch_id) for batch_id in sim.batches]


def test_the_batches_of_an_earlier_input_are_cancelled_once_the_new_one_is_approved_and_not_before(
    connect: Connect, airflow: Supervisor, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, approve_over=None))
        operator = job(tmp_path, prompt="Good or bad? {text}", on_changed_input="cancel_and_fresh")
        waits = parked(operator)
        with pytest.raises(AirflowSkipException):
            answered(operator, waits, REJECTED)
        assert statuses(sim) == ["validating"]
        answered(operator, parked(operator), APPROVED)
        assert statuses(sim)[1:] == ["validating"]
        assert statuses(sim)[0] in ("cancelling", "cancelled")


def test_the_batches_of_an_earlier_input_go_on_if_the_new_one_may_cost_too_much(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, approve_over=None))
        changed = job(
            *(tmp_path, 40),
            prompt="Good or bad? {text}",
            on_changed_input="cancel_and_fresh",
            approve_over=None,
            max_cost=0.01,
        )
        with pytest.raises(AirflowFailException, match="more than max_cost"):
            run_task(changed)
        assert statuses(sim) == ["validating"]
        assert "cancel_batch" not in names(sim)
