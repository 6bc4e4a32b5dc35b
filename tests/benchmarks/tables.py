"""What the tables of all benchmarks share."""

import platform
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

PACKAGES = ("airflow-provider-kimi", "apache-airflow", "apache-airflow-providers-common-ai", "openai", "msgspec")


def machine(*others: str) -> str:
    """Say on what machine, and with what, was measured.

    :param others: Packages that are measured beside the usual ones.
    """
    names = dict.fromkeys((*PACKAGES, *others))
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    system = f"{cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{_cpu()}, {system}; {packages}."


def row(*cells: str) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def megabytes(size: float) -> str:
    """Bytes as text."""
    return f"{size / 1_000_000:.0f} MB"


def met(is_met: bool) -> str:
    """Whether a target was met, as text."""
    return "met" if is_met else "missed"


def _cpu() -> str:
    """Name the processor as the kernel does; Python itself knows it on few systems."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")
