"""Parameters of waits: a wrong one is refused while the DAG file is parsed, in words."""

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.triggers.outside import KimiBatchEndedTrigger


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"on_incomplete": "ignore"}, "on_incomplete is 'ignore'"),
        ({"timeout": 0}, "timeout is 0; give seconds or a timedelta above zero"),
        ({"timeout": -1, "on_timeout": "cancel"}, "timeout is -1"),
        ({"timeout": "3600"}, "timeout is '3600'"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"poke_interval": 0}, "poke_interval is 0"),
        ({"poke_interval": timedelta(0)}, "poke_interval is datetime.timedelta"),
        ({"stall_timeout": None}, "stall_timeout is None"),
        ({"cancel_on_kill": "False"}, "cancel_on_kill is 'False'; it may be one of True, False"),
        ({"deferrable": "false"}, "deferrable is 'false'"),
    ],
)
def test_a_wrong_parameter_is_refused_when_the_dag_is_parsed(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        KimiBatchSensor(task_id="wait", batch_id="batch_1", **parameters)


@pytest.mark.parametrize("poll_interval", [0, -1, "10", True])
def test_so_is_one_of_the_asset_watcher(poll_interval: Any) -> None:
    """It would fail in the triggerer, again and again, where nobody sees it."""
    with pytest.raises(ValueError, match="poll_interval is"):
        KimiBatchEndedTrigger(poll_interval=poll_interval)


def test_an_interval_of_the_asset_watcher_may_be_a_timedelta() -> None:
    assert KimiBatchEndedTrigger(poll_interval=timedelta(minutes=1)).serialize()[1]["poll_interval"] == 60
