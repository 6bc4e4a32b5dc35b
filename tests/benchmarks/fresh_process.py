"""A contender in a process of its own, so that nothing that ran before helps or hinders it."""

import json
import os
import subprocess
import sys
from pathlib import Path


def run_module(module: str, base_url: str, folder: Path, *arguments: object) -> str:
    """Run a module of this package, which gets the base URL as its last argument, and return the last line it printed.

    :param folder: Where its Airflow may keep things.
    :raises RuntimeError: It failed; the text is the last line of its error.
    """
    connection = {"conn_type": "kimi", "host": f"{base_url}/v1", "password": "sk-bench"}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_KIMI_DEFAULT": json.dumps(connection),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments), base_url]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return done.stdout.splitlines()[-1]
