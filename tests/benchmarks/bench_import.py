"""What importing the provider adds to every parse of a DAG file, over `import airflow.sdk` alone."""

import platform
import statistics
import subprocess
import sys
from importlib.metadata import version

RUNS = 7
BASE = "import airflow.sdk; from airflow.sdk import DAG, BaseOperator, BaseSensorOperator"
MODULES = ("operators.batch", "operators.files", "sensors.batch", "triggers.batch", "decorators.kimi_batch")
LABELLING = """
from airflow_provider_kimi.operators.batch import KimiBatchOperator
KimiBatchOperator(task_id="job", input="in.jsonl", output="out", prompt="{text}", output_schema=["good", "bad"])
"""
PROGRAM = """
import time
from pathlib import Path
{base}

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

before, started = resident(), time.process_time()
{added}
print(time.process_time() - started, resident() - before)
"""


def measured(added: str) -> tuple[float, float]:
    """Import in a fresh process, and return the CPU seconds and MB that it took there on top of the base."""
    program = PROGRAM.format(base=BASE, added=added)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def main() -> None:
    """Measure every case in turn, several times, so that a busy moment hits all alike."""
    cases = {f"airflow_provider_kimi.{module}": f"import airflow_provider_kimi.{module}" for module in MODULES}
    cases["operators.batch, and an operator with labels"] = LABELLING
    cases["all of them"] = "\n".join(cases.values())
    cases["openai, for comparison"] = "import openai"
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(RUNS):
        for name, added in cases.items():
            found[name].append(measured(added))
    machine = f"Python {platform.python_version()}, apache-airflow {version('apache-airflow')}, {platform.machine()}"
    print(f"{machine}, medians of {RUNS}")
    print(f"{'added to import airflow.sdk':<45} {'CPU s':>8} {'MB':>6}")
    for name, taken in found.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"{name:<45} {seconds:>8.3f} {megabytes:>6.1f}")


if __name__ == "__main__":
    main()
