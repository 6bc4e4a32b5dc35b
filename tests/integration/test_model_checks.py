"""Models and parameters that the platform would refuse after it has accepted the batch."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, write_jsonl
from tests.support.tasks import Attempt, run_task

pytestmark = pytest.mark.usefixtures("hook")

SAMPLING = {"temperature": 0.2, "top_p": 0.5}


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", **parameters))


def refusal_of(**parameters: Any) -> str:
    """Create what is refused for good, and return what is said."""
    with pytest.raises(AirflowFailException) as caught:
        create(**parameters)
    assert "Nothing was sent." in str(caught.value)
    return str(caught.value)


def uploaded_body(sim: KimiSimulator) -> dict[str, Any]:
    """The body in the one line of the one uploaded input file."""
    (file_id,) = sim.file_ids("batch")
    body: dict[str, Any] = json.loads(sim.file_content(file_id))["body"]
    return body


@pytest.mark.parametrize("model", ["moonshot-v1-8k", "kimi-k2.5", "kimi-k2-0905-preview", "kimi-latest"])
def test_a_retired_model_is_refused_with_its_date_before_the_first_call(sim: KimiSimulator, model: str) -> None:
    message = refusal_of(input=["hi"], model=model)
    assert f"Model {model!r} was retired on " in message
    assert "Models that can be batched: kimi-k2.6, kimi-k2.7-code." in message
    assert sim.journal == []


def test_a_retired_model_is_found_in_ready_requests_too(sim: KimiSimulator, tmp_path: Path) -> None:
    body = {"model": "kimi-k2.5", "messages": [{"role": "user", "content": "hi"}]}
    source = write_jsonl(tmp_path / "in.jsonl", [request(body=body)])
    assert "Model 'kimi-k2.5' was retired" in refusal_of(input=source)
    assert sim.journal == []


def test_a_retired_model_is_sent_if_nothing_is_to_be_checked(sim: KimiSimulator) -> None:
    create(input=["hi"], model="kimi-k2.5", parameter_check="off")
    assert uploaded_body(sim)["model"] == "kimi-k2.5"
    assert "list_models" not in [call.name for call in sim.journal]


def test_an_unknown_model_is_refused_with_the_nearest_that_there_are(sim: KimiSimulator) -> None:
    message = refusal_of(input=["hi"], model="kimi-k2.7-cod")
    assert "Model 'kimi-k2.7-cod' is not among the 4 models" in message
    assert "The nearest: kimi-k2.7-code, " in message
    assert [call.name for call in sim.journal] == ["list_batches", "list_models"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404}, {"drop": True}])
def test_an_unknown_model_goes_on_with_a_warning_if_the_list_cannot_be_read(
    sim: KimiSimulator, hook: KimiHook, fault: dict[str, Any]
) -> None:
    sim.inject("list_models", **fault)
    log = LogRecord()
    submit(hook, order(["hi"], model="kimi-k9"), ATTEMPT, log)
    assert any("Whether the platform has model 'kimi-k9' could not be asked" in line for line in log.warnings)
    assert len(sim.batches) == 1


def test_a_parameter_that_the_model_refuses_is_taken_out_if_the_user_says_so(sim: KimiSimulator) -> None:
    create(input=["hi"], request_params={**SAMPLING, "max_completion_tokens": 8000}, parameter_check="drop")
    assert uploaded_body(sim) == {
        "model": "kimi-k2.6",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 8000,
    }


def test_a_parameter_is_taken_out_of_ready_requests_and_nothing_else_of_them(
    sim: KimiSimulator, tmp_path: Path
) -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "好 \u2028"}], "stop": ["x"]}
    source = write_jsonl(tmp_path / "in.jsonl", [request(body={**body, **SAMPLING})])
    create(input=source, parameter_check="drop")
    assert uploaded_body(sim) == body


def test_a_parameter_that_is_taken_out_is_logged(hook: KimiHook, tmp_path: Path) -> None:
    rules = ParameterRules("drop")
    log = LogRecord()
    submit(hook, order(["hi"], request_params={"top_p": 1}, rules=rules), ATTEMPT, log)
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}], "n": 1}
    ready = write_jsonl(tmp_path / "in.jsonl", [request("a", body=body), request("b"), request("c", body=body)])
    submit(hook, order(ready, rules=rules, reuse="never"), ATTEMPT, log)
    assert "'top_p' is taken out of every request, because the model does not take it" in log.warnings
    assert "2 rows: 'n' is taken out, because the model does not take it" in log.warnings


def test_a_parameter_that_the_model_refuses_is_sent_if_the_user_says_so(sim: KimiSimulator) -> None:
    create(input=["hi"], request_params=SAMPLING, parameter_check="off")
    assert uploaded_body(sim).items() >= SAMPLING.items()


def test_a_parameter_is_sent_if_a_rule_of_the_user_lifts_the_published_one(sim: KimiSimulator) -> None:
    create(input=["hi"], request_params=SAMPLING, parameter_rules={"*": {"temperature": None, "top_p": None}})
    assert uploaded_body(sim).items() >= SAMPLING.items()


@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
def test_thinking_is_asked_for_in_every_request(sim: KimiSimulator, thinking: Any) -> None:
    create(input=["hi"], thinking=thinking)
    assert uploaded_body(sim)["thinking"] == {"type": thinking}


def test_thinking_is_left_to_the_model_if_it_is_not_given(sim: KimiSimulator) -> None:
    create(input=["hi"])
    assert "thinking" not in uploaded_body(sim)


def test_thinking_cannot_be_turned_off_if_the_model_always_thinks(sim: KimiSimulator) -> None:
    message = refusal_of(input=["hi"], model="kimi-k2.7-code", thinking="disabled")
    assert "this model always thinks" in message
    assert sim.journal == []


def test_thinking_beside_a_forced_tool_call_is_refused(sim: KimiSimulator) -> None:
    assert "turn thinking off" in refusal_of(input=["hi"], request_params={"tool_choice": "required"})
    create(input=["hi"], request_params={"tool_choice": "required"}, thinking="disabled")
    assert uploaded_body(sim)["tool_choice"] == "required"


def test_thinking_with_a_small_cap_is_warned_of(hook: KimiHook) -> None:
    log = LogRecord()
    submit(hook, order(["hi"], request_params={"max_completion_tokens": 64}), ATTEMPT, log)
    assert any("max_completion_tokens covers thinking as well as the answer" in line for line in log.warnings)
