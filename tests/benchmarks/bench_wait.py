"""Waiting for many batches in one triggerer: ours, and the batch triggers of three released providers, side by side.

All poll every 5 seconds for batches that end after 20 to 25 seconds; a call takes a tenth of a second. Each measurement
is a fresh process, which has imported everything and waited for three batches before the clock starts; what its pulse
takes, which shows the lag of the loop, is taken off by what a beat takes in as many triggers that only sleep. `--tls`
adds polls every minute over TLS, with batches of 4 to 5 minutes; `--large` adds 10,000 waits of ours.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.tables import machine, met, row
from tests.benchmarks.wait_certificate import write_certificate
from tests.benchmarks.wait_server import running_wait_server

CONTENDERS = ("ours", "anthropic", "common.ai", "openai")
PACKAGES = ("anthropic", "common-ai", "openai")
COUNTS = (10, 100, 500, 1000)
TARGET_COUNT = 1000
USUAL_INTERVAL, TLS_INTERVAL = 5.0, 60.0

#: Seconds after which a contender is given up.
PATIENCE_SECONDS = 900.0

Figures = dict[str, float]


@dataclass
class Bench:
    """One server, and the processes that are pointed at it."""

    folder: Path
    control: str
    base_url: str
    certificate: Path | None = None

    def run(self, case: str, count: int, interval: float) -> Figures:
        """Run one contender once."""
        command = [sys.executable, "-m", "tests.benchmarks.wait_contender", case, str(count), str(interval)]
        done = subprocess.run(
            [*command, self.control],
            capture_output=True,
            text=True,
            env=self._environment(),
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        print(f"{case} {count}: {figures}", file=sys.stderr)
        return figures

    def _environment(self) -> dict[str, str]:
        hosts = {"kimi_default": "/v1", "bench_openai": "/v1", "bench_common_ai": "/v1", "bench_anthropic": ""}
        types = {"kimi_default": "kimi", "bench_anthropic": "anthropic"}
        connections = {
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(
                {"conn_type": types.get(name, "openai"), "host": f"{self.base_url}{path}", "password": "sk-bench"}
            )
            for name, path in hosts.items()
        }
        own = {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        if self.certificate is not None:
            own["SSL_CERT_FILE"] = str(self.certificate)
        return {**os.environ, **own, **connections}


def middle(runs: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return {name: median(figures[name] for figures in runs) for name in runs[0]}


def table(bench: Bench, counts: Sequence[int], cases: Sequence[str], interval: float, runs: int) -> dict[Any, Figures]:
    """Measure, and print a table; the contenders take turns."""
    found: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    for count in counts:
        for _ in range(runs):
            for case in ("empty", *cases):
                found[case, count].append(bench.run(case, count, interval))
    middles = {key: middle(figures) for key, figures in found.items()}
    print(row("waits", "trigger", "CPU over an empty trigger", "requests", "connections opened", "threads", *HEADS))
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for count in counts:
        for case in cases:
            figures = middles[case, count]
            figures["cpu"] -= figures["beats"] * middles["empty", count]["cpu"] / middles["empty", count]["beats"]
            print(row(f"{count:,}", case, *cells(figures)))
    return middles


HEADS = ("loop lag p99 / max", "memory a trigger", "longest delay")


def cells(figures: Figures) -> list[str]:
    """One contender's figures as text."""
    return [
        f"{figures['cpu']:.2f} s",
        f"{figures['requests']:,.0f}",
        f"{figures['opened']:,.0f}",
        f"{figures['threads']:.0f}",
        f"{figures['lag_p99'] * 1000:,.0f} / {figures['lag_max'] * 1000:,.0f} ms",
        f"{figures['memory'] / 1000:,.1f} KB",
        f"{figures['delay']:,.2f} s",
    ]


def verdicts(found: dict[Any, Figures], cases: Sequence[str], interval: float) -> None:
    """Print what was to be reached at a thousand waits, and whether it was."""
    ours = found["ours", TARGET_COUNT]
    sweeps = 5  # until the last batch has ended
    print()
    for case in ("common.ai", "anthropic"):
        if case in cases:
            ratio = found[case, TARGET_COUNT]["cpu"] / ours["cpu"]
            print(f"- CPU {ratio:.0f} times lower than {case} (at least 50): {met(ratio >= 50)}")
    most = (sweeps + 1) * (TARGET_COUNT / 100 + 2)
    print(f"- {ours['requests']:.0f} requests in {sweeps} sweeps (at most {most:.0f}): {met(ours['requests'] <= most)}")
    print(f"- {ours['most_open']:.0f} connections at a time (at most 4): {met(ours['most_open'] <= 4)}")
    lag = ours["lag_p99"] < 0.010 and ours["lag_max"] < 0.050
    print(f"- loop lag p99 under 10 ms, max under 50 ms, all waits starting at once: {met(lag)}")
    print(f"- under 15 KB of memory a trigger: {met(ours['memory'] < 15_000)}")
    print(f"- every event within an interval and 0.3 s: {met(ours['delay'] <= interval + 0.3)}")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1, help="runs of each contender; the medians are shown")
    options.add_argument("--counts", default="100,1000", help="how many triggers, separated by commas")
    options.add_argument("--contenders", default=",".join(CONTENDERS), help="who is measured, separated by commas")
    options.add_argument("--tls", action="store_true", help="also over TLS, with polls every minute")
    options.add_argument("--large", action="store_true", help="also 10,000 waits of ours")
    chosen = options.parse_args()
    counts, cases = [int(count) for count in chosen.counts.split(",")], chosen.contenders.split(",")
    with TemporaryDirectory(prefix="kimi-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        plain = Bench(folder, *stack.enter_context(running_wait_server()))
        packages = [f"apache-airflow-providers-{package}" for package in PACKAGES]
        print(f"\n## Waiting for batches that end after 20 to 25 s, polls every 5 s ({chosen.runs} runs)\n")
        print(f"{machine(*packages)}\n")
        found = table(plain, counts, cases, USUAL_INTERVAL, chosen.runs)
        if TARGET_COUNT in counts:
            verdicts(found, cases, USUAL_INTERVAL)
        if chosen.large:
            print("\n### 10,000 waits\n")
            large = table(plain, (10_000,), ("ours",), USUAL_INTERVAL, chosen.runs)["ours", 10_000]["cpu"]
            few = found["ours", TARGET_COUNT]["cpu"]
            print(f"\n- CPU a wait: {large / 10:.2f} ms at 10,000, {few:.2f} ms at 1,000: {met(large / 10 <= few)}")
        if chosen.tls:
            print("\n### Over TLS, polls every minute, batches of 4 to 5 minutes\n")
            certificate = write_certificate(folder)
            secure = Bench(folder, *stack.enter_context(running_wait_server(certificate)), certificate)
            cases = [case for case in cases if case != "openai"]  # blocks the loop for hours at that pace
            verdicts(table(secure, (TARGET_COUNT,), cases, TLS_INTERVAL, 1), cases, TLS_INTERVAL)


if __name__ == "__main__":
    main()
