"""What is uploaded works: the unit tests of the sdist pass against the wheel."""

import shutil
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def unpacked(sdist: Path, tmp_path: Path) -> Path:
    """What is in the sdist."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / sdist.name.removesuffix(".tar.gz")


@pytest.fixture
def python(wheel: Path, tmp_path: Path) -> Path:
    """The interpreter of a new environment that holds the wheel, and takes only its dependencies from this one."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    interpreter = tmp_path / "venv" / "bin" / "python"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        interpreter,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    run(*pip, wheel, cwd=tmp_path)
    here = run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    Path(here, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return interpreter


def test_the_sdist_holds_every_file_of_the_repository(unpacked: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    tracked = set(run("git", "ls-files", cwd=ROOT).splitlines())
    packed = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert tracked - packed == set()


def test_the_unit_tests_of_the_sdist_pass_against_the_installed_wheel(unpacked: Path, python: Path) -> None:
    tests = unpacked / "tests"
    units = [
        folder for folder in sorted(tests.iterdir()) if (unpacked / "airflow_provider_kimi" / folder.name).is_dir()
    ]
    shutil.rmtree(unpacked / "airflow_provider_kimi")
    where = run(python, "-c", "import airflow_provider_kimi as package; print(package.__file__)", cwd=unpacked)
    assert where.startswith(str(python.parents[1]))
    printed = run(python, "-m", "pytest", "-q", *units, *tests.glob("test_*.py"), cwd=unpacked)
    assert " passed" in printed
