"""The platform's state: files and batches, and every rule about them. Knows nothing of HTTP."""

import random
import shutil
import string
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_kimi.simulator import limits, rules
from airflow_provider_kimi.simulator.answers import Answer, Responder, RowError, completion, count_tokens
from airflow_provider_kimi.simulator.behaviour import Behaviour, Clock, Timing
from airflow_provider_kimi.simulator.lifecycle import BatchRecord, Stage, stage_at
from airflow_provider_kimi.simulator.results import write_results

#: Yuan per million output tokens, for the check of the balance before a batch starts.
_WORST_CASE_YUAN = 16.20


@dataclass
class FileRecord:
    """One stored file; `path` holds its bytes."""

    id: str
    filename: str
    purpose: str
    created_at: int
    path: Path

    def shape(self) -> dict[str, Any]:
        """The file as the API shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.path.stat().st_size,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "ready",
            "status_details": "",
            "file_type": "jsonl",
        }


class Platform:
    """Files and batches of one organization. Every method may be called from any thread."""

    def __init__(
        self, clock: Clock, behaviour: Behaviour, timing: Timing, responder: Responder, balance: float
    ) -> None:
        self.clock = clock
        self.behaviour = behaviour
        self.timing = timing
        self.responder = responder
        self.balance = balance
        self.files: dict[str, FileRecord] = {}
        self.batches: dict[str, BatchRecord] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="kimi-simulator-"))
        self._lock = threading.RLock()
        self._random = random.Random(20260901)

    def close(self) -> None:
        """Remove every stored file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # Files

    def upload_file(self, filename: str, purpose: str, content: BinaryIO) -> dict[str, Any]:
        """Store an upload."""
        if purpose not in limits.UPLOAD_PURPOSES:
            raise rules.invalid("purpose must be one of file-extract, batch, batch_output, lambda, image, video")
        if purpose == "batch" and not filename.endswith(".jsonl"):
            raise rules.invalid("the file name of a batch input must end in .jsonl")
        with self._lock:
            self._check_quota(purpose)
            record = self._new_file(filename, purpose)
            with record.path.open("wb") as stored:
                shutil.copyfileobj(content, stored, 1 << 20)
            size = record.path.stat().st_size
            if problem := self._size_problem(size):
                record.path.unlink()
                raise rules.invalid(problem)
            self.files[record.id] = record
            return record.shape()

    def _check_quota(self, purpose: str) -> None:
        if len(self.files) >= limits.MAX_FILES:
            raise rules.invalid(f"exceeded the max file count {limits.MAX_FILES}")
        batch_files = sum(record.purpose == "batch" for record in self.files.values())
        if purpose == "batch" and batch_files >= limits.MAX_BATCH_FILES:
            raise rules.invalid(f"exceeded the max file count {limits.MAX_BATCH_FILES}")

    def _size_problem(self, size: int) -> str | None:
        if size == 0:
            return "File size is zero, please confirm and re-upload"
        if size > limits.MAX_FILE_BYTES:
            return "File size is too large, max file size is 100MB, please confirm and re-upload"
        stored = sum(record.path.stat().st_size for record in self.files.values())
        if stored + size > limits.MAX_TOTAL_FILE_BYTES:
            return "exceeded the max total file size 10GB"
        return None

    def _new_file(self, filename: str, purpose: str) -> FileRecord:
        file_id = "file_" + "".join(self._random.choices(string.ascii_lowercase + string.digits, k=20))
        stem, dot, ending = filename.rpartition(".")
        taken = {record.filename for record in self.files.values()}
        name, copies = filename, 0
        while name in taken:
            copies += 1
            name = f"{stem}({copies}){dot}{ending}"
        return FileRecord(file_id, name, purpose, int(self.clock.now()), self._folder / file_id)

    def list_files(self) -> dict[str, Any]:
        """All files; no paging is documented."""
        with self._lock:
            self._settle_all()
            shown = [
                record.shape()
                for record in self.files.values()
                if record.purpose != "batch_output" or self.behaviour.result_files_listed
            ]
        return {"object": "list", "data": shown, "first_id": "", "last_id": "", "has_more": False}

    def get_file(self, file_id: str) -> FileRecord:
        """One file."""
        with self._lock:
            self._settle_all()
            if file_id not in self.files:
                raise rules.not_found(f"file {file_id} not found")
            return self.files[file_id]

    def delete_file(self, file_id: str) -> dict[str, Any]:
        """Delete for good."""
        with self._lock:
            self.get_file(file_id).path.unlink()
            del self.files[file_id]
        return {"id": file_id, "object": "file", "deleted": True}

    # Batches

    def create_batch(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Accept a batch; what its lines hold is only judged after `validating`."""
        if fields.get("endpoint") != limits.BATCH_ENDPOINT:
            raise rules.invalid(f"endpoint must be {limits.BATCH_ENDPOINT}")
        window = rules.window_seconds(fields.get("completion_window"))
        metadata = rules.check_metadata(fields.get("metadata"))
        with self._lock:
            source = self.files.get(str(fields.get("input_file_id")))
            if source is None or source.purpose != "batch":
                raise rules.invalid("input_file_id must name a file uploaded with purpose batch")
            created = self.clock.now()
            lines = self.lines(source.id)
            batch = BatchRecord(
                id=f"batch_{int(created):08x}{self._random.getrandbits(64):016x}",
                input_file_id=source.id,
                endpoint=limits.BATCH_ENDPOINT,
                completion_window=fields["completion_window"],
                metadata=metadata,
                created_at=created,
                expires_at=created + window,
                total=sum(1 for _ in lines),
                problems=list(rules.line_problems(self.lines(source.id), self.behaviour)),
            )
            batch.balance_failure = self._reserve_exceeds_balance(batch)
            self.batches[batch.id] = batch
            return self._shape(batch)

    def lines(self, file_id: str) -> Iterator[bytes]:
        """The lines of a stored file, cut on the newline byte."""
        with self.files[file_id].path.open("rb") as stored:
            for line in stored:
                yield line.removesuffix(b"\n")

    def _reserve_exceeds_balance(self, batch: BatchRecord) -> bool:
        worst = batch.total * limits.DEFAULT_MAX_COMPLETION_TOKENS / 1e6 * _WORST_CASE_YUAN
        return self.behaviour.reserve_balance and worst > self.balance

    def get_batch(self, batch_id: str) -> dict[str, Any]:
        """One batch as it stands now."""
        with self._lock:
            if batch_id not in self.batches:
                raise rules.not_found(f"batch {batch_id} not found")
            return self._shape(self.batches[batch_id])

    def list_batches(self, after: str | None, limit: int) -> dict[str, Any]:
        """One page of batches behind the id `after`."""
        with self._lock:
            ids = list(self.batches)
            if self.behaviour.newest_first:
                ids.reverse()
            start = ids.index(after) + 1 if after in ids else 0
            page = ids[start : start + min(limit, self.behaviour.max_list_limit)]
            data = [self._shape(self.batches[batch_id]) for batch_id in page]
            return {"object": "list", "data": data, "has_more": start + len(page) < len(ids)}

    def cancel_batch(self, batch_id: str) -> dict[str, Any]:
        """Start a cancel where the status allows one."""
        with self._lock:
            status = self.get_batch(batch_id)["status"]
            allowed = ["validating", "in_progress"]
            allowed += ["finalizing"] if self.behaviour.cancel_in_finalizing else []
            if status in allowed:
                self.batches[batch_id].cancelling_at = self.clock.now()
            elif status != "cancelling" or self.behaviour.cancel_again_status != 200:
                raise rules.invalid(f"cannot cancel a batch in status {status}")
            return self._shape(self.batches[batch_id])

    def stage(self, batch: BatchRecord) -> Stage:
        """Where a batch stands now; its result files exist from its last status on."""
        stage = stage_at(batch, self.clock.now(), self.timing)
        if stage.status in limits.TERMINAL_STATUSES and not batch.settled:
            batch.settled = True
            write_results(self, batch, stage)
        return stage

    def _settle_all(self) -> None:
        for batch in self.batches.values():
            self.stage(batch)

    def add_result_file(self, filename: str, content: bytes) -> str | None:
        """Store an output or error file; nothing is stored for no content."""
        if not content:
            return None
        record = self._new_file(filename, "batch_output")
        record.path.write_bytes(content)
        self.files[record.id] = record
        return record.id

    def _shape(self, batch: BatchRecord) -> dict[str, Any]:
        stage = self.stage(batch)
        done = batch.completed if batch.settled else int(batch.total * stage.share_done)
        counts = {"total": batch.total, "completed": done, "failed": batch.failed}
        if stage.status == "validating":
            counts = {"total": 0, "completed": 0, "failed": 0}
        shape: dict[str, Any] = {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "input_file_id": batch.input_file_id,
            "completion_window": batch.completion_window,
            "status": stage.status,
            "created_at": int(batch.created_at),
            "expires_at": int(batch.expires_at),
            "request_counts": None if self.behaviour.null_request_counts else counts,
            "metadata": batch.metadata,
        }
        for name in ("in_progress", "finalizing", "completed", "failed", "cancelling", "cancelled"):
            at = getattr(stage, f"{name}_at")
            shape[f"{name}_at"] = None if at is None else int(at)
        for name in ("output_file_id", "error_file_id"):
            file_id = getattr(batch, name)
            if file_id is not None or self.behaviour.empty_file_id != "absent":
                shape[name] = "" if file_id is None and self.behaviour.empty_file_id == "empty" else file_id
        return shape

    # The rest

    def list_models(self) -> dict[str, Any]:
        """The models that the key may use."""
        data = [
            {
                "id": model,
                "object": "model",
                "created": 1_780_000_000,
                "owned_by": "moonshot",
                "context_length": 262_144,
            }
            for model in self.behaviour.models
        ]
        return {"object": "list", "data": data}

    def get_balance(self) -> dict[str, Any]:
        """Money left."""
        data = {"available_balance": self.balance, "voucher_balance": 0.0, "cash_balance": self.balance}
        return {"code": 0, "scode": "0x0", "status": True, "data": data}

    def estimate_tokens(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Count the tokens of messages."""
        self._check_model(fields)
        return {"data": {"total_tokens": count_tokens(fields["messages"])}}

    def chat(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Answer at once, at the standard price."""
        self._check_model(fields)
        if self.balance <= 0:
            raise rules.RefusedError(429, "exceeded_current_quota_error", "suspended due to insufficient balance")
        if key := rules.forbidden_key(fields):
            raise rules.invalid(f"invalid {key}: only 1 is allowed for this model")
        answer = self.responder({"custom_id": "", "body": fields})
        if answer is None:
            raise rules.RefusedError(500, "server_error", "no answer")
        if isinstance(answer, RowError):
            raise rules.RefusedError(answer.status_code, answer.code, answer.message)
        assert isinstance(answer, Answer)
        return completion(fields, answer, int(self.clock.now()))

    def _check_model(self, fields: dict[str, Any]) -> None:
        if fields.get("model") not in self.behaviour.models:
            raise rules.not_found(f"Not found the model {fields.get('model')!r} or Permission denied")
        if not isinstance(fields.get("messages"), list) or not fields["messages"]:
            raise rules.invalid("messages is required")
