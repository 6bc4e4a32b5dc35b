"""The sweep of orphans lists doubles, whatever the list of batches leaves out, and cancels only what is idle."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.account.delete import delete_landed
from airflow_provider_kimi.account.orphans import Orphan, find_orphans, may_be_orphan, owner_of
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order, submit

#: What a stranger's batch may look like in the list.
ODD: list[dict[str, Any]] = [
    {"id": "batch_null", "status": None, "metadata": None, "input_file_id": None, "created_at": None},
    {"id": "batch_list", "status": "in_progress", "metadata": [], "request_counts": {"total": -3}},
    {"id": "batch_text", "status": 7, "metadata": "tags", "created_at": "yesterday", "output_file_id": []},
    {"status": "completed"},
]


@pytest.fixture
def doubled(connect: Connect) -> Iterator[tuple[KimiSimulator, KimiHook, list[str]]]:
    """A batch, its double, which was made late, and odd batches of strangers."""
    with KimiSimulator(speed=0) as sim:
        yield sim, connect(sim), made_twice(sim, connect(sim))


def made_twice(sim: KimiSimulator, hook: KimiHook) -> list[str]:
    (first,) = submit(hook, order(["a"]), Attempt(replace(TASK, run_id="r")), LogRecord()).batch_ids
    sim.advance(900)
    made = hook.get_batch(first)
    late = hook.create_batch(str(made.input_file_id), metadata=made.metadata).id
    for shape in ODD:
        sim.add_odd_batch(shape)
    return [first, late]


def orphans_of(hook: KimiHook, run_state: str) -> list[Orphan]:
    found = find_batches(Calls(hook, LogRecord()), lambda batch: owner_of(batch) is not None).batches
    return find_orphans(found, {owner: run_state for batch in found if (owner := owner_of(batch)) is not None})


def test_the_sweep_lists_the_double_of_a_successful_run_beside_odd_batches_of_strangers(
    doubled: tuple[KimiSimulator, KimiHook, list[str]],
) -> None:
    sim, hook, (first, late) = doubled
    sim.advance(60)
    (listed,) = orphans_of(hook, "success")
    assert (listed.batch_id, listed.double_of, listed.status, listed.completed) == (late, first, "completed", 1)


def test_the_sweep_leaves_a_double_alone_while_its_run_goes_on(
    doubled: tuple[KimiSimulator, KimiHook, list[str]],
) -> None:
    _, hook, (first, late) = doubled
    (listed,) = orphans_of(hook, "running")
    assert (listed.batch_id, listed.double_of, listed.running) == (late, first, True)
    assert not listed.takes("cancel", True)


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(list_created_at=False)], ids=["timed", "untimed"])
def test_the_sweep_finds_batches_although_the_list_leaves_out_when_they_were_created(
    connect: Connect, behaviour: Behaviour
) -> None:
    with KimiSimulator(speed=0, behaviour=behaviour) as sim:
        hook = connect(sim)
        ids = made_twice(sim, hook)
        calls = Calls(hook, LogRecord())
        since = sim.now() - 3600
        found = find_batches(calls, lambda batch: may_be_orphan(batch, since, None), since=since).batches
    assert {batch.id for batch in found} == set(ids)
    assert may_be_orphan(found[0], since, ["reviews"])
    assert not may_be_orphan(found[0], since, ["other"])


def test_odd_batches_of_strangers_stop_no_deletion(
    doubled: tuple[KimiSimulator, KimiHook, list[str]], tmp_path: Path
) -> None:
    sim, hook, (first, late) = doubled
    sim.advance(60)
    calls = Calls(hook, LogRecord(), sim.advance)
    delete_landed(calls, collect(calls, Landing([first], str(tmp_path), may_replace=False)))
    left = {file.id for file in hook.list_files()}
    assert left == {sim.batches[late].output_file_id}
