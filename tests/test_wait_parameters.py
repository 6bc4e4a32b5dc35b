"""Parameters of waits: a wrong one is refused while the DAG file is parsed, in words."""

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_kimi.operators.batch import KimiCancelBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.triggers.ended_batches import KimiBatchEndedTrigger

SECONDS = "it must be seconds or a timedelta above zero"
FLAG = "it must be True or False"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"on_incomplete": "ignore"}, "on_incomplete is 'ignore'; it must be one of 'fail', 'continue'"),
        ({"on_timeout": "stop"}, "on_timeout is 'stop'; it must be one of 'keep', 'cancel'"),
        ({"on_final_failure": None}, "on_final_failure is None; it must be one of 'keep', 'cancel'"),
        ({"on_stall": True}, "on_stall is True; it must be one of 'keep', 'cancel', 'fail'"),
        ({"timeout": 0}, f"timeout is 0; {SECONDS}"),
        ({"timeout": -1, "on_timeout": "cancel"}, f"timeout is -1; {SECONDS}"),
        ({"timeout": "3600"}, f"timeout is '3600'; {SECONDS}"),
        ({"timeout": float("inf")}, f"timeout is inf; {SECONDS}"),
        ({"timeout": True}, f"timeout is True; {SECONDS}"),
        ({"poke_interval": 0}, f"poke_interval is 0; {SECONDS}"),
        ({"poke_interval": timedelta(0)}, r"poke_interval is datetime.timedelta\(0\)"),
        ({"stall_timeout": None}, f"stall_timeout is None; {SECONDS}"),
        ({"stall_timeout": "6h"}, f"stall_timeout is '6h'; {SECONDS}"),
        ({"cancel_on_kill": "no"}, f"cancel_on_kill is 'no'; {FLAG}"),
        ({"cancel_on_kill": "False"}, f"cancel_on_kill is 'False'; {FLAG}"),
        ({"deferrable": "false"}, f"deferrable is 'false'; {FLAG}"),
        ({"progress": "False"}, f"progress is 'False'; {FLAG}"),
        ({"progress": None}, f"progress is None; {FLAG}"),
    ],
)
def test_a_wrong_parameter_of_the_sensor_is_refused_at_parse(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KimiBatchSensor(task_id="wait", batch_id="batch_1", **parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"timeout": "1h"}, f"timeout is '1h'; {SECONDS}"),
        ({"timeout": -1}, f"timeout is -1; {SECONDS}"),
        ({"timeout": timedelta(hours=-1)}, r"timeout is datetime.timedelta\(.*\); it must be"),
        ({"timeout": None}, f"timeout is None; {SECONDS}"),
        ({"poll_interval": 0}, f"poll_interval is 0; {SECONDS}"),
        ({"poll_interval": "10"}, f"poll_interval is '10'; {SECONDS}"),
        ({"wait_for_termination": "False"}, f"wait_for_termination is 'False'; {FLAG}"),
        ({"deferrable": 0}, f"deferrable is 0; {FLAG}"),
    ],
)
def test_a_wrong_parameter_of_the_cancel_operator_is_refused_at_parse(parameters: dict[str, Any], message: str) -> None:
    """Not after the cancels were sent."""
    with pytest.raises(ValueError, match=message):
        KimiCancelBatchOperator(task_id="cancel", batch_id="batch_1", **parameters)


@pytest.mark.parametrize("poll_interval", [0, -1, "10", True, None])
def test_a_wrong_pause_of_the_asset_watcher_is_refused_at_parse(poll_interval: Any) -> None:
    """It would fail in the triggerer, again and again, where no user sees it."""
    with pytest.raises(ValueError, match=f"poll_interval is {poll_interval!r}; {SECONDS}"):
        KimiBatchEndedTrigger(poll_interval=poll_interval)


def test_a_pause_of_every_wait_may_be_a_timedelta() -> None:
    minute = timedelta(minutes=1)
    assert KimiBatchEndedTrigger(poll_interval=minute).serialize()[1]["poll_interval"] == 60
    assert KimiCancelBatchOperator(task_id="cancel", batch_id="b", poll_interval=minute).poll_interval == 60
    assert KimiBatchSensor(task_id="wait", batch_id="b", poke_interval=minute).poke_interval == 60


@pytest.mark.parametrize(
    "arguments", [{}, {"batch_ids": "batch_1"}, {"batch_ids": ["b"], "poll_interval": timedelta(minutes=1)}]
)
def test_a_trigger_refuses_arguments_that_it_cannot_read(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A trigger cannot read its arguments"):
        KimiBatchTrigger(**arguments)
