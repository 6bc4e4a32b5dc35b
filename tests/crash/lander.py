"""Lands a batch again and again, each time in a forked process, which may be killed from outside.

Each line of input is a command, each answer the exit status and the seconds that it took. Told `kill_after`, the
process is killed so many seconds after it began to land.
"""

import json
import os
import signal
import sys
import tempfile
import time
from typing import Any

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.output_directory import OutputDirectory
from tests.support.logs import LogRecord


def land(command: dict[str, Any]) -> None:
    """Land in this process."""
    tempfile.tempdir = command["folder"]
    collect(Calls(KimiHook(), LogRecord()), Landing(command["batch_ids"], command["output"]))


def main() -> None:
    """Fork for each command."""
    # Here, and not once in every child. A storage itself is not opened: its threads do not survive a fork.
    import openai  # noqa: F401
    import s3fs  # type: ignore[import-untyped]  # noqa: F401
    from airflow.providers.amazon.aws.fs import s3  # noqa: F401

    OutputDirectory(tempfile.gettempdir())
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        begun, begin = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Airflow prints is no answer
                os.write(begin, b"x")
                land(command)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        started = time.monotonic()
        os.read(begun, 1)
        if command["kill_after"] is not None:
            time.sleep(command["kill_after"])
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"status": status, "seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()
