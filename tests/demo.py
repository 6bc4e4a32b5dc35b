"""`make demo`: an example DAG on a real Airflow, against the simulator or (LIVE=1) the real platform."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.support.real_airflow import PASSWORD, STOP_SECONDS, USER, RealAirflow, held_interrupts, ignored_interrupts

EXAMPLES = Path(__file__).parent.parent / "example_dags"
DAG_ID = f"example_kimi_{os.environ.get('EXAMPLE') or 'batch'}"
REVIEWS = EXAMPLES / "data" / "reviews.csv"
RUN_ID = "demo"
SHOWN_ROWS = 5
WAITING_OPERATORS = ("KimiBatchSensor", "KimiBatchOperator", "@task.kimi_batch")


def main() -> int:
    """Run the demo, and leave nothing behind but the result of a run that ended well."""
    live, keep = bool(os.environ.get("LIVE")), bool(os.environ.get("KEEP"))
    key = os.environ.get("MOONSHOT_API_KEY", "")
    if live and not key:
        print("LIVE=1 needs MOONSHOT_API_KEY in the environment. Nothing was started.")
        return 2
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(
        ("127.0.0.1,localhost", os.environ.get("NO_PROXY", ""), os.environ.get("no_proxy", ""))
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="kimi-demo-"))
    succeeded = False
    try:
        with _live_platform(key) if live else _simulated_platform() as connection:
            succeeded = _run(folder, connection, keep)
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return 130
    finally:
        with ignored_interrupts():
            kept = any((folder / "result").rglob("manifest.json"))
            shutil.rmtree(folder / "airflow" if kept else folder, ignore_errors=True)
    return 0 if succeeded else 1


def _reviews_table(path: Path) -> Mapping[str, Any]:
    """Write the reviews into a database, and return the connection to it."""
    with closing(sqlite3.connect(path)) as database, REVIEWS.open(encoding="utf-8") as reviews:
        database.execute("CREATE TABLE reviews (id TEXT, text TEXT, day TEXT, label TEXT)")
        rows = [(row["review_id"], row["text"], "2026-01-01", None) for row in csv.DictReader(reviews)]
        database.executemany("INSERT INTO reviews VALUES (?, ?, ?, ?)", rows)
        database.commit()
    return {"conn_type": "sqlite", "host": str(path)}


@contextmanager
def _simulated_platform() -> Iterator[Mapping[str, Any]]:
    process: subprocess.Popen[str] | None = None
    try:
        with held_interrupts():
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow_provider_kimi.simulator", "--port", "0"],
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        ready, _, base_url = process.stdout.readline().strip().partition(" ")
        if ready != "ready":
            raise RuntimeError("the simulator did not start")
        print(f"Simulated Kimi platform at {base_url}", flush=True)
        host, _, port = base_url.removesuffix("/v1").rpartition(":")
        # Airflow's test button refuses a connection without a port.
        yield {"conn_type": "kimi", "host": host, "port": int(port), "password": "sk-simulator"}
    finally:
        if process is not None:
            with ignored_interrupts():
                process.terminate()
                process.wait(STOP_SECONDS)


def _live_platform(key: str) -> nullcontext[Mapping[str, Any]]:
    region = os.environ.get("MOONSHOT_REGION", "cn")
    print(f"Real Kimi platform, region {region}: this costs a few cents and may take hours.", flush=True)
    return nullcontext({"conn_type": "kimi", "password": key, "extra": {"region": region}})


def _run(folder: Path, connection: Mapping[str, Any], keep: bool) -> bool:
    home = folder / "airflow"
    home.mkdir()
    started = time.monotonic()
    print("Starting Airflow (scheduler, dag processor, triggerer, API server): about half a minute ...", flush=True)
    connections = {"kimi_default": connection, "reviews_db": _reviews_table(home / "reviews.sqlite")}
    with RealAirflow(home, EXAMPLES, connections) as airflow:
        print(f"Airflow is up after {time.monotonic() - started:.0f} s.", flush=True)
        if "host" in connection:  # a real key stays in the environment
            airflow.call("POST", "/api/v2/connections", {"connection_id": "kimi_default", **connection})
        print(f"Running {DAG_ID}: about three quarters of a minute on the simulator.", flush=True)
        airflow.run_dag(DAG_ID, RUN_ID, {"output": str(folder / "result")})
        if keep:
            _print_addresses(airflow)
        state = _watch(airflow, connection)
        if state == "success":
            for manifest in sorted((folder / "result").rglob("manifest.json")):
                _report(json.loads(manifest.read_text()))
            print(f"{time.monotonic() - started:.0f} s in all.", flush=True)
        else:
            print(f"The run ended as {state}. The task logs:\n{airflow.task_logs()[-6000:]}")
        if keep:
            print(f"Airflow stays up at {airflow.url} (login: {USER} / {PASSWORD}) until Ctrl-C.", flush=True)
            signal.pause()
    return state == "success"


def _print_addresses(airflow: RealAirflow) -> None:
    """Print where the run, the tasks that wait and their batches are seen in the UI."""
    print(f"UI       {airflow.url}  login: {USER} / {PASSWORD}")
    print(f"Batches  {airflow.url}/plugin/kimi-batches")
    for task in airflow.call("GET", f"/api/v2/dags/{DAG_ID}/tasks")["tasks"]:
        if task["operator_name"] in WAITING_OPERATORS:
            print(f"Task     {airflow.url}/dags/{DAG_ID}/runs/{RUN_ID}/tasks/{task['task_id']}", flush=True)


def _watch(airflow: RealAirflow, connection: Mapping[str, Any]) -> str:
    """Print what changes until the run has ended."""
    started = time.monotonic()
    shown = ""
    while True:
        states = airflow.task_states(DAG_ID, RUN_ID)
        line = "  ".join(f"{task}: {state or '-'}" for task, state in states.items())
        if states.get("wait") == "deferred":
            line += f"  ({_batch_progress(airflow, connection)})"
        if line != shown:
            print(f"{time.monotonic() - started:5.0f} s  {line}", flush=True)
            shown = line
        state = airflow.run_state(DAG_ID, RUN_ID)
        if state in ("success", "failed"):
            return state
        time.sleep(1)


def _batch_progress(airflow: RealAirflow, connection: Mapping[str, Any]) -> str:
    if "host" not in connection:
        return "the platform works"
    batch_id = airflow.xcom(DAG_ID, RUN_ID, "create", "batch_id")
    request = urllib.request.Request(
        f"{connection['host']}:{connection['port']}/v1/batches/{batch_id}",
        headers={"Authorization": f"Bearer {connection['password']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            batch = json.loads(reply.read())
    except OSError:
        return "no answer right now"
    counts = batch["request_counts"]
    return f"batch {batch['status']}, {counts['completed']} of {counts['total']} rows"


def _report(manifest: Mapping[str, Any]) -> None:
    counts = {name: count for name, count in manifest["counts"].items() if count}
    print(f"\nManifest {json.dumps(manifest)}")
    print(f"Batch    {', '.join(manifest['batch_ids'])}: {manifest['status']}")
    print(f"Counts   {', '.join(f'{count} {name}' for name, count in counts.items())}")
    print(f"Usage    {', '.join(f'{number} {name}' for name, number in manifest['usage'].items())}")
    print("Labels")
    with Path(manifest["results_file"].removeprefix("file://")).open(encoding="utf-8") as rows:
        for _, line in zip(range(SHOWN_ROWS), rows, strict=False):
            row = json.loads(line)
            print(f"  {row['custom_id']}  {row['content']:<9} {row.get('text', '')}")
    print("Files")
    for name in ("output_file", "error_file", "results_file", "dead_letter_file"):
        print(f"  {name:<17}{manifest[name]}")


if __name__ == "__main__":
    sys.exit(main())
