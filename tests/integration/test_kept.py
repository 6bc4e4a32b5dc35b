"""Directories and Variables that an earlier version has filled, in `records/kept/`, are read by what uses them."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from airflow_provider_kimi.budgets.entries import read_budget
from airflow_provider_kimi.budgets.ledger import Entry, Ledger, total
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.cache.digests import request_digest
from airflow_provider_kimi.cache.store import AnswerCache, Found
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.variables import VariableKeeper, airflow_tables, keeping

KEPT = Path(__file__).parents[1] / "records" / "kept"
BODY = b'{"model":"kimi-k2.6","messages":[{"role":"user","content":"Classify good"}]}'
ANSWER = b'{"status_code":200,"body":{"choices":[]}}'
DIGEST = request_digest(BODY, base_url="https://api.moonshot.cn/v1")


def test_the_answers_of_a_stored_cache_are_found_by_the_same_request(tmp_path: Path) -> None:
    place = copytree(KEPT / "cache", tmp_path / "cache")
    cache = AnswerCache(str(place))
    assert list(cache.find(DIGEST.__eq__)) == [Found(DIGEST, ANSWER)]
    assert (cache.damaged, cache.count().entries, cache.count().hits) == (0, 1, 3)


def test_files_that_a_later_version_puts_into_a_cache_are_left_alone(tmp_path: Path) -> None:
    place = copytree(KEPT / "cache", tmp_path / "cache")
    (place / "answers2-20261130T000000Z-1-0123456789abcdef.bin").write_bytes(b"\x00")
    (place / "answers-20261130T000000Z-1-0123456789abcdef.jsonl").write_text('{"v":2}\n')
    cache = AnswerCache(str(place))
    assert list(cache.find(DIGEST.__eq__)) == [Found(DIGEST, ANSWER)]
    assert cache.damaged == 1


@pytest.fixture
def variables() -> Iterator[VariableKeeper]:
    stored: dict[str, str] = json.loads((KEPT / "variables.json").read_text())
    with airflow_tables(), keeping(stored) as keeper:
        yield keeper


def claim(connect: Connect, sim: KimiSimulator, run_id: str, most: float) -> None:
    hook = connect(sim)
    note = ClaimNote(dag_id="reviews", run_id=run_id, task_id="job", conn_id=hook.kimi_conn_id, mark=run_id)
    Purse("labels", "CNY", note).of_job("0" * 32, run_id, 24).hold(Calls(hook, logging.getLogger("test")), most)


def windows() -> dict[str, Ledger]:
    entries = read_budget("labels")
    return {entry.window: Ledger(one for one in entries if one.window == entry.window) for entry in entries}


def test_a_stored_claim_is_counted_with_what_is_spent(variables: VariableKeeper) -> None:
    (ledger,) = windows().values()
    assert (ledger.spent, total(ledger.reserved), len(ledger.waiting)) == (10_000, 40_000, 0)
    assert all(Entry.of(entry.name) == entry for entry in ledger.entries)


@pytest.mark.parametrize(("state", "has_room"), [("running", False), ("failed", True)])
def test_a_stored_claim_holds_its_amount_until_its_task_has_ended(
    connect: Connect, variables: VariableKeeper, state: str, has_room: bool
) -> None:
    variables.states = {"label": state}
    with KimiSimulator(speed=0) as sim:
        if has_room:
            claim(connect, sim, "day", 0.08)
        else:
            with pytest.raises(KimiInputError, match=r"0\.04 reserved by 1 other"):
                claim(connect, sim, "day", 0.08)
