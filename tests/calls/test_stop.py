"""A task that is being ended starts nothing that costs money."""

import pytest

from airflow_provider_kimi.calls.stop import Stop
from airflow_provider_kimi.exceptions import KimiStoppedError


def test_a_task_that_nobody_ends_goes_on() -> None:
    stop = Stop()
    stop.check()
    assert not stop.is_set


def test_a_task_that_is_ended_is_told_why_and_what_it_has_made() -> None:
    stop = Stop()
    stop.note("batch_1")
    stop.note("batch_2")
    stop.set("it was marked failed")
    stop.set("its worker ends")
    with pytest.raises(KimiStoppedError) as caught:
        stop.check()
    message = str(caught.value)
    assert message.startswith("The task is being ended: it was marked failed. Nothing more was uploaded or created.")
    assert "It has made batch_1, batch_2;" in message
    assert stop.made == ("batch_1", "batch_2")


def test_a_batch_that_was_made_after_the_end_began_is_remembered_too() -> None:
    stop = Stop()
    stop.set("it was marked failed")
    stop.note("batch_1")
    assert stop.made == ("batch_1",)
