"""Simulated time, and simulators beside each other."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.simulator.conftest import Connector, Start
from tests.simulator.wire import call, create, finish, line, refused, submit, upload

if TYPE_CHECKING:
    from openai import OpenAI


class TestTheClock:
    def test_the_clock_stands_still_until_it_is_advanced(self, sim: KimiSimulator) -> None:
        before = sim.now()
        time.sleep(0.05)
        assert sim.now() == before
        sim.advance(0.5)
        sim.advance(86_400)
        assert sim.now() == before + 86_400.5

    def test_the_clock_starts_at_the_real_time_and_runs_with_it(self, start: Start) -> None:
        sim, _ = start(options={"speed": 1.0})
        assert abs(sim.now() - time.time()) < 5
        before = sim.now()
        time.sleep(0.1)
        assert 0.1 <= sim.now() - before < 5

    def test_the_clock_can_run_faster_and_be_advanced_as_well(self, start: Start) -> None:
        sim, client = start(options={"speed": 500.0})
        batch_id = submit(client)
        deadline = time.monotonic() + 10
        while sim.status(batch_id) != "completed" and time.monotonic() < deadline:
            time.sleep(0.01)
        batch = client.batches.retrieve(batch_id)
        assert batch.completed_at == batch.created_at + 25
        before = sim.now()
        sim.advance(1_000_000)
        assert 1_000_000 <= sim.now() - before < 1_010_000


def test_two_simulators_share_nothing(start: Start) -> None:
    (one, client), (other, other_client) = start(), start()
    assert one.base_url != other.base_url
    file_id = upload(client)
    batch_id = create(client, file_id).id
    one.advance(60)
    one.inject("list_models", status=500)
    assert refused(lambda: other_client.files.retrieve(file_id))[0] == 404
    assert refused(lambda: other_client.batches.retrieve(batch_id))[0] == 404
    assert refused(lambda: create(other_client, file_id))[0] == 400
    assert other_client.models.list().data
    assert other_client.batches.list().data == []
    assert other.status(submit(other_client)) == "validating"
    assert one.status(batch_id) == "completed"
    assert {sent.name for sent in one.journal} == {"upload_file", "create_batch"}


def test_the_ids_of_an_earlier_simulator_mean_nothing_to_the_next(start: Start) -> None:
    ids = {upload(start()[1]) for _ in range(3)}
    assert len(ids) == 3


def test_many_clients_may_call_at_once(sim: KimiSimulator, client: "OpenAI") -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: submit(client, line(f"row-{number}")), range(40)))
    assert len(set(ids)) == 40
    assert set(sim.batches) == set(ids)
    sim.advance(60)
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(client.batches.retrieve, ids))
    assert len({batch.output_file_id for batch in batches}) == 40
    assert len(sim.file_ids("batch_output")) == 40


class TestTheEnd:
    def test_a_simulator_that_has_ended_is_not_reachable_and_keeps_its_journal(self, sdk: Connector) -> None:
        import openai

        with KimiSimulator(speed=0) as sim:
            batch_id = finish(sim, sdk(sim)).id
        with pytest.raises(openai.APIConnectionError):
            sdk(sim).models.list()
        assert sim.base_url.endswith("/v1")
        assert [sent.status for sent in sim.journal] == [200, 200, 200]
        assert list(sim.batches) == [batch_id]

    def test_a_simulator_that_has_ended_frees_its_port(self, sdk: Connector) -> None:
        with KimiSimulator() as sim:
            port = int(sim.base_url.split(":")[2].removesuffix("/v1"))
            assert call(sim, "GET", "/models").status == 200
        with KimiSimulator(port) as again:
            assert again.base_url == sim.base_url
            assert sdk(again).models.list().data

    def test_a_simulator_leaves_no_folder_behind_however_it_ends(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            script = (
                "from airflow_provider_kimi.simulator import KimiSimulator\n"
                "with KimiSimulator(): pass\n"
                f"try: KimiSimulator({taken.getsockname()[1]})\n"
                "except OSError: pass\n"
                "never_entered = KimiSimulator()\n"
                "KimiSimulator().__enter__()\n"
                "raise SystemExit('an error of the test itself')\n"
            )
            ended = subprocess.run(
                [sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=30, check=False
            )
        assert ended.returncode == 1
        assert list(tmp_path.iterdir()) == []
