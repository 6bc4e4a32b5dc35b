"""Parameters that cost money or rows on the real platform, from the operator to the landed row."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, write_jsonl
from tests.support.tasks import run_task


def test_answers_that_thinking_starves_are_warned_of_and_never_counted_as_labels(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    log = LogRecord()
    wanted = order(["good", "bad"], request_params={"max_completion_tokens": 1024})
    submission = submit(hook, wanted, ATTEMPT, log)
    assert "max_completion_tokens covers thinking as well as the answer, and is below 4,096" in str(log.warnings)
    sim.advance(60)
    landed = land(hook, tmp_path, submission.batch_ids)
    assert landed.statuses == {"truncated": 2}
    assert landed.manifest["usage"]["completion_tokens"] == 2048, "they are billed"


def test_ready_requests_whose_answers_thinking_may_starve_are_counted(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 512}
    ready = write_jsonl(tmp_path / "in.jsonl", [request(f"r{n}", body=body) for n in range(3)])
    log = LogRecord()
    submit(hook, order(ready), ATTEMPT, log)
    assert "3 rows: max_tokens covers thinking" in str(log.warnings)


def test_a_small_cap_does_not_matter_without_thinking(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    log = LogRecord()
    wanted = order(["good"], thinking="disabled", request_params={"max_completion_tokens": 64})
    submission = submit(hook, wanted, ATTEMPT, log)
    assert "covers thinking" not in str(log.warnings)
    sim.advance(60)
    assert land(hook, tmp_path, submission.batch_ids).statuses == {"succeeded": 1}


def test_thinking_beside_reasoning_effort_is_refused_in_parameters(sim: KimiSimulator, hook: KimiHook) -> None:
    wanted = order(["hi"], thinking="enabled", request_params={"reasoning_effort": "low"})
    with pytest.raises(KimiInputError, match="'reasoning_effort' beside 'thinking'"):
        submit(hook, wanted, ATTEMPT, LogRecord())
    assert not sim.journal


def test_thinking_beside_reasoning_effort_is_refused_in_ready_requests(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    body: dict[str, Any] = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
    body |= {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}
    ready = write_jsonl(tmp_path / "in.jsonl", [request("a"), request("b", body=body)])
    with pytest.raises(KimiInputError, match=r"line 2 \(custom_id 'b'\) sets 'reasoning_effort' beside"):
        submit(hook, order(ready), ATTEMPT, LogRecord())
    assert not sim.journal


PROMPTS = tuple(f"Is review {number} good?" for number in range(50_000))


def test_a_list_of_50_000_prompts_is_refused_with_advice(sim: KimiSimulator, hook: KimiHook) -> None:
    """As an argument they would be stored with every run."""
    with pytest.raises(KimiInputError, match=r"50,000 elements and over 1,000,000 bytes.*give its URI, or give a"):
        submit(hook, order(list(PROMPTS)), ATTEMPT, LogRecord())
    assert not sim.journal


@pytest.mark.usefixtures("hook")
def test_50_000_prompts_of_a_function_are_submitted(sim: KimiSimulator) -> None:
    attempt = run_task(KimiCreateBatchOperator(task_id="create", input=lambda: PROMPTS))
    assert attempt.ti.xcoms["request_count"] == 50_000
