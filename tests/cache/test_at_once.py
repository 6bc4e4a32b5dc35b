"""Processes that use one cache at the same time, or die while they do, disturb no other."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from io import RawIOBase
from pathlib import Path

import pytest

from airflow_provider_kimi.cache.directory import CacheDirectory
from airflow_provider_kimi.cache.segments import SegmentName
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.exceptions import KimiInputError
from tests.cache.busy import ANSWERS, ROUNDS, answer_to
from tests.support.caches import make_older

PROCESSES = 3


def started(place: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cache.busy", str(place), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(120)
def test_processes_that_write_read_and_purge_at_once_lose_and_corrupt_nothing(tmp_path: Path) -> None:
    with AnswerCache(str(tmp_path)).writer("long ago") as kept:
        kept.add(bytes(16), answer_to(bytes(16)))
    make_older(tmp_path, timedelta(days=2))
    running = [started(tmp_path, f"process {number}") for number in range(PROCESSES)]
    errors = [process.communicate(timeout=100)[1] for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, errors
    cache = AnswerCache(str(tmp_path))
    answers = dict(cache.find(lambda digest: True))
    assert len(answers) == PROCESSES * ROUNDS * ANSWERS
    assert cache.damaged == 0
    assert cache.count()[::2] == (len(answers), PROCESSES * ROUNDS)
    assert len(list(tmp_path.iterdir())) == 2 * PROCESSES * ROUNDS, "nothing is left over, and the old is purged"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("chunks", [0, 3])
def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_read(tmp_path: Path, chunks: int) -> None:
    cache = AnswerCache(str(tmp_path))
    with cache.writer("before") as kept:
        kept.add(b"a" * 16, b'"kept"')
    process = started(tmp_path, "die", str(chunks))
    process.communicate(timeout=50)
    assert process.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    assert list(cache.find(lambda digest: True)) == [(b"a" * 16, b'"kept"')]
    assert (cache.count().entries, cache.damaged) == (1, 0)


def test_a_writer_that_is_killed_before_its_end_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with AnswerCache(str(tmp_path)).writer("one") as kept:
            kept.add(bytes(16), b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_keeps_nothing_of_a_file(tmp_path: Path) -> None:
    class Full(RawIOBase):
        def read(self, size: int = -1) -> bytes:
            if list(tmp_path.iterdir()):
                raise OSError(ENOSPC, "No space left on device")
            return b"x" * 1000

    now = datetime.now(UTC)
    with pytest.raises(OSError, match="No space left"):
        CacheDirectory(str(tmp_path)).put(str(SegmentName(now, 1, "0" * 16)), Full(), now)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("mode", [0o555, 0o300, 0o000], ids=oct)
def test_a_directory_of_somebody_else_is_refused_in_words_before_anything_is_sent(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "cache"
    place.mkdir()
    for folder in list(place.parents)[:3]:
        folder.chmod(0o755)
    place.chmod(mode)
    AnswerCache(str(place))  # loads the file system as root, whose files these may be
    os.seteuid(65534)
    try:
        with pytest.raises(KimiInputError, match=r"^Cache .* cannot be used \(PermissionError.* Nothing was sent"):
            AnswerCache(str(place))
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_file_that_may_not_be_read_is_refused_in_words_before_anything_is_sent(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    cache = AnswerCache(str(place))
    with cache.writer("one") as kept:
        kept.add(bytes(16), b"1")
    for folder in list(place.parents)[:3]:
        folder.chmod(0o755)
    place.chmod(0o777)
    for path in place.iterdir():
        path.chmod(0o600)
    assert len(list(cache.find(lambda digest: True))) == 1  # loads as root what another user may not load
    os.seteuid(65534)
    try:
        with pytest.raises(KimiInputError, match=r"^Cache .* cannot be read \(PermissionError.* Nothing was sent"):
            list(cache.find(lambda digest: True))
    finally:
        os.seteuid(0)
