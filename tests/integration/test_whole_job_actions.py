"""What a person does to the one task, in each state that it may be in: what is cancelled, and what a clear then pays.

A mark or a clear of a running task reaches its process as a signal, that of a deferred one its trigger. However it
goes, a clear comes to the same end: every row once, and none paid twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.airflow import WAITING_TRY_KEY
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.simulator.faults import CallName
from tests.conftest import Connect
from tests.support.killed import killed_once
from tests.support.real_airflow import wait_for
from tests.support.rounds import (
    BROKEN,
    YES,
    Model,
    check_sums,
    ended,
    job,
    letters,
    lines_in,
    manifest,
    results,
    tries,
)
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import Attempt, TaskInstanceRecord, resume_task, run_task

ROWS = 8
SLOW = Timing(validating_seconds=1, working_seconds=100, finalizing_seconds=1, cancelling_seconds=1)

#: What the state of the task is behind each action.
STATES = {"mark success": "success", "mark failed": "failed", "clear": "restarting"}


@dataclass
class Life:
    """A task of two shards, a row of each of which has to be asked twice."""

    sim: KimiSimulator
    folder: Path
    attempt: Attempt = field(default_factory=lambda: Attempt(TaskInstanceRecord(task_id="job")))

    def task(self, **parameters: Any) -> KimiBatchOperator:
        """The task as another process has it."""
        return job(self.folder, ROWS, sim=self.sim, max_rows_per_batch=ROWS // 2, **parameters)

    def calls(self, name: str) -> int:
        """How often the platform was called so."""
        return [call.name for call in list(self.sim.journal)].count(name)

    def start(self) -> None:
        """Run the task until it is deferred in the first round."""
        self.attempt = run_task(self.task(), self.attempt.ti)
        assert self.attempt.deferred is not None

    def resume(self) -> None:
        """Resume it once its batches have ended, until it is deferred again."""
        event, kwargs = self.event()
        self.attempt = resume_task(self.task(), event, ti=self.attempt.ti, kwargs=kwargs)

    def resume_to_the_end(self) -> None:
        """Resume it as often as it is deferred."""
        while self.attempt.deferred is not None:
            self.resume()

    def event(self) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """What resumes it, once its batches have ended."""
        assert self.attempt.deferred is not None
        self.sim.advance(200)
        waited = self.attempt.deferred.trigger.serialize()[1]["batch_ids"]
        return ended(waited, 1).to_dict(), self.attempt.deferred.kwargs or {}

    def strike_process(self, state: str, call: CallName, *, first: bool) -> None:
        """Let Airflow end the process while a call is under way; it is killed soon after."""
        self.sim.inject(call, hang_seconds=0.3, accepted=True)
        before, task = self.calls(call), self.task()
        context: Any = {"ti": self.attempt.ti}
        task.render_template_fields(context)
        event = None if first else self.event()
        with (
            supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})),
            killed_once(task, lambda: self.calls(call) > before),
            pytest.raises(KimiError),
        ):
            task.execute(context) if event is None else task.execute_complete(context, event[0], **event[1])

    def strike_trigger(self, state: str) -> None:
        """Let Airflow end the trigger, half of the rows being done."""
        self.sim.advance(51)
        assert self.attempt.deferred is not None
        trigger: Any = self.attempt.deferred.trigger
        trigger.task_instance = self.attempt.ti
        with supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})):
            asyncio.run(trigger.on_kill())

    def statuses(self) -> list[str]:
        """How the batches stand."""
        return [self.sim.status(batch_id).replace("cancelling", "cancelled") for batch_id in self.sim.batches]

    def clear(self, number: int = 2) -> dict[str, Any]:
        """Clear the task, and let it come to its end."""
        found: dict[str, Any] = tries(self.task(), self.sim, number).value
        return found


def submitting(life: Life, state: str) -> None:
    life.strike_process(state, "create_batch", first=True)


def in_round_1(life: Life, state: str) -> None:
    life.start()
    life.strike_trigger(state)


def landing(life: Life, state: str) -> None:
    life.start()
    life.strike_process(state, "download_file", first=False)


def asking_again(life: Life, state: str) -> None:
    life.start()
    life.strike_process(state, "create_batch", first=False)


def in_round_2(life: Life, state: str) -> None:
    life.start()
    life.resume()
    life.strike_trigger(state)


MOMENTS: Mapping[str, Callable[[Life, str], None]] = {
    "it submits": submitting,
    "it waits in round 1": in_round_1,
    "it lands round 1": landing,
    "it asks again": asking_again,
    "it waits in round 2": in_round_2,
}

#: The batches that there are then, and how many of them run and so are cancelled by a failed mark.
BATCHES = {
    "it submits": (1, 1),
    "it waits in round 1": (2, 2),
    "it lands round 1": (2, 0),
    "it asks again": (3, 1),
    "it waits in round 2": (4, 2),
}


@pytest.fixture
def life(connect: Connect, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A life whose clock stands still, or runs as fast as the parameter says."""
    model = Model(lambda row, times, body: BROKEN if row in ("r1", "r5") and times == 1 else YES)
    with KimiSimulator(speed=getattr(request, "param", 0), timing=SLOW, responder=model) as sim:
        connect(sim)
        yield Life(sim, tmp_path)


def check_end(life: Life, found: Mapping[str, Any]) -> None:
    """Every row is there once, and has one usable answer that is paid."""
    assert found["counts"]["succeeded"] == ROWS
    check_sums(found, ROWS)
    assert [*results(life.folder)] == [f"r{number}" for number in range(ROWS)]
    assert letters(life.folder) == []
    assert paid(life.sim) == Counter(f"r{number}" for number in range(ROWS))


def paid(sim: KimiSimulator) -> Counter[str]:
    """How many answers of each row the platform has."""
    files = [batch.output_file_id for batch in sim.batches.values()]
    return Counter(line["custom_id"] for file_id in files if file_id for line in lines_in(sim, file_id))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("action", STATES)
def test_an_action_cancels_what_it_should_and_a_clear_then_pays_each_row_once(
    life: Life, action: str, moment: str
) -> None:
    MOMENTS[moment](life, STATES[action])
    made, running = BATCHES[moment]
    cancelled = running if action == "mark failed" else 0
    assert len(life.sim.batches) == made
    assert life.statuses().count("cancelled") == life.calls("cancel_batch") == cancelled
    check_end(life, life.clear())
    assert life.calls("cancel_batch") == cancelled
    before = list(life.sim.batches)
    check_end(life, life.clear(3))
    assert list(life.sim.batches) == before, "a clear after the success pays nothing"


def cancelled_by_a_person(life: Life) -> None:
    """Cancel the newest batch on the platform's own pages, half of its rows being done."""
    life.sim.advance(51)
    KimiHook().cancel_batch(list(life.sim.batches)[-1])
    life.sim.advance(10)


def in_its_create(life: Life) -> None:
    """The second create is under way, the batch of the first is cancelled."""
    life.sim.inject("create_batch", hang_seconds=0.3, skip=1)

    def cancel() -> None:
        wait_for(lambda: life.calls("create_batch") == 2, "no second create", pause=0.01)
        cancelled_by_a_person(life)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(cancel)
        life.start()
        done.result()


def in_the_first_wait(life: Life) -> None:
    life.start()
    cancelled_by_a_person(life)


def in_the_second_wait(life: Life) -> None:
    life.start()
    life.resume()
    cancelled_by_a_person(life)


@pytest.mark.parametrize("cancelled", [in_its_create, in_the_first_wait, in_the_second_wait])
def test_a_cancel_by_a_person_fails_the_task_and_a_clear_asks_for_the_rest(
    life: Life, cancelled: Callable[[Life], None]
) -> None:
    cancelled(life)
    with pytest.raises(KimiBatchError, match="Clear this task to ask only for the rows without an answer"):
        life.resume_to_the_end()
    assert (life.statuses().count("cancelled"), life.calls("cancel_batch")) == (1, 1)
    assert manifest(life.folder)["counts"]["total"] == ROWS, "what was answered is landed"
    assert life.attempt.ti.xcoms["manifest"]["counts"]["succeeded"] < ROWS, "what is spent is known"
    check_end(life, life.clear())
    assert life.calls("cancel_batch") == 1


@pytest.mark.parametrize("moment", [in_round_1, in_round_2])
def test_a_run_that_was_deleted_and_is_triggered_again_by_its_id_goes_on_with_its_batches(
    life: Life, moment: Callable[[Life, str], None]
) -> None:
    """Nothing is left of it but the batches."""
    moment(life, "failed")
    life.attempt.ti.xcoms.clear()
    check_end(life, life.clear(1))


def test_a_run_of_another_id_neither_shares_nor_cancels_the_batches_of_a_deleted_one(life: Life) -> None:
    life.start()
    other = TaskInstanceRecord(task_id="job", run_id="another")
    attempt = tries(life.task(), life.sim, ti=other)
    assert attempt.value["counts"]["succeeded"] == ROWS
    assert life.calls("cancel_batch") == 0
    assert len(life.sim.batches) == 2 + 4


@pytest.mark.parametrize("life", [100], indirect=True)
@pytest.mark.parametrize(
    ("action", "in_round"),
    [
        ("mark failed", 2),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in product(STATES, (1, 2))
            if case != ("mark failed", 2)
        ),
    ],
)
def test_an_action_on_a_task_that_waits_in_its_worker_cancels_what_it_should(
    life: Life, action: str, in_round: int
) -> None:
    state, task = STATES[action], life.task(deferrable=False)
    context: Any = {"ti": life.attempt.ti}
    task.render_template_fields(context)

    def is_waiting() -> bool:
        return len(life.attempt.ti.xcoms.get("batch_ids", ())) == 2 * in_round

    with (
        supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})),
        killed_once(task, is_waiting),
        suppress(KimiError, AirflowException),
    ):
        task.execute(context)
    assert life.statuses()[-2:].count("cancelled") == (2 if action == "mark failed" else 0)
    check_end(life, life.clear())
