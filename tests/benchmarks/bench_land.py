"""Landing an output file of 100 MB: ours, Airflow's common-ai provider, and a vendor's sample script, side by side.

Each measurement is a fresh process, which has imported everything and landed 100 rows before the clock starts; the
contenders take turns. All download over loopback TCP from one server that only sends. At ten times the rows ours runs
once, for its memory. Needs about 4 GB in the temporary directory.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from tests.benchmarks.drain_server import running_drain
from tests.benchmarks.fresh_process import run_module
from tests.benchmarks.land_files import LINE_ENDS_IN_TEXT, write_batch
from tests.benchmarks.tables import machine, megabytes, met, row

CONTENDERS = {
    "ours": "ours: verified, joined to the requests, in input order, lines kept byte for byte",
    "theirs": "theirs: in the order of the answers, lines not kept",
    "sample": "a vendor's sample: all in memory, nothing checked",
}

TARGET_RATIO = 2.5
TARGET_GROWTH = 40_000_000


#: Rows of the batch whose answers hold what other readers take for the end of a line.
ODD_ROWS = 1000


def run(case: str, batch_id: str, rows: int, folder: Path, base_url: str) -> tuple[float, float, int]:
    """Run one contender once; returns its seconds, the growth of its memory, and how many rows it landed."""
    seconds, growth, landed = json.loads(
        run_module("land_contender", base_url, folder, case, batch_id, "warm-up", rows, folder / "landed")
    )
    rmtree(folder / "landed")
    return seconds, growth, landed


def land(case: str, batch_id: str, rows: int, folder: Path, base_url: str) -> tuple[float, float]:
    """Measure one contender once, which has to land every row."""
    seconds, growth, landed = run(case, batch_id, rows, folder, base_url)
    if landed != rows:
        raise SystemExit(f"{case} landed {landed:,} of {rows:,} rows, so its time is of another task.")
    return seconds, growth


def check_odd_answers(folder: Path, base_url: str) -> str:
    """Say how many rows each contender lands whose answers hold U+2028, U+2029 or U+0085; no time is measured."""
    write_batch(folder, "odd", ODD_ROWS, ending=LINE_ENDS_IN_TEXT)
    landed = {case: run(case, "odd", ODD_ROWS, folder, base_url)[2] for case in CONTENDERS}
    if landed["ours"] != ODD_ROWS:
        raise SystemExit(f"ours landed {landed['ours']:,} of {ODD_ROWS:,} answers with U+2028, U+2029 or U+0085.")
    counts = ", ".join(f"{case} {rows:,}" for case, rows in landed.items())
    odd = "where every second answer holds U+2028, U+2029 and U+0085"
    return f"Not measured: rows landed of {ODD_ROWS:,}, {odd}: {counts}."


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5, help="runs of each contender; the medians are shown")
    options.add_argument("--rows", type=int, default=50_000, help="rows of the batch; ten times as many for memory")
    chosen = options.parse_args()
    with TemporaryDirectory(prefix="kimi-bench-") as name, running_drain(Path(name)) as base_url:
        folder = Path(name)
        write_batch(folder, "warm-up", 100)
        size = write_batch(folder, "batch", chosen.rows)
        print(f"\n## Landing {chosen.rows:,} rows, an output file of {megabytes(size)} ({chosen.runs} runs)\n")
        print(f"{machine()}\n")
        runs = defaultdict(list)
        for _ in range(chosen.runs):
            for case in CONTENDERS:
                runs[case].append(land(case, "batch", chosen.rows, folder, base_url))
        large = write_batch(folder, "large", 10 * chosen.rows)
        seconds, growth = land("ours", "large", 10 * chosen.rows, folder, base_url)
        odd = check_odd_answers(folder, base_url)
    middle = {case: statistics.median(seconds for seconds, _ in found) for case, found in runs.items()}
    memory = {case: statistics.median(growth for _, growth in found) for case, found in runs.items()}
    print(row("land", "seconds", "fastest to slowest", "MB/s", "memory growth") + "\n|---|---:|---:|---:|---:|")
    for case, title in CONTENDERS.items():
        spread = f"{min(runs[case])[0]:.2f} to {max(runs[case])[0]:.2f}"
        print(row(title, f"{middle[case]:.2f}", spread, f"{size / middle[case] / 1e6:.0f}", megabytes(memory[case])))
    speed = f"{large / seconds / 1e6:.0f}"
    print(row(f"ours, {megabytes(large)}, one run", f"{seconds:.2f}", "", speed, megabytes(growth)))
    ratio = min(middle["theirs"] / middle["ours"], min(runs["theirs"])[0] / min(runs["ours"])[0])
    print("\n" + row("target", "found", "") + "\n|---|---:|---|")
    print(row(f"{TARGET_RATIO:g} times theirs", f"{ratio:.2f} times", met(ratio >= TARGET_RATIO)))
    most = max(memory["ours"], growth)
    print(row(f"growth below {megabytes(TARGET_GROWTH)} at both sizes", megabytes(most), met(most < TARGET_GROWTH)))
    print(f"\nThe ratio is that of the medians or of the fastest runs, whichever is lower.\n\n{odd}")


if __name__ == "__main__":
    main()
