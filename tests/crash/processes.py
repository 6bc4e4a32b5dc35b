"""The chain, or the one task, in processes that may die."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_kimi.simulator import KimiSimulator


class Chain:
    """Runs the chain in processes of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.chain"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(
        self,
        platform: KimiSimulator,
        folder: Path,
        number: int,
        die_at: int | None,
        *,
        point: str | None = None,
        job: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Run one attempt, and return its exit status.

        :param point: The name of the points of which one is `die_at`; None for any.
        :param job: Parameters of the one task, with rounds; None to run the chain.
        :param environment: Further variables of its process, whose id stands in the file `pid` of the folder.
        """
        fields = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
        command = {"connection": fields, "folder": str(folder), "number": number, "die_at": die_at}
        command |= {"point": point, "job": job, "environment": dict(environment or {})}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


def told(folder: Path) -> Any:
    """What the attempt that came to its end has written down."""
    return json.loads((folder / "told.json").read_text())
