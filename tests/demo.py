"""`make demo`: the example DAG on a real Airflow, against the simulator or (LIVE=1) the real platform."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.support.real_airflow import PASSWORD, STOP_SECONDS, USER, RealAirflow, held_interrupts, ignored_interrupts

EXAMPLES = Path(__file__).parent.parent / "example_dags"
DAG_ID = "example_kimi_batch"
RUN_ID = "demo"
SHOWN_ROWS = 5


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
    try:
        with _live_platform(key) if live else _simulated_platform() as connection:
            _run(folder, connection, keep)
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return 130
    finally:
        with ignored_interrupts():
            kept = (folder / "result" / RUN_ID / "manifest.json").exists()
            shutil.rmtree(folder / "airflow" if kept else folder, ignore_errors=True)
    return 0 if kept else 1


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


def _run(folder: Path, connection: Mapping[str, Any], keep: bool) -> None:
    home = folder / "airflow"
    home.mkdir()
    started = time.monotonic()
    print("Starting Airflow (scheduler, dag processor, triggerer, API server): about half a minute ...", flush=True)
    with RealAirflow(home, EXAMPLES, {"kimi_default": connection}) as airflow:
        print(f"Airflow is up after {time.monotonic() - started:.0f} s.", flush=True)
        if "host" in connection:  # a real key stays in the environment
            airflow.call("POST", "/api/v2/connections", {"connection_id": "kimi_default", **connection})
        if keep:
            print(f"UI: {airflow.url}  login: {USER} / {PASSWORD}", flush=True)
        print(f"Running {DAG_ID}: about three quarters of a minute on the simulator.", flush=True)
        airflow.run_dag(DAG_ID, RUN_ID, {"output": str(folder / "result")})
        state = _watch(airflow, connection)
        if state == "success":
            _report(airflow.xcom(DAG_ID, RUN_ID, "results"))
            print(f"{time.monotonic() - started:.0f} s in all.", flush=True)
        else:
            print(f"The run ended as {state}. The task logs:\n{airflow.task_logs()[-6000:]}")
        if keep:
            print(f"Airflow stays up at {airflow.url} (login: {USER} / {PASSWORD}) until Ctrl-C.", flush=True)
            signal.pause()


def _watch(airflow: RealAirflow, connection: Mapping[str, Any]) -> str:
    """Print what changes until the run has ended."""
    started = time.monotonic()
    shown = ""
    while True:
        states = airflow.task_states(DAG_ID, RUN_ID)
        line = "  ".join(f"{task}: {states.get(task, '-')}" for task in ("create", "wait", "results", "count_labels"))
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
            print(f"  {row['custom_id']}  {row['content']:<9} {row['text']}")
    print("Files")
    for name in ("output_file", "error_file", "results_file", "dead_letter_file"):
        print(f"  {name:<17}{manifest[name]}")


if __name__ == "__main__":
    sys.exit(main())
