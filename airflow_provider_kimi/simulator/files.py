"""The files of an account: names, quotas, and bytes on disk."""

import secrets
import shutil
import string
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_kimi.simulator import limits, rules
from airflow_provider_kimi.simulator.behaviour import Behaviour, Clock
from airflow_provider_kimi.simulator.spool import LineSpool

RESULT_PURPOSE = "batch_output"


@dataclass
class FileRecord:
    """One stored file; `path` holds its bytes, `uploader` is the API key that stored it."""

    id: str
    filename: str
    purpose: str
    created_at: int
    path: Path
    uploader: str
    size_bytes: int = 0

    def shape(self) -> dict[str, Any]:
        """The file as the API shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size_bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "ready",
            "status_details": "",
            "file_type": "jsonl",
        }


class FileStore:
    """The stored files by id, oldest first. The platform holds a lock around every call."""

    def __init__(self, clock: Clock, behaviour: Behaviour) -> None:
        self.records: dict[str, FileRecord] = {}
        self._clock = clock
        self._behaviour = behaviour
        self._folder = tempfile.TemporaryDirectory(prefix="kimi-simulator-", ignore_cleanup_errors=True)

    def close(self) -> None:
        """Remove every byte."""
        self._folder.cleanup()

    def upload(self, filename: str, purpose: str, content: BinaryIO, uploader: str) -> FileRecord:
        """Store what a client sends, or refuse it."""
        if purpose not in limits.UPLOAD_PURPOSES:
            raise rules.invalid("purpose must be one of file-extract, batch, batch_output, lambda, image, video")
        if purpose == "batch" and not filename.endswith(".jsonl"):
            raise rules.invalid("the file name of a batch input must end in .jsonl")
        self._check_count(purpose)
        record = self._new_record(filename, purpose, self._clock.now(), uploader)
        with record.path.open("wb") as stored:
            shutil.copyfileobj(content, stored, 1 << 20)
        record.size_bytes = record.path.stat().st_size
        if problem := self._size_problem(record.size_bytes):
            record.path.unlink()
            raise rules.invalid(problem)
        self.records[record.id] = record
        return record

    def add_result(self, filename: str, lines: Iterable[bytes], created_at: float, uploader: str) -> str | None:
        """Store an output or error file, line by line; without lines there is no file."""
        record = self._new_record(filename, RESULT_PURPOSE, created_at, uploader)
        with record.path.open("wb") as stored:
            stored.writelines(line + b"\n" for line in lines)
            record.size_bytes = stored.tell()
            if record.size_bytes and not self._behaviour.final_newline:
                record.size_bytes -= 1
                stored.truncate(record.size_bytes)
        if not record.size_bytes:
            record.path.unlink()
            return None
        self.records[record.id] = record
        return record.id

    @contextmanager
    def spool(self) -> Iterator[LineSpool]:
        """Room for lines that are not yet in order."""
        with tempfile.TemporaryFile(dir=self._folder.name) as stored:
            yield LineSpool(stored)

    def get(self, file_id: str, key: str | None = None) -> FileRecord:
        """One file, whether or not it is listed.

        :param key: The API key that its content is for; None if only its shape is wanted.
        """
        if file_id not in self.records:
            raise rules.not_found(f"file {file_id} not found")
        record = self.records[file_id]
        if key is not None and not self.may_use(record, key):
            raise rules.RefusedError(403, "permission_denied_error", f"file {file_id} belongs to another user")
        return record

    def may_use(self, record: FileRecord, key: str) -> bool:
        """Whether a file's content is open to an API key."""
        return self._behaviour.file_access == "organization" or record.uploader == key

    def purpose_of(self, file_id: str) -> str | None:
        """The purpose of a file; None if there is no such file."""
        return self.records[file_id].purpose if file_id in self.records else None

    def delete(self, file_id: str, *, keep_bytes: bool = False) -> None:
        """Forget a file.

        :param keep_bytes: Whether a batch still reads it, so that only its id goes.
        """
        record = self.get(file_id)
        if not keep_bytes:
            record.path.unlink()
        del self.records[file_id]

    def lines(self, file_id: str) -> Iterator[bytes]:
        """The lines of a stored file, cut on the newline byte."""
        with self._path(file_id).open("rb") as stored:
            for line in stored:
                yield line.removesuffix(b"\n")

    def listed(self) -> list[FileRecord]:
        """The files that are shown and counted."""
        shown = self._behaviour.result_files_listed
        return [record for record in self.records.values() if shown or record.purpose != RESULT_PURPOSE]

    def drop_old_results(self) -> None:
        """Delete the result files that are older than their retention."""
        retention = self._behaviour.result_retention_seconds
        if retention is None:
            return
        oldest = self._clock.now() - retention
        for record in list(self.records.values()):
            if record.purpose == RESULT_PURPOSE and record.created_at <= oldest:
                self.delete(record.id)

    def _check_count(self, purpose: str) -> None:
        counted = self.listed()
        if len(counted) >= limits.MAX_FILES:
            raise rules.invalid(f"exceeded the max file count {limits.MAX_FILES}")
        batch_files = sum(record.purpose == "batch" for record in counted)
        if purpose == "batch" and batch_files >= limits.MAX_BATCH_FILES:
            raise rules.invalid(f"exceeded the max file count {limits.MAX_BATCH_FILES}")

    def _size_problem(self, size_bytes: int) -> str | None:
        if size_bytes == 0:
            return "File size is zero, please confirm and re-upload"
        if size_bytes > limits.MAX_FILE_BYTES:
            return "File size is too large, max file size is 100MB, please confirm and re-upload"
        stored_bytes = sum(record.size_bytes for record in self.listed())
        if stored_bytes + size_bytes > limits.MAX_TOTAL_FILE_BYTES:
            return "exceeded the max total file size 10GB"
        return None

    def _new_record(self, filename: str, purpose: str, created_at: float, uploader: str) -> FileRecord:
        file_id = "file_" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(20))
        ending = Path(filename).suffix
        stem = filename.removesuffix(ending)
        taken = {record.filename for record in self.records.values()}
        name, copies = filename, 0
        while name in taken:
            copies += 1
            name = f"{stem}({copies}){ending}"
        return FileRecord(file_id, name, purpose, int(created_at), self._path(file_id), uploader)

    def _path(self, file_id: str) -> Path:
        return Path(self._folder.name, file_id)
