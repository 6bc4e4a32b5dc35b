"""A create that Airflow interrupts, as by execution_timeout: `on_final_failure` holds there too."""

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.submission.submit import submit
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order

SLOW = Timing(validating_seconds=600, working_seconds=3600)


class Interrupt(BaseException):
    """What Airflow raises anywhere when a task has taken too long: no Exception."""


class Interrupted(KimiHook):
    """Is interrupted in its second create, before or after the platform has done it."""

    def __init__(self, *, is_made: bool) -> None:
        super().__init__()
        self._is_made = is_made
        self._creates = 0

    def create_batch(self, *args: Any, **kwargs: Any) -> Any:
        self._creates += 1
        if self._creates == 1:
            return super().create_batch(*args, **kwargs)
        if self._is_made:
            super().create_batch(*args, **kwargs)
        raise Interrupt


def interrupted(
    sim: KimiSimulator, hook: KimiHook, policy: str, *, is_last: bool = True, killed: str = ""
) -> LogRecord:
    log = LogRecord()
    calls = Calls(hook, log, sim.advance)
    if killed:
        calls.stop.set(killed)
    wanted = order(["a", "b"], max_rows_per_batch=1, on_final_failure=policy)
    with pytest.raises(Interrupt):
        submit(calls, wanted, replace(ATTEMPT, is_last=is_last))
    return log


@pytest.mark.parametrize("is_made", [True, False], ids=["the create was carried out", "the create was not carried out"])
def test_a_create_that_is_interrupted_for_good_cancels_what_exists_if_asked_to(connect: Connect, is_made: bool) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        connect(sim)
        log = interrupted(sim, Interrupted(is_made=is_made), "cancel")
        assert len(sim.batches) == 1 + is_made
        assert {sim.status(batch_id) for batch_id in sim.batches} == {"cancelling"}
        assert any("What ran was cancelled, as on_final_failure asks" in line for line in log.warnings)


@pytest.mark.parametrize(
    ("policy", "is_last"), [("keep", True), ("cancel", False)], ids=["on_final_failure is keep", "retries are left"]
)
def test_a_create_that_is_interrupted_keeps_what_exists_otherwise(connect: Connect, policy: str, is_last: bool) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        connect(sim)
        interrupted(sim, Interrupted(is_made=True), policy, is_last=is_last)
        assert {sim.status(batch_id) for batch_id in sim.batches} == {"validating"}


def test_a_batch_in_a_status_that_nobody_documents_is_cancelled_with_the_others(connect: Connect) -> None:
    class Paused(Interrupted):
        def create_batch(self, *args: Any, **kwargs: Any) -> Any:
            from msgspec.structs import replace as changed

            return changed(super().create_batch(*args, **kwargs), status="paused")

    with KimiSimulator(speed=0, timing=SLOW) as sim:
        connect(sim)
        interrupted(sim, Paused(is_made=False), "cancel")
        assert [sim.status(batch_id) for batch_id in sim.batches] == ["cancelling"]
