"""Rounds: rows without a usable answer are asked again, each once a round, and no row that is paid is asked again."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.rounds import BROKEN, QUICK, YES, Model, asked_in, job, letters, results
from tests.support.tasks import run_to_end


def test_no_round_is_asked_that_a_retry_could_not_find(connect: Connect, tmp_path: Path) -> None:
    """The platform no longer shows the metadata of a batch, not even by its id."""

    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        for batch in sim.batches.values():
            batch.metadata = None
        return BROKEN if custom_id == "r1" else YES

    with KimiSimulator(speed=50, timing=QUICK, responder=Model(say)) as sim:
        connect(sim)
        manifest = run_to_end(job(tmp_path, sim=sim)).value
        assert len(sim.batches) == 1
    assert (manifest["counts"]["succeeded"], manifest["counts"]["failed"]) == (9, 1)


def test_rows_that_fail_are_asked_again_until_the_last_round(connect: Connect, tmp_path: Path) -> None:
    """3 of 100 rows fail once, 1 of 100 always."""

    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        number = int(custom_id[1:])
        fails = number % 100 == 99 or (number % 100 in (7, 8, 9) and times == 1)
        return BROKEN if fails else YES

    model = Model(say)
    with KimiSimulator(speed=20, timing=QUICK, responder=model) as sim:
        connect(sim)
        manifest = run_to_end(job(tmp_path, rows=400, sim=sim)).value
        again = asked_in(sim)
    always = [f"r{n}" for n in range(400) if n % 100 == 99]
    assert len(manifest["batch_ids"]) == manifest["rounds"] == 3
    assert [len(rows) for rows in again] == [400, 16, 4]
    assert again[2] == always
    assert manifest["by_round"] == [
        {"requests": 400, "succeeded": 384},
        {"requests": 16, "succeeded": 12},
        {"requests": 4, "succeeded": 0},
    ]
    assert manifest["counts"] | {"succeeded": 396, "failed": 4} == manifest["counts"]
    rows = results(tmp_path)
    assert list(rows) == [f"r{n}" for n in range(400)]
    assert Counter(row["round"] for row in rows.values() if row["status"] == "succeeded") == {1: 384, 2: 12}
    assert letters(tmp_path) == always
    assert max(model.asked[key] for key, row in rows.items() if row["round"] == 1) == 1
