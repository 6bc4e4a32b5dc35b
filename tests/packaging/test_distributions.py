"""What is uploaded works: the unit tests of the sdist pass against the wheel."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    return folder


@pytest.fixture
def unpacked(built: Path, tmp_path: Path) -> Path:
    """What is in the sdist."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / sdist.name.removesuffix(".tar.gz")


@pytest.fixture
def python(built: Path, tmp_path: Path) -> Path:
    """The interpreter of a new environment that holds the wheel, and takes only its dependencies from this one."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    interpreter = tmp_path / "venv" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
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
