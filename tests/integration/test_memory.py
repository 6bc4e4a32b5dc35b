"""The task state store saves calls between attempts. The platform remains the record."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission import submit as flow
from airflow_provider_kimi.submission.job import Memory
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, no_pause, order


@dataclass
class Store:
    """Airflow's task state store: JSON values by key."""

    values: dict[str, Any] = field(default_factory=dict)
    broken: bool = False

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was kept."""
        if self.broken:
            raise RuntimeError("the store cannot be reached")
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        if self.broken:
            raise RuntimeError("the store cannot be reached")
        self.values[key] = value


def submit(hook: KimiHook, memory: Memory | None, number: int = 1, **changes: Any) -> list[str]:
    """One attempt at two batches."""
    wanted = order(["a", "b"], max_rows_per_batch=1, **changes)
    attempt = replace(ATTEMPT, number=number, mark=str(number))
    return flow.submit(Calls(hook, LogRecord(), no_pause), wanted, attempt, memory).batch_ids


def calls(sim: KimiSimulator) -> list[str]:
    return [call.name for call in sim.journal]


def test_a_retry_attaches_to_noted_batches_without_a_search(sim: KimiSimulator, hook: KimiHook) -> None:
    store = Store()
    first = submit(hook, store)
    before = len(sim.journal)
    assert submit(hook, store, 2) == first
    assert calls(sim)[before:] == ["get_batch", "get_batch"]


@pytest.mark.parametrize(
    "kept",
    ["nothing", "a note of another job", "batches of another job", "a value of another shape", "one batch of two"],
)
def test_the_platform_is_the_record_whatever_the_task_state_store_holds(
    sim: KimiSimulator, hook: KimiHook, kept: str
) -> None:
    """The note was deleted, or edited by hand."""
    store = Store()
    other = submit(hook, Store(), prompt=None, model="kimi-k2.7-code", reuse="never")
    first = submit(hook, store, 2, on_changed_input="fresh")
    note = store.values["kimi_job"]
    edited: dict[str, dict[str, Any]] = {
        "nothing": {},
        "a note of another job": {"kimi_job": {**note, "job": "0" * 32}},
        "batches of another job": {"kimi_job": {**note, "batches": dict(zip(note["batches"], other, strict=True))}},
        "a value of another shape": {"kimi_job": ["1/2", 7]},
        "one batch of two": {"kimi_job": {**note, "batches": {"1/2": first[0]}}},
    }
    store.values = edited[kept]
    assert submit(hook, store, 3) == first
    assert calls(sim).count("create_batch") == 4


def test_a_task_state_store_that_cannot_be_reached_stops_nothing(sim: KimiSimulator, hook: KimiHook) -> None:
    assert submit(hook, Store(broken=True)) == submit(hook, Store(broken=True), 2)
    assert len(sim.batches) == 2


def test_a_noted_batch_that_was_cancelled_is_submitted_again(sim: KimiSimulator, hook: KimiHook) -> None:
    store = Store()
    first = submit(hook, store)
    hook.cancel_batch(first[1])
    sim.advance(5)
    again = submit(hook, store, 2)
    assert (again[0], again[1] != first[1]) == (first[0], True)
    assert list(store.values["kimi_job"]["batches"].values()) == again


def test_nothing_is_paid_in_an_account_that_does_not_know_a_noted_batch(
    sim: KimiSimulator, hook: KimiHook, connect: Connect
) -> None:
    """The connection has a key of another organisation or region now. The batch runs under the old key."""
    store = Store()
    (first, _) = submit(hook, store)
    with KimiSimulator(speed=0) as elsewhere:
        other = connect(elsewhere)
        with pytest.raises(KimiBatchError, match=f"{first}.*is unknown to the account.*alive.*under another key") as no:
            submit(other, store, 2)
        assert no.value.retryable, "the key may be put right meanwhile"
        assert calls(elsewhere) == ["get_batch"] * 4
        assert len(submit(other, store, 3, reuse="never")) == 2, "reuse='never' pays again"


def test_fresh_work_does_not_attach_to_the_noted_batches_of_an_earlier_attempt(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    store = Store()
    first = submit(hook, store)
    fresh = submit(hook, store, 2, reuse="never")
    assert set(first).isdisjoint(fresh)
    assert submit(hook, store, 2, reuse="never") == fresh, "within one attempt it is found again"
    assert submit(hook, store, 3) == fresh
