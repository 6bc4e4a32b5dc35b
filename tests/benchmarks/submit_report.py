"""The figures of bench_submit as Markdown."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.tables import machine, megabytes, met, row

#: What is aimed at: how many times as fast as theirs, bytes of memory growth at any size, bytes a second.
TARGET_RATIO = 3.0
TARGET_GROWTH = 32_000_000
TARGET_SPEED = 200_000_000

_MB = 1_000_000

_ABOUT_RATIOS = (
    "\n\nThe ratio is against theirs from a list in memory, which is in their favour; of medians and fastest runs, the "
    "lower decides.\n"
)


@dataclass(frozen=True)
class Case:
    """One contender: its name for the process that runs it, its title here, and which input it is given."""

    name: str
    title: str
    input: str

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's."""
        return self.name != "theirs"


@dataclass(frozen=True)
class Figures:
    """One run: its seconds, the growth of its memory, and the bytes that the server was sent, warm-up included."""

    seconds: float
    growth: int
    sent: int


def heading(rows: int, size: int, runs: int) -> str:
    """Say what was measured, where and with what."""
    return (
        f"\n## Submitting {rows:,} rows, {size / _MB:.0f} MB of requests (medians of {runs} interleaved runs)\n\n"
        f"{machine()} Texts: generated Chinese and English reviews, in turn.\n\n"
        "Ours is the operator's `execute`: check, search for earlier work, upload, create, search again; only the "
        "pause of one second before the second search is left out. Theirs is "
        "`OpenAIBatchAdapter(...)`, `validate_requests` and `submit`, without what their operator does around it.\n"
        "MB/s counts the bytes of the Kimi-ready file for all. Theirs sends more for the same rows, because it "
        "escapes all that is not ASCII.\n"
    )


def contenders(found: Mapping[str, Sequence[Figures]], size: int) -> str:
    """Tell what each contender took."""
    lines = [row("submit", "seconds", "fastest to slowest", "MB/s", "memory growth", "sent")]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for title, runs in found.items():
        seconds = [run.seconds for run in runs]
        middle = statistics.median(seconds)
        growth = statistics.median(run.growth for run in runs)
        sent = statistics.median(run.sent for run in runs)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        lines.append(
            row(title, f"{middle:.2f}", spread, f"{size / middle / _MB:.0f}", megabytes(growth), megabytes(sent))
        )
    return "\n".join(lines) + "\n"


def bounds(found: Mapping[str, Sequence[float]], size: int) -> str:
    """Tell what each step takes alone."""
    lines = [row("one step alone, on the Kimi-ready file", "seconds", "MB/s"), "|---|---:|---:|"]
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        lines.append(row(name, f"{middle:.2f}", f"{size / middle / _MB:.0f}"))
    return "\n".join(lines) + "\n"


def large(found: Mapping[str, Figures | str], size: int) -> str:
    """Tell what ours needs at ten times the size, or why it refused."""
    lines = [row(f"{size / _MB:.0f} MB of requests, one run", "seconds", "MB/s", "memory growth", "sent")]
    lines.append("|---|---:|---:|---:|---:|")
    for title, run in found.items():
        if isinstance(run, str):
            lines.append(row(title, f"refused: {run[:300]}", "", "", ""))
        else:
            speed = f"{size / run.seconds / _MB:.0f}"
            lines.append(row(title, f"{run.seconds:.2f}", speed, megabytes(run.growth), megabytes(run.sent)))
    return "\n".join(lines) + "\n"


def verdict(
    ours: Mapping[str, Sequence[Figures]], theirs: Sequence[Figures], size: int, at_ten: Mapping[str, Figures | str]
) -> str:
    """Hold the figures against the targets.

    The ratio leaves their reading of the table out, in their favour. Theirs took 0.9 or 1.5 s on one machine
    while ours stayed, for a reason that was not found; so the ratio of the fastest runs stands beside that of the
    medians, and the lower one decides. It may still differ from one call of the benchmark to the next.
    """
    lines = [row("target", "case", "found", ""), "|---|---|---:|---|"]
    for title, runs in ours.items():
        seconds = statistics.median(run.seconds for run in runs)
        growth = statistics.median(run.growth for run in runs)
        ratio, speed = statistics.median(run.seconds for run in theirs) / seconds, size / seconds
        fastest = min(run.seconds for run in theirs) / min(run.seconds for run in runs)
        ratios = f"{ratio:.2f} times (fastest runs: {fastest:.2f})"
        lines += [
            row(f"{TARGET_RATIO:g} times theirs", title, ratios, met(min(ratio, fastest) >= TARGET_RATIO)),
            row(f"{TARGET_SPEED / _MB:.0f} MB/s", title, f"{speed / _MB:.0f} MB/s", met(speed >= TARGET_SPEED)),
            row(f"growth below {megabytes(TARGET_GROWTH)}", title, megabytes(growth), met(growth < TARGET_GROWTH)),
        ]
    for title, run in at_ten.items():
        goal = f"growth below {megabytes(TARGET_GROWTH)} at ten times the size"
        is_met = not isinstance(run, str) and run.growth < TARGET_GROWTH
        lines.append(row(goal, title, "refused" if isinstance(run, str) else megabytes(run.growth), met(is_met)))
    return "\n".join(lines) + _ABOUT_RATIOS
