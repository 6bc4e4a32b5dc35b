"""Metrics go to Airflow's stats by plain names, and nothing that a backend does holds up or fails a task."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from airflow_provider_kimi.metrics import Metric, metrics_of_result, metrics_of_sweep
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.stats import send, send_aside
from tests.support.requests import submit_prompts
from tests.support.samples import make_batch
from tests.support.tasks import run_task


class UdpClient:
    """A client of statsd, as Airflow's logger for statsd uses it."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server

    def incr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        """Send a counter."""
        self._server.sendto(f"airflow.{stat}:{count}|c".encode("ascii"), self._server.getsockname())

    def timing(self, stat: str, delta: timedelta) -> None:
        """Send a timer."""
        self._server.sendto(
            f"airflow.{stat}:{delta.total_seconds() * 1000:.6f}|ms".encode("ascii"), self._server.getsockname()
        )


@contextmanager
def stats_of(backend: Any) -> Iterator[None]:
    """Let Airflow send its stats to a backend."""
    try:
        from airflow.sdk.observability.stats import initialize
    except ImportError:  # Airflow below 3.3
        stats: Any = import_module("airflow.stats").Stats
        before, stats.instance = stats.instance, backend
        try:
            yield
        finally:
            stats.instance = before
    else:
        from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

        initialize(factory=lambda: backend, export_legacy_names=True)
        try:
            yield
        finally:
            initialize(factory=NoStatsLogger, export_legacy_names=True)


def statsd_logger(client: Any, *, has_tags: bool = False) -> Any:
    """Airflow's own logger for statsd, which sends our metrics and none of its own."""
    try:
        from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
        from airflow.sdk._shared.observability.metrics.validators import PatternAllowListValidator
    except ImportError:  # Airflow below 3.3
        validators = import_module("airflow.metrics.validators")
        own = getattr(validators, "AllowListValidator", None) or validators.PatternAllowListValidator
        return import_module("airflow.metrics.statsd_logger").SafeStatsdLogger(client, own("kimi"), has_tags)
    names = PatternAllowListValidator("kimi")
    return SafeStatsdLogger(client, names, influxdb_tags_enabled=has_tags, statsd_influxdb_enabled=has_tags)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A statsd server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(2)
        yield udp


def received(server: socket.socket, count: int) -> list[str]:
    """The lines that came."""
    return sorted(server.recv(1000).decode() for _ in range(count))


MANIFEST = Manifest(
    batch_ids=["b"],
    status="partial",
    model="kimi-k2.6",
    counts={"total": 12, "succeeded": 10, "failed": 2, "invalid": 0},
    usage={"prompt_tokens": 400, "cached_tokens": 0, "completion_tokens": 30, "total_tokens": 430},
    cost={"currency": "CNY", "amount": 0.00123, "price_list_date": "2026-09-01"},
)
COUNTS = {
    "kimi.results.partial": 1,
    "kimi.rows.succeeded": 10,
    "kimi.rows.failed": 2,
    "kimi.tokens.prompt": 400,
    "kimi.tokens.completion": 30,
    "kimi.cost_millionths.cny": 1230,
}


def test_a_result_is_counted_by_status_tokens_and_cost_and_its_batches_are_timed() -> None:
    batch = make_batch("completed", created_at=100, in_progress_at=130, completed_at=700)
    task = TaskIdentity("reviews.daily", "run", "label größe")
    metrics = list(metrics_of_result(MANIFEST, [batch, make_batch("expired")], task))
    tags = {"dag_id": "reviews.daily", "task_id": "label_gr__e", "model": "kimi-k2.6"}
    assert metrics == [
        *(Metric(name, count, tags) for name, count in COUNTS.items()),
        Metric("kimi.batches.queued", timedelta(seconds=30), tags),
        Metric("kimi.batches.running", timedelta(seconds=570), tags),
    ]


@pytest.mark.parametrize("cost", [None, {"currency": "CNY", "amount": None, "reason": "no price"}])
def test_what_is_not_known_is_not_sent(cost: dict[str, Any] | None) -> None:
    manifest = Manifest(batch_ids=["b"], counts={"total": 1, "missing": 1}, cost=cost)
    names = [metric.name for metric in metrics_of_result(manifest, [make_batch("completed", created_at=5)], None)]
    assert names == ["kimi.results.failed", "kimi.rows.missing"]
    assert list(metrics_of_sweep(0, 0)) == []
    assert list(metrics_of_sweep(3, 1)) == [
        Metric("kimi.polls.requests", 3),
        Metric("kimi.polls.errors", 1),
    ]


def test_a_landing_reaches_a_statsd_server(
    sim: KimiSimulator, hook: Any, server: socket.socket, tmp_path: Path
) -> None:
    batch_ids = submit_prompts(hook, 3).batch_ids
    sim.advance(9000)
    with stats_of(statsd_logger(UdpClient(server))):
        run_task(KimiBatchResultsOperator(task_id="results", batch_id=batch_ids, output=str(tmp_path / "out")))
        lines = received(server, 7)
    assert {"airflow.kimi.results.completed:1|c", "airflow.kimi.rows.succeeded:3|c"} < set(lines)
    names = [line.partition(":")[0].removeprefix("airflow.kimi.") for line in lines]
    assert names == [
        *("batches.queued", "batches.running", "cost_millionths.cny", "results.completed", "rows.succeeded"),
        *("tokens.completion", "tokens.prompt"),
    ]


def test_tags_go_to_a_backend_that_has_them(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")  # Airflow 2 looks there again
    with stats_of(statsd_logger(UdpClient(server), has_tags=True)):
        send([Metric("kimi.rows.succeeded", 5, {"dag_id": "d", "model": "m"})])
        assert received(server, 1) == ["airflow.kimi.rows.succeeded,dag_id=d,model=m:5|c"]


def test_polls_reach_a_statsd_server_and_so_do_their_faults(
    sim: KimiSimulator, hook: Any, server: socket.socket
) -> None:
    (batch_id,) = submit_prompts(hook, 1).batch_ids
    sim.inject("get_batch", status=500)
    with stats_of(statsd_logger(UdpClient(server))):
        run_task(KimiBatchSensor(task_id="wait", batch_id=batch_id))
        lines = received(server, 2)
    assert lines == ["airflow.kimi.polls.errors:1|c", "airflow.kimi.polls.requests:1|c"]


class Broken:
    """A client that refuses everything."""

    def incr(self, *_: Any, **__: Any) -> None:
        """Fail."""
        raise RuntimeError("no backend")

    timing = incr


class Slow:
    """A backend that looks for its host."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_go = Event()

    def incr(self, stat: str, *_: Any, **__: Any) -> None:
        """Wait."""
        self.asked.append(stat)
        self.may_go.wait(10)


def test_a_backend_that_fails_fails_no_landing(sim: KimiSimulator, hook: Any, tmp_path: Path) -> None:
    batch_ids = submit_prompts(hook, 3).batch_ids
    sim.advance(9000)
    with stats_of(statsd_logger(Broken())):
        task = KimiBatchResultsOperator(task_id="results", batch_id=batch_ids, output=str(tmp_path / "out"))
        assert run_task(task).value["counts"]["succeeded"] == 3


def test_a_backend_that_is_slow_holds_up_no_poll_and_gets_no_second_thread() -> None:
    slow = Slow()
    with stats_of(slow):
        began = time.monotonic()
        for _ in range(100):
            send_aside(metrics_of_sweep(1, 0))
        assert time.monotonic() - began < 1
        slow.may_go.set()
        deadline = time.monotonic() + 5
        while len(slow.asked) < 2 and time.monotonic() < deadline:
            send_aside(metrics_of_sweep(1, 0))  # the next sweep is counted again
            time.sleep(0.01)
    assert slow.asked[:2] == ["kimi.polls.requests"] * 2


def test_without_a_backend_nothing_is_sent_and_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    send([Metric("kimi.rows.succeeded", 5)])
    assert caplog.records == []
