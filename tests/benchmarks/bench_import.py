"""What importing the provider adds to every parse of a DAG file, over `import airflow.sdk` alone."""

import platform
import statistics
import subprocess
import sys
from importlib.metadata import version

RUNS = 7
BASE = "import airflow.sdk; from airflow.sdk import DAG, BaseOperator, BaseSensorOperator"
MODULES = ("operators.batch", "sensors.batch", "triggers.batch")
PROGRAM = """
import time
{base}
started = time.perf_counter()
{added}
print(time.perf_counter() - started)
"""


def seconds(added: str) -> float:
    """Import in a fresh process, and return what it took there on top of the base."""
    program = PROGRAM.format(base=BASE, added=added)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure every case in turn, several times, so that a busy moment hits all alike."""
    cases = {f"airflow_provider_kimi.{module}": f"import airflow_provider_kimi.{module}" for module in MODULES}
    cases["all three"] = "; ".join(cases.values())
    cases["openai, for comparison"] = "import openai"
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(RUNS):
        for name, added in cases.items():
            found[name].append(seconds(added))
    machine = f"Python {platform.python_version()}, apache-airflow {version('apache-airflow')}, {platform.machine()}"
    print(f"{machine}, medians of {RUNS}")
    print(f"{'added to import airflow.sdk':<45} {'seconds':>8}")
    for name, times in found.items():
        print(f"{name:<45} {statistics.median(times):>8.3f}")


if __name__ == "__main__":
    main()
