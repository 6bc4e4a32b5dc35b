"""Land some batches in a process of its own, and print by how many bytes its memory grew.

Run as `python -m tests.benchmarks.land_measured BATCH_IDS OUTPUT BASE_URL`, the ids as JSON.
"""

import json
import sys

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.output_directory import OutputDirectory
from tests.benchmarks.peak_memory import measure
from tests.support.logs import LogRecord


def main(batch_ids: str, output: str) -> None:
    """Measure one landing; what it imports is there before."""
    ids = json.loads(batch_ids)
    OutputDirectory(output).manifest_bytes()
    hook = KimiHook()
    hook.get_batch(ids[0])
    print(measure(lambda: collect(Calls(hook, LogRecord()), Landing(ids, output))).growth)


if __name__ == "__main__":
    main(*sys.argv[1:3])
