"""Two landings into one directory: answers are deleted on the platform only by the one whose result is there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_kimi.account.delete import delete_landed
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Collected, Landing
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order, submit


def kept(hook: KimiHook) -> set[str]:
    return {file.id for file in hook.list_files()}


def batches_of(sim: KimiSimulator, hook: KimiHook, *tasks: str) -> list[list[str]]:
    ids = []
    for task in tasks:
        rows = [f"{task} {number}" for number in range(3)]
        ids.append(submit(hook, order(rows), Attempt(replace(TASK, task_id=task)), LogRecord()).batch_ids)
    sim.advance(60)
    return ids


def land(hook: KimiHook, folder: Path, ids: list[str], log: LogRecord | None = None) -> Collected:
    return collect(Calls(hook, log or LogRecord(), lambda seconds: None), Landing(ids, str(folder), may_replace=False))


def test_a_landing_whose_rows_another_one_has_replaced_deletes_nothing(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """The manifest is that of the first, the rows are those of the second, and both tasks go on to delete."""
    first_ids, second_ids = batches_of(sim, hook, "a", "b")
    before = kept(hook)
    first = land(hook, tmp_path / "one", first_ids)
    second = land(hook, tmp_path / "two", second_ids)
    for name in ("results.jsonl", "output.jsonl"):
        (tmp_path / "two" / name).replace(tmp_path / "one" / name)
    log = LogRecord()
    delete_landed(Calls(hook, log), first)
    delete_landed(Calls(hook, log), second)
    assert kept(hook) == before
    assert str(log.warnings).count("does not hold what this task landed") == 2
    assert land(hook, tmp_path / "one", first_ids).is_whole, "a clear lands it again"


def test_a_result_that_may_be_the_only_copy_is_not_replaced_by_another(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    first_ids, second_ids = batches_of(sim, hook, "a", "b")
    first = land(hook, tmp_path, first_ids)
    with pytest.raises(KimiInputError, match="which may be the only copy. It is kept, and nothing was landed"):
        land(hook, tmp_path, second_ids)
    delete_landed(Calls(hook, LogRecord()), first)
    batch = sim.batches[second_ids[0]]
    assert kept(hook) == {batch.output_file_id, batch.input_file_id}
    assert json.loads((tmp_path / "manifest.json").read_text())["batch_ids"] == first_ids


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def reverse(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


@pytest.mark.parametrize("name", ["results.jsonl", "output.jsonl", "manifest.json"])
@pytest.mark.parametrize("change", [Path.unlink, cut, reverse], ids=["deleted", "cut", "of the same size"])
def test_a_landed_file_that_is_no_longer_as_it_was_written_keeps_the_answers(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    (ids,) = batches_of(sim, hook, "a")
    before = kept(hook)
    landed = land(hook, tmp_path, ids)
    change(tmp_path / name)
    log = LogRecord()
    delete_landed(Calls(hook, log), landed)
    assert kept(hook) == before
    assert "does not hold what this task landed" in str(log.warnings)


def test_an_attempt_that_lands_the_same_beside_another_deletes_the_files(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """A zombie and its retry write the same bytes, so either may clean up."""
    (ids,) = batches_of(sim, hook, "a")
    zombie, retry = land(hook, tmp_path, ids), land(hook, tmp_path, ids)
    delete_landed(Calls(hook, LogRecord()), zombie)
    assert kept(hook) == set()
    delete_landed(Calls(hook, LogRecord()), retry)


@pytest.mark.parametrize("mixed", [True, False], ids=["rows of others", "its own rows"])
def test_a_kept_result_counts_only_if_the_rows_beside_its_manifest_are_its_own(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, mixed: bool
) -> None:
    """A clear finds the manifest of its batches, but another landing has replaced the rows."""
    ids, others = batches_of(sim, hook, "a", "b")
    land(hook, tmp_path / "one", ids)
    land(hook, tmp_path / "two", others)
    if mixed:
        (tmp_path / "two" / "results.jsonl").replace(tmp_path / "one" / "results.jsonl")
    hook.delete_file(str(sim.batches[ids[0]].input_file_id))
    again = land(hook, tmp_path / "one", ids)
    assert again.is_kept
    delete_landed(Calls(hook, LogRecord()), again)
    assert (sim.batches[ids[0]].output_file_id in kept(hook)) is mixed
