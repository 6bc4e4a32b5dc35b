"""A worker on which something is not installed: Python in a process of its own, on links to all other packages."""

import fnmatch
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

#: What each extra brings, as paths in site-packages.
S3FS = ("s3fs", "s3fs-*")
AMAZON = (*S3FS, "airflow/providers/amazon", "apache_airflow_providers_amazon-*")
COMMON_AI = ("airflow/providers/common/ai", "apache_airflow_providers_common_ai-*")
PYARROW = ("pyarrow", "pyarrow-*", "pyarrow.libs")


def run_without(missing: tuple[str, ...], program: str, folder: Path) -> str:
    """Run a program where some packages are missing, and return what it prints.

    :param missing: Patterns of paths in site-packages.
    :param folder: An empty directory, for the links and for Airflow's home.
    """
    packages = folder / "packages"
    packages.mkdir()
    for path in _installed(Path(sysconfig.get_path("purelib")), missing):
        target = packages / path.relative_to(sysconfig.get_path("purelib"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    environment = {"PYTHONPATH": f"{packages}:{REPOSITORY}", "AIRFLOW_HOME": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-S", "-c", program]  # -S: nothing of the real site-packages
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _installed(folder: Path, missing: tuple[str, ...], prefix: str = "") -> Iterator[Path]:
    """Everything in a directory, directories as one where nothing in them is missing."""
    for path in folder.iterdir():
        name = f"{prefix}{path.name}"
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in missing):
            continue
        if any(pattern.startswith(f"{name}/") for pattern in missing):
            yield from _installed(path, missing, f"{name}/")
        else:
            yield path
