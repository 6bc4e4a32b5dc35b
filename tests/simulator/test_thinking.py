"""What thinking does not go together with; such a row fails alone."""

from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.simulator.thinking import conflict
from tests.simulator.conftest import Start
from tests.simulator.wire import HELLO, call, finish, line, rows_of

ON = {"thinking": {"type": "enabled"}}
OFF = {"thinking": {"type": "disabled"}}
CODE = {"model": "kimi-k2.7-code"}

CLASHING = [
    pytest.param({**ON, "reasoning_effort": "low"}, "reasoning_effort", id="two ways to say how hard to think"),
    pytest.param({**OFF, "reasoning_effort": "low"}, "reasoning_effort", id="an effort of not thinking"),
    pytest.param({"tool_choice": "required"}, "tool_choice", id="a forced tool while thinking by default"),
    pytest.param({**ON, "tool_choice": "required"}, "tool_choice", id="a forced tool while thinking"),
    pytest.param({**CODE, "tool_choice": "required"}, "tool_choice", id="a forced tool on a thinking model"),
    pytest.param({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "'specified'", id="a named tool"),
    pytest.param({"max_completion_tokens": "64"}, "max_completion_tokens", id="a cap as text"),
    pytest.param({"max_tokens": 0}, "max_tokens", id="a cap of nothing"),
    pytest.param({**CODE, **OFF}, "kimi-k2.7-code", id="no thinking on a thinking model"),
]
FINE = [
    *(ON, OFF, {"reasoning_effort": "low"}, {"thinking": None, "reasoning_effort": "low"}),
    *({**ON, "reasoning_effort": None}, {**OFF, "tool_choice": "required"}, {"tool_choice": "auto"}),
    *({**CODE, **ON}, CODE, {"thinking": "disabled"}, {}),
]


@pytest.mark.parametrize(("extras", "reason"), CLASHING)
class TestParametersThatClash:
    def test_parameters_that_clash_fail_their_own_row_only(
        self, start: Start, extras: dict[str, Any], reason: str
    ) -> None:
        sim, client = start()
        model = {"model": extras.get("model", "kimi-k2.6")}
        batch = finish(sim, client, line("good", model), line("bad", extras))
        assert batch.status == "completed"
        assert [row["custom_id"] for row in rows_of(sim, batch.output_file_id)] == ["good"]
        (bad,) = rows_of(sim, batch.error_file_id)
        assert (bad["custom_id"], bad["error"]["code"]) == ("bad", "invalid_request_error")
        assert reason in bad["error"]["message"]

    def test_parameters_that_clash_are_a_400_where_errors_are_shown_as_responses(
        self, start: Start, extras: dict[str, Any], reason: str
    ) -> None:
        sim, client = start(error_shape="response")
        (bad,) = rows_of(sim, finish(sim, client, line("bad", extras)).error_file_id)
        assert bad["response"]["status_code"] == 400
        assert reason in bad["response"]["body"]["error"]["message"]

    def test_parameters_that_clash_are_refused_by_a_chat_call(
        self, lasting: KimiSimulator, extras: dict[str, Any], reason: str
    ) -> None:
        fields = {"model": "kimi-k2.6", "messages": HELLO, **extras}
        status, error_type, message = call(lasting, "POST", "/chat/completions", fields).error
        assert (status, error_type) == (400, "invalid_request_error")
        assert reason in message


@pytest.mark.parametrize("extras", FINE, ids=str)
def test_parameters_that_do_not_clash_are_accepted(extras: dict[str, Any]) -> None:
    assert conflict({"model": "kimi-k2.6", "messages": HELLO, **extras}) is None
