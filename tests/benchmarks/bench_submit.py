"""Submitting 50,000 rows: ours, and the OpenAI batch adapter of Airflow's common-ai provider, side by side.

Each measurement is a fresh process, which has imported everything and submitted 100 rows before the clock starts; the
contenders take turns, so that a busy moment hits all alike. All upload over loopback TCP to one server that only
swallows. At ten times the rows ours runs once, for its memory. Needs about 4 GB in the temporary directory.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import ProxyHandler, build_opener

from tests.benchmarks import submit_report as report
from tests.benchmarks.drain_server import running_drain
from tests.benchmarks.fresh_process import run_module
from tests.benchmarks.submit_report import Case, Figures
from tests.benchmarks.submit_rows import write_ready, write_table

WARM_UP_ROWS = 100

THEIRS = "theirs, from a list in memory"
THEIRS_WITH_READING = "theirs, reading the table into the list first"

#: What the contender process calls each, whose input it reads, and whether it is ours.
CASES = (
    Case("ready", "ours, from a Kimi-ready `.jsonl`", "ready"),
    Case("table", "ours, from a `.jsonl` table", "table"),
    Case("theirs", THEIRS, "table"),
)


@dataclass
class Bench:
    """Where the inputs are, and what was found so far."""

    folder: Path
    base_url: str
    found: dict[str, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    bounds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def inputs(self, rows: int) -> dict[str, Path]:
        """Write both kinds of input."""
        paths = {kind: self.folder / f"{kind}-{rows}.jsonl" for kind in ("ready", "table")}
        write_ready(paths["ready"], rows)
        write_table(paths["table"], rows)
        return paths

    def submit(self, case: Case, path: Path, warm_up: Path) -> dict[str, Figures]:
        """Run one contender once."""
        before = self._drained()
        printed = run_module("submit_contender", self.base_url, self.folder, case.name, path, warm_up)
        sent = self._drained() - before
        return {name: Figures(seconds, growth, sent) for name, (seconds, growth) in json.loads(printed).items()}

    def round(self, inputs: dict[str, Path], warm_up: dict[str, Path]) -> None:
        """Let everyone run once."""
        for case in CASES:
            figures = self.submit(case, inputs[case.input], warm_up[case.input])
            self.found[case.title].append(figures["submit"])
            if "with reading" in figures:
                self.found[THEIRS_WITH_READING].append(figures["with reading"])
        for name, seconds in json.loads(
            run_module("submit_bounds", self.base_url, self.folder, inputs["ready"])
        ).items():
            self.bounds[name].append(seconds)

    def _drained(self) -> int:
        with build_opener(ProxyHandler({})).open(f"{self.base_url}/drained") as reply:
            return int(json.load(reply)["bytes"])


def measure_large(bench: Bench, rows: int, warm_up: dict[str, Path]) -> dict[str, Figures | str]:
    """Run ours once on an input of many shards; where it is refused, say why."""
    found: dict[str, Figures | str] = {}
    inputs = bench.inputs(rows)
    for case in CASES:
        if case.is_ours:
            try:
                found[case.title] = bench.submit(case, inputs[case.input], warm_up[case.input])["submit"]
            except RuntimeError as refusal:
                found[case.title] = str(refusal)
    return found


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5, help="runs of each contender; the medians are shown")
    options.add_argument("--rows", type=int, default=50_000, help="rows of the input; ten times as many for memory")
    chosen = options.parse_args()
    with TemporaryDirectory(prefix="kimi-bench-") as folder, running_drain(Path(folder)) as base_url:
        bench = Bench(Path(folder), base_url)
        warm_up, inputs = bench.inputs(WARM_UP_ROWS), bench.inputs(chosen.rows)
        size = inputs["ready"].stat().st_size
        print(report.heading(chosen.rows, size, chosen.runs), flush=True)
        for _ in range(chosen.runs):
            bench.round(inputs, warm_up)
        print(report.contenders(bench.found, size))
        print(report.bounds(bench.bounds, size))
        ours = [case.title for case in CASES if case.is_ours]
        large = measure_large(bench, 10 * chosen.rows, warm_up)
        print(report.large(large, 10 * size))
        print(report.verdict({title: bench.found[title] for title in ours}, bench.found[THEIRS], size, large))


if __name__ == "__main__":
    main()
