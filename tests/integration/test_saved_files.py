"""Attempts of one task instance decide the same about an input, whoever comes first, and whatever is in the way."""

import hashlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, name_of_saved, task_digest
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.saved_files import SavedFilesBeside
from tests.support.requests import TASK
from tests.support.s3 import Storage

FINGERPRINT = "sha256:" + "9" * 64
HEADER = SavedHeader(task=task_digest(TASK), fingerprint=FINGERPRINT, cache=1)
ROW = SavedRow(custom_id="a", number=1, request=msgspec.Raw(b"{}"), answer=msgspec.Raw(b"{}"))


def header(**changes: Any) -> SavedHeader:
    return msgspec.structs.replace(HEADER, **changes)


def lines(*records: SavedHeader | SavedRow) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def name_of(content: bytes) -> str:
    return name_of_saved(TASK, FINGERPRINT, hashlib.sha256(content).hexdigest())


class Attempt:
    """What one attempt does with the saved files of an output."""

    def __init__(self, output: str, folder: Path) -> None:
        self.output = output
        self.files = SavedFilesBeside(output, TASK)
        self.path = folder / "found.jsonl"

    def keep(self, content: bytes, *, is_found: bool = False, is_fresh: bool = False) -> bool:
        self.path.write_bytes(content)
        return self.files.keep(FINGERPRINT, name_of(content), self.path, is_found=is_found, is_fresh=is_fresh)

    def overwrite(self, name: str, content: bytes) -> None:
        self.path.write_bytes(content)
        OutputDirectory(self.output).place(name, self.path)

    def earlier(self) -> bytes | None:
        return self.path.read_bytes() if self.files.earlier(FINGERPRINT, self.path) else None


@pytest.fixture(params=["disk", "S3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "out")
    s3: Storage = request.getfixturevalue("s3")
    return s3.uri("out")


def test_nothing_was_decided_at_first(output: str, tmp_path: Path) -> None:
    assert Attempt(output, tmp_path).earlier() is None


def test_what_an_attempt_has_kept_is_found_by_the_next(output: str, tmp_path: Path) -> None:
    assert Attempt(output, tmp_path).keep(lines(HEADER, ROW))
    assert Attempt(output, tmp_path).earlier() == lines(ROW)


def test_a_decision_to_send_every_row_is_found_too(output: str, tmp_path: Path) -> None:
    assert Attempt(output, tmp_path).keep(lines(header(cache=0)))
    assert Attempt(output, tmp_path).earlier() == b""


def test_the_decision_of_the_attempt_that_was_first_counts(output: str, tmp_path: Path) -> None:
    """Two attempts at once have found nothing, and each decides, in the same second."""
    first, second = Attempt(output, tmp_path), Attempt(output, tmp_path)
    contents = sorted([lines(HEADER, ROW), lines(HEADER)], key=name_of)
    assert first.keep(contents[1])
    if not output.startswith("s3"):  # as by the clock of another machine
        age(Path(output), time.time() + 60)
    assert not second.keep(contents[0])
    assert second.earlier() == first.earlier() == contents[1].removeprefix(lines(HEADER))


@pytest.mark.parametrize("damaged", [b"", lines(HEADER), lines(HEADER, ROW, ROW), lines(HEADER, ROW)[:-9]])
def test_a_saved_file_that_is_not_as_it_was_written_decides_nothing(
    output: str, tmp_path: Path, damaged: bytes
) -> None:
    """A power failure leaves it empty, or somebody edits it; the cache may answer more by then."""
    attempt = Attempt(output, tmp_path)
    assert attempt.keep(lines(HEADER, ROW))
    attempt.overwrite(name_of(lines(HEADER, ROW)), damaged)
    assert attempt.earlier() is None
    assert attempt.keep(lines(HEADER))
    assert attempt.earlier() == b""


def test_a_file_for_other_batches_of_the_same_decision_is_kept_beside(output: str, tmp_path: Path) -> None:
    attempt = Attempt(output, tmp_path)
    assert attempt.keep(lines(HEADER, ROW))
    for _ in range(2):
        assert attempt.keep(lines(HEADER, msgspec.structs.replace(ROW, position=1)), is_found=True)


def test_fresh_work_takes_the_place_of_what_was_decided(output: str, tmp_path: Path) -> None:
    attempt = Attempt(output, tmp_path)
    assert attempt.keep(lines(HEADER, ROW))
    assert attempt.keep(lines(header(cache=0)), is_fresh=True)
    assert attempt.earlier() == b""


def test_what_is_forgotten_is_decided_anew(output: str, tmp_path: Path) -> None:
    attempt = Attempt(output, tmp_path)
    attempt.keep(lines(HEADER, ROW))
    attempt.files.forget(name_of(lines(HEADER, ROW)))
    assert attempt.earlier() is None


def test_what_was_decided_is_found_in_the_result_into_which_it_has_moved(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    saved = tmp_path / "out" / "saved.jsonl"
    attempt = Attempt(str(tmp_path / "out"), tmp_path)
    other = header(fingerprint="sha256:1")
    saved.write_bytes(lines(other, ROW, HEADER, ROW, other, ROW))
    assert attempt.earlier() == lines(ROW)
    saved.write_bytes(lines(header(task="another"), ROW))
    assert attempt.earlier() is None


def test_what_another_task_instance_or_a_killed_write_has_left_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    attempt = Attempt(str(tmp_path / "out"), tmp_path)
    other = name_of_saved(replace(TASK, run_id="another"), FINGERPRINT, "a" * 16)
    (tmp_path / "out" / other).write_bytes(lines(header(task="another"), ROW))
    half = name_of(lines(HEADER, ROW))
    (tmp_path / "out" / f"{half}.7.new").write_bytes(lines(HEADER, ROW))
    assert attempt.earlier() is None


def test_an_output_that_does_not_list_what_was_written_is_refused(tmp_path: Path) -> None:
    """As a bucket whose key may read and write, and not list."""
    refused = [str(tmp_path / "out")]

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.listdir", "os.scandir") and str(arguments[0]) in refused:
            raise PermissionError("not authorized to list")

    sys.addaudithook(refuse)
    attempt = Attempt(str(tmp_path / "out"), tmp_path)
    with pytest.raises(KimiInputError, match=r"does not list a file .* Nothing was sent\. Allow its key to list"):
        attempt.keep(lines(HEADER, ROW))
    refused.clear()
    assert list((tmp_path / "out").iterdir()) == []


def age(folder: Path, time: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time, time))
