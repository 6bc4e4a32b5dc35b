"""`make demo`: what it prints, and that an interrupt leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.real_airflow import PATIENCE, held_interrupts, wait_for

pytestmark = pytest.mark.real_airflow

ROOT = Path(__file__).parents[2]


@contextmanager
def demo(folder: Path, **options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo with its temporary files in `folder`.

    :param options: As `make demo` takes them.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo"],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", **options},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def processes_with(folder: Path) -> set[int]:
    """The processes that work in a temporary folder."""
    found = set()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"TMPDIR={folder}\0".encode() in environ.read_bytes():
                found.add(int(environ.parent.name))
    return found


def test_the_demo_labels_every_review_and_says_where_the_files_are(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        printed, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, printed
    assert "wait: deferred" in printed
    assert re.search(r"Counts +60 total, 60 succeeded\n", printed)
    manifest = re.search(r"Manifest (\{.+\})\n", printed)
    assert manifest is not None
    assert json.loads(manifest[1])["counts"]["succeeded"] == json.loads(manifest[1])["counts"]["total"] == 60
    assert re.search(r"p001 +positive +Arrived two days early", printed)
    results = re.search(r"results_file +file://(.+)\n", printed)
    assert results is not None
    assert len(Path(results[1]).read_text(encoding="utf-8").splitlines()) == 60
    assert processes_with(tmp_path) == set()


@pytest.mark.parametrize("moment", ["Starting Airflow", pytest.param("wait: deferred", marks=pytest.mark.slow)])
def test_an_interrupted_demo_leaves_no_process_and_no_file(tmp_path: Path, moment: str) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if moment in line:
                break
        assert moment in printed
        assert processes_with(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130, printed
    wait_for(lambda: not processes_with(tmp_path), "processes are left")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_of_the_demo_waits_until_a_started_process_is_known() -> None:
    """Between its start and its registration, nobody would end it."""
    steps = []

    def start() -> None:
        with held_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("registered")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == ["registered"]


def test_a_demo_that_stays_up_says_where_its_batches_and_the_task_that_waits_are_seen(tmp_path: Path) -> None:
    with demo(tmp_path, KEEP="1") as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("Task "):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130, printed
    (batches,) = re.findall(r"^Batches +(http://127\.0\.0\.1:\d+)/plugin/kimi-batches$", printed, re.MULTILINE)
    assert re.search(rf"^Task +{batches}/dags/example_kimi_batch/runs/demo/tasks/wait$", printed, re.MULTILINE)
