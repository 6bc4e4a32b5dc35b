"""A task that an earlier version has deferred resumes on this one.

`records/deferrals/` holds, for each version, what Airflow's database kept of a task of each kind while it was deferred.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.providers.common.compat.module_loading import import_string
from airflow.providers.common.compat.sdk import DAG, BaseOperator, task

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiCancelBatchOperator
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.triggers.ended_batches import KimiBatchEndedTrigger
from tests.conftest import Connect
from tests.support.rounds import Model, failing
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import Attempt, resume_task, run_task
from tests.support.triggers import created, fired
from tests.support.versions import needs_airflow

RECORDS = Path(__file__).parents[1] / "records"
DEFERRALS = RECORDS / "deferrals"
VERSIONS = sorted(path.stem for path in DEFERRALS.glob("*.json"))
TIMING = Timing(validating_seconds=1, working_seconds=60, finalizing_seconds=1)
COMMON: dict[str, Any] = {"prompt": "Positive or negative? {text}", "key_column": "id", "poke_interval": 0.1}


@dataclass(frozen=True)
class Case:
    """One kind of deferral: the task, and what its last half returns.

    :param rounds: In which of its waits the task is deferred.
    :param behaviour: Of the platform.
    :param batches: How many there are in the end, those of others with them.
    """

    make: Callable[[Path], BaseOperator]
    landed: Callable[[Any], bool] = lambda manifest: manifest["counts"]["succeeded"] == 3
    rounds: int = 1
    behaviour: Behaviour = Behaviour()
    batches: int = 1

    def begun(self, sim: KimiSimulator, operator: BaseOperator) -> Attempt:
        """Run the task until it is deferred in this way."""
        attempt = run_task(operator)
        for _ in range(1, self.rounds):
            attempt = resumed(sim, operator, row_of(attempt), attempt)
        return attempt


def rows() -> list[dict[str, str]]:
    return [{"id": f"r{n}", "text": f"review {n}"} for n in range(3)]


def job(folder: Path, **parameters: Any) -> KimiBatchOperator:
    return KimiBatchOperator(task_id="label", input=rows(), output=f"{folder}/out", **COMMON, **parameters)


def decorated(folder: Path) -> BaseOperator:
    with DAG("reviews"):
        made: Any = task.kimi_batch(task_id="label", output=f"{folder}/out", **COMMON)(rows)()
    operator: BaseOperator = made.operator
    return operator


def batch_ids() -> list[str]:
    return created(KimiHook(), 2)


def job_without_room(folder: Path) -> BaseOperator:
    created(KimiHook(), 1)
    return job(folder)


CASES = {
    "sensor": Case(
        lambda folder: KimiBatchSensor(task_id="wait", batch_id=batch_ids(), poke_interval=0.1),
        lambda value: len(value) == 2,
        batches=2,
    ),
    "cancel": Case(
        lambda folder: KimiCancelBatchOperator(task_id="cancel", batch_id=batch_ids(), poll_interval=0.1),
        lambda value: set(value.values()) == {"cancelled"},
        batches=2,
    ),
    "one task": Case(job),
    "one task that finishes by a time": Case(lambda folder: job(folder, finish_by=timedelta(hours=20))),
    "one task that creates batches in turns": Case(
        lambda folder: job(folder, max_in_flight=1, pilot_rows=1), batches=2
    ),
    "decorator": Case(decorated),
    "one task in its second round": Case(lambda folder: job(folder, max_rounds=2), rounds=2, batches=2),
    "one task that has no batch yet": Case(job_without_room, behaviour=Behaviour(max_active_batches=1), batches=2),
    "preview": Case(
        lambda folder: job(folder, preview_rows=2), lambda table: (table["rows"], table["whole_rows"]) == (2, 3)
    ),
}

#: What is stored of tasks that wait for a person, and of asset watchers; they have tests of their own.
OTHERS = {"approval", "watcher"}


@pytest.fixture
def kind() -> str:
    return "sensor"


@pytest.fixture
def sim(connect: Connect, kind: str) -> Iterator[KimiSimulator]:
    responder = Model(failing(1)) if CASES[kind].rounds > 1 else None
    with KimiSimulator(timing=TIMING, behaviour=CASES[kind].behaviour, responder=responder) as sim:
        connect(sim)
        yield sim


def kept(version: str) -> dict[str, dict[str, Any]]:
    stored: dict[str, dict[str, Any]] = json.loads((DEFERRALS / f"{version}.json").read_text())
    return stored


STORED = [(version, kind) for version in VERSIONS for kind in kept(version) if kind in CASES]


def through_database(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Encrypt and decrypt arguments as Airflow does on their way through its database."""
    return Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(dict(kwargs)))


def row_of(attempt: Attempt) -> dict[str, Any]:
    """What Airflow stores of a deferral."""
    assert attempt.deferred is not None
    classpath, arguments = attempt.deferred.trigger.serialize()
    stored = {"classpath": classpath, "kwargs": arguments, "next_method": attempt.deferred.method_name}
    row: dict[str, Any] = json.loads(json.dumps({**stored, "next_kwargs": dict(attempt.deferred.kwargs or {})}))
    return row


def with_values_of(stored: Any, now: Any) -> Any:
    """The names that were stored, with the ids and times of today where the name is still known."""
    if isinstance(stored, dict) and isinstance(now, dict):
        return {name: with_values_of(value, now.get(name, value)) for name, value in stored.items()}
    return now


def with_fields_of_tomorrow(row: Mapping[str, Any]) -> dict[str, Any]:
    """A deferral with a name that this version does not know, wherever there are names."""
    added = {"field_of_tomorrow": [1]}
    inner = {name: {**value, **added} for name, value in row["next_kwargs"].items() if isinstance(value, dict)}
    return {**row, "kwargs": {**row["kwargs"], **added}, "next_kwargs": {**row["next_kwargs"], **inner, **added}}


def names_in(value: Any, path: str = "") -> set[str]:
    """Every name in nested dicts, with the names above it."""
    if not isinstance(value, dict):
        return {path}
    return {path}.union(*(names_in(inner, f"{path}/{name}") for name, inner in value.items()))


def resumed(sim: KimiSimulator, operator: BaseOperator, row: Mapping[str, Any], first: Attempt) -> Attempt:
    """Rebuild the trigger of a row, wait with it until its batches have ended, and resume the task."""
    sim.advance(100)
    trigger = import_string(row["classpath"])(**through_database(row["kwargs"]))
    event = fired([trigger])[0].to_dict()
    method, kwargs = row["next_method"], through_database(row["next_kwargs"])
    return resume_task(operator, event, ti=first.ti, kwargs=kwargs, method=method)


@pytest.mark.parametrize(("version", "kind"), STORED)
def test_a_task_deferred_by_an_earlier_version_resumes_and_lands(
    sim: KimiSimulator, tmp_path: Path, kind: str, version: str
) -> None:
    operator = CASES[kind].make(tmp_path)
    attempt = CASES[kind].begun(sim, operator)
    row = with_values_of(kept(version)[kind], row_of(attempt))
    attempt = resumed(sim, operator, row, attempt)
    while attempt.deferred is not None:
        attempt = resumed(sim, operator, row_of(attempt), attempt)
    assert CASES[kind].landed(attempt.value)
    assert len(sim.batches) == CASES[kind].batches


@pytest.mark.parametrize(("version", "kind"), STORED)
def test_a_name_that_an_earlier_version_stored_in_a_deferral_is_still_written(
    sim: KimiSimulator, tmp_path: Path, kind: str, version: str
) -> None:
    now = row_of(CASES[kind].begun(sim, CASES[kind].make(tmp_path)))
    stored = kept(version)[kind]
    assert names_in(stored) <= names_in(now)
    assert (stored["classpath"], stored["next_method"]) == (now["classpath"], now["next_method"])


@pytest.mark.parametrize("kind", ["sensor", "cancel", "decorator", "one task that finishes by a time"])
def test_what_a_later_version_adds_to_a_deferral_is_ignored(sim: KimiSimulator, tmp_path: Path, kind: str) -> None:
    """A worker or a triggerer that is not upgraded yet goes on with it."""
    operator = CASES[kind].make(tmp_path)
    attempt = run_task(operator)
    row = with_fields_of_tomorrow(row_of(attempt))
    assert CASES[kind].landed(resumed(sim, operator, row, attempt).value)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_that_was_stored_for_a_task_is_a_parameter_of_what_resumes_it(version: str) -> None:
    """What is no parameter would be taken for a name of a later version, and ignored."""
    for row in kept(version).values():
        if names := row.get("next_kwargs"):
            parameters = signature(getattr(KimiBatchOperator, row["next_method"])).parameters
            assert names.keys() <= parameters.keys()


def test_every_kind_of_deferral_is_stored_and_resumed() -> None:
    assert {kind for version in VERSIONS for kind in kept(version)} == {*CASES, *OTHERS}


@needs_airflow(3, 3, "tasks that await an input without a triggerer")
def test_a_task_that_waits_for_a_person_goes_on_once_it_is_approved(sim: KimiSimulator, tmp_path: Path) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    operator = job(tmp_path, approve_over=0, request_params={"max_completion_tokens": 100}, thinking="disabled")
    with supervised(Supervisor()), pytest.raises(TaskAwaitingInput) as waits:
        run_task(operator)
    now = {"next_method": waits.value.method_name, "next_kwargs": waits.value.kwargs}
    row = kept("1.0.0")["approval"]
    assert (names_in(row), row["next_method"]) == (names_in(now), now["next_method"])
    assert not sim.batches
    answer: dict[str, Any] = {
        "chosen_options": ["Approve"],
        "params_input": {},
        "responded_by_user": None,
        "timedout": False,
    }
    later = with_fields_of_tomorrow({**row, "kwargs": {}})["next_kwargs"]
    attempt = resume_task(operator, answer, kwargs=through_database(later), method=row["next_method"])
    assert resumed(sim, operator, row_of(attempt), attempt).value["counts"]["succeeded"] == 3


@pytest.mark.parametrize("version", VERSIONS[:1])
def test_a_watcher_of_an_earlier_version_reports_batches_that_end(sim: KimiSimulator, version: str) -> None:
    row = kept(version)["watcher"]
    trigger: KimiBatchEndedTrigger = import_string(row["classpath"])(**through_database(row["kwargs"]))
    assert trigger.serialize() == (row["classpath"], row["kwargs"])
    (batch_id,) = created(KimiHook(), 1, {"team": "reviews"})

    def end_once_listed() -> None:
        while "list_batches" not in [call.name for call in sim.journal]:
            time.sleep(0.05)
        sim.advance(100)

    async def first_event() -> Any:
        event, _ = await asyncio.gather(anext(trigger.run()), asyncio.to_thread(end_once_listed))
        return event.payload

    assert [batch["batch_id"] for batch in asyncio.run(first_event())["batches"]] == [batch_id]


def test_arguments_that_are_stored_unencrypted_are_read_too() -> None:
    kwargs = kept("0.1.0")["sensor"]["kwargs"]
    assert Trigger._decrypt_kwargs(json.dumps(kwargs)) == kwargs == through_database(kwargs)


def test_an_event_of_an_earlier_version_says_what_it_said() -> None:
    event = (RECORDS / "samples" / "event.jsonl").read_text().splitlines()[0]
    assert BatchEvent.from_dict(through_database(json.loads(event))).outcome == "timed_out"
