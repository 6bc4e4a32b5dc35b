"""Makes the environment of a cell: its Python, its Airflow, the wheel with its extras, and what the tests need."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PathDistribution
from pathlib import Path
from zipfile import Path as ZipPath

from packaging.requirements import Requirement

from tests.matrix.cells import Cell

#: Within which each command ends; it is killed then, and says so by the code 124.
SECONDS = 2400

#: Beside what the wheel and its extras bring.
TEST_TOOLS = [
    "apache-airflow-providers-openlineage",
    "apache-airflow-providers-sqlite",
    "blockbuster",
    "duckdb",
    "hypothesis",
    "moto[s3,server]",
    "numpy",
    "pandas",
    "polars",
    "pytest",
    "pytest-asyncio",
    "pytest-randomly",
    "pytest-timeout",
    "scikit-learn",
    "statsd",
]

#: What Airflow 2.11 needs older than the newest, and does not say so itself.
LOWEST_PINS = ("universal-pathlib==0.2.6",)


class Failed(Exception):
    """A command failed or did not end; the text is what it printed."""


def run(*command: str | Path, cwd: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run a command to its end, and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON"))}
    words = [str(part) for part in command]
    done = subprocess.run(
        ["timeout", "--kill-after=30", str(SECONDS), *words],
        cwd=cwd,
        env={**environment, **_every_pyenv_python(), **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _every_pyenv_python() -> dict[str, str]:
    """Let each Python that pyenv has be found by its name: its shims run the chosen ones only."""
    if not shutil.which("pyenv"):
        return {}
    listed = subprocess.run(["pyenv", "versions", "--bare"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"PYENV_VERSION": ":".join(listed.split())}


def make(cell: Cell, wheel: Path, folder: Path) -> Path:
    """Make the environment of a cell anew, and return its interpreter."""
    python = folder / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    quiet = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1"}
    run(uv, "venv", "--quiet", "--clear", "--python", cell.python, folder, cwd=wheel.parent, variables=quiet)
    install = (uv, "pip", "install", "--quiet", "--python", python)
    lowest = (*lowest_requirements(wheel, cell.extras), *LOWEST_PINS) if cell.lowest else ()
    run(*install, *cell.pins, *lowest, f"{wheel}[{','.join(cell.extras)}]", cwd=wheel.parent, variables=quiet)
    run(*install, *cell.pins, *lowest, *TEST_TOOLS, cwd=wheel.parent, variables=quiet)
    return python


def lowest_requirements(wheel: Path, extras: Iterable[str]) -> Iterator[str]:
    """Read the lowest version of each dependency that the wheel allows, but of Airflow, which is the cell's."""
    (metadata,) = (entry for entry in ZipPath(wheel).iterdir() if entry.name.endswith(".dist-info"))
    for requirement in map(Requirement, PathDistribution(metadata).requires or ()):
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and requirement.name != "apache-airflow":
            (bound,) = (one.version for one in requirement.specifier if one.operator == ">=")
            yield f"{requirement.name}=={bound}"


def versions(python: Path, names: tuple[str, ...], cwd: Path) -> dict[str, str]:
    """Read which versions of some distributions an environment has."""
    code = f"from importlib.metadata import version\nfor name in {names!r}: print(version(name))"
    return dict(zip(names, run(python, "-c", code, cwd=cwd).split(), strict=True))
