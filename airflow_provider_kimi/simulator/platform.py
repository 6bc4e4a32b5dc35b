"""The platform behind the routes: its files and batches, and what each call does to them. It knows nothing of HTTP."""

import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO

from airflow_provider_kimi.simulator import limits, listing, rules
from airflow_provider_kimi.simulator.answers import Responder, RowError, completion, count_tokens
from airflow_provider_kimi.simulator.behaviour import Behaviour, Clock, Timing
from airflow_provider_kimi.simulator.files import FileRecord, FileStore
from airflow_provider_kimi.simulator.lifecycle import BatchRecord, Stage, stage_at
from airflow_provider_kimi.simulator.media import MEDIA_PURPOSES
from airflow_provider_kimi.simulator.results import write_results
from airflow_provider_kimi.simulator.shapes import batch_shape
from airflow_provider_kimi.simulator.thinking import starve

#: Yuan per million output tokens, for the check of the balance before a batch starts.
WORST_CASE_YUAN = 16.20

#: The tokens of an answer that are billed.
_BILLED = ("prompt_tokens", "completion_tokens")


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
        self.files = FileStore(clock, behaviour)
        self.batches: dict[str, BatchRecord] = {}
        self.odd_batches: list[Mapping[str, Any]] = []
        self.chat_usage: Counter[str] = Counter()
        self._lock = threading.RLock()

    def close(self) -> None:
        """Remove every stored file."""
        self.files.close()

    # Files

    def upload_file(self, filename: str, purpose: str, content: BinaryIO, key: str) -> dict[str, Any]:
        """Store an upload of the user with this key."""
        with self._lock:
            self._settle_all()
            return self.files.upload(filename, purpose, content, key).shape()

    def list_files(self) -> dict[str, Any]:
        """All files; no paging is documented."""
        with self._lock:
            self._settle_all()
            shown = [record.shape() for record in self.files.listed()]
        return listing.list_of(shown, self.behaviour) | {"first_id": "", "last_id": "", "has_more": False}

    def file_ids(self, purpose: str) -> list[str]:
        """Ids of the files of one purpose, oldest first, whether or not they are listed."""
        with self._lock:
            self._settle_all()
            return [record.id for record in self.files.records.values() if record.purpose == purpose]

    def get_file(self, file_id: str) -> FileRecord:
        """One file."""
        with self._lock:
            self._settle_all()
            return self.files.get(file_id)

    def open_content(self, file_id: str, key: str) -> FileRecord:
        """One file whose bytes may be downloaded with this key."""
        with self._lock:
            self._settle_all()
            record = self.files.get(file_id, key)
        if record.purpose in MEDIA_PURPOSES:
            raise rules.invalid(f"the content of an {record.purpose} file cannot be downloaded")
        return record

    def delete_file(self, file_id: str, key: str) -> dict[str, Any]:
        """Delete a file; a batch that uses it as its input goes on."""
        with self._lock:
            self._settle_all()
            in_use = any(batch.input_file_id == file_id and not batch.settled for batch in self.batches.values())
            self.files.delete(self.files.get(file_id, key).id, keep_bytes=in_use)
        return {"id": file_id, "object": "file", "deleted": True}

    # Batches

    def create_batch(self, fields: dict[str, Any], key: str) -> dict[str, Any]:
        """Accept a batch; what its lines hold is only judged after `validating`."""
        if fields.get("endpoint") != limits.BATCH_ENDPOINT:
            raise rules.invalid(f"endpoint must be {limits.BATCH_ENDPOINT}")
        window = rules.window_seconds(fields.get("completion_window"))
        metadata = rules.check_metadata(fields.get("metadata"))
        with self._lock:
            created = self.clock.now()
            source = self._input_file(fields.get("input_file_id"), created, key)
            batch = BatchRecord(
                id=f"batch_{int(created):08x}{secrets.token_hex(8)}",
                input_file_id=source.id,
                endpoint=limits.BATCH_ENDPOINT,
                completion_window=fields["completion_window"],
                metadata=metadata,
                created_by=key,
                created_at=created,
                expires_at=created + window,
                total=sum(1 for _ in self.files.lines(source.id)),
                problems=list(rules.line_problems(self.files.lines(source.id), self.behaviour)),
            )
            if batch.problems and self.behaviour.line_errors == "refused":
                raise rules.invalid(batch.problems[0][1].message)
            self._check_queue(batch)
            self._check_money(batch)
            self.batches[batch.id] = batch
            return self._shape(batch)

    def _input_file(self, file_id: object, now: float, key: str) -> FileRecord:
        source = self.files.records.get(str(file_id))
        if source is None or source.purpose != "batch":
            raise rules.invalid("input_file_id must name a file uploaded with purpose batch")
        is_young = now < source.created_at + self.behaviour.file_lag_seconds
        if is_young or not self.files.may_use(source, key):
            raise rules.invalid(f"input file {source.id} not found")
        return source

    def _check_queue(self, batch: BatchRecord) -> None:
        """Refuse a batch for which there is no room, at once or later."""
        known = self.batches.values()
        active = [each for each in known if self.stage(each).status not in limits.TERMINAL_STATUSES]
        most, rows = self.behaviour.max_active_batches, self.behaviour.max_queued_rows
        if most is not None and len(active) >= most:
            reason = f"reached the max of {most} concurrent batches"
        elif rows is not None and sum(each.total for each in active) + batch.total > rows:
            reason = f"the queue is full: at most {rows} enqueued requests"
        else:
            return
        if self.behaviour.full_queue == "refused":
            raise rules.RefusedError(429, "rate_limit_reached_error", reason)
        batch.problems = batch.problems or [("", RowError("rate_limit_reached_error", reason, 429))]

    def _check_money(self, batch: BatchRecord) -> None:
        if batch.problems or not self._lacks_money(batch):
            return
        if self.behaviour.lacking_money == "refused":
            raise rules.RefusedError(429, "exceeded_current_quota_error", "insufficient balance for this batch")
        batch.balance_failure = True

    def _lacks_money(self, batch: BatchRecord) -> bool:
        if self.balance <= 0 or not self.behaviour.reserve_balance:
            return self.balance <= 0
        return rules.reserved_tokens(self.files.lines(batch.input_file_id)) / 1e6 * WORST_CASE_YUAN > self.balance

    def get_batch(self, batch_id: str) -> dict[str, Any]:
        """One batch, once it can be read."""
        with self._lock:
            for odd in self.odd_batches:
                if odd.get("id") == batch_id:
                    return dict(odd)
            batch = self._batch(batch_id)
            if max(self.clock.now() - batch.created_at, 0) < self.behaviour.batch_lag_seconds:
                raise _no_such_batch(batch_id)
            return self._shape(batch, self._seen_at(batch))

    def add_odd_batch(self, shape: Mapping[str, Any]) -> None:
        """Show a batch that nobody created, as it is, newest of all."""
        with self._lock:
            self.odd_batches.append(shape)

    def status(self, batch_id: str) -> str:
        """Where a batch stands, whatever the platform shows of it."""
        with self._lock:
            return self.stage(self._batch(batch_id)).status

    def _batch(self, batch_id: str) -> BatchRecord:
        if batch_id not in self.batches:
            raise _no_such_batch(batch_id)
        return self.batches[batch_id]

    def list_batches(self, after: str | None = None, limit: str | None = None) -> dict[str, Any]:
        """One page of batches behind the id `after`."""
        length = listing.page_length(limit, self.behaviour)
        with self._lock:
            listed_until = self.clock.now() - self.behaviour.list_lag_seconds
            rows = [self._row(batch) for batch in self.batches.values() if batch.created_at <= listed_until]
            odd = [listing.odd_row(shape) for shape in self.odd_batches]
            return listing.page([*rows, *odd], after, length, self.behaviour)

    def _row(self, batch: BatchRecord) -> listing.Row:
        moment = self._seen_at(batch)
        has_ended = stage_at(batch, moment, self.timing).status in limits.TERMINAL_STATUSES
        return listing.Row(batch.id, has_ended, lambda: listing.listed(self._shape(batch, moment), self.behaviour))

    def cancel_batch(self, batch_id: str) -> dict[str, Any]:
        """Start a cancel where the status allows one."""
        with self._lock:
            batch = self._batch(batch_id)
            status = self.stage(batch).status
            allowed = ["validating", "in_progress"]
            allowed += ["finalizing"] if self.behaviour.cancel_in_finalizing else []
            if status in allowed:
                batch.cancelling_at = self.clock.now()
            elif status != "cancelling" or self.behaviour.cancel_again_status != 200:
                raise rules.invalid(f"cannot cancel a batch in status {status}")
            return self._shape(batch)

    def stage(self, batch: BatchRecord) -> Stage:
        """Where a batch stands now; its result files exist from its last status on."""
        stage = stage_at(batch, self.clock.now(), self.timing)
        if stage.status in limits.TERMINAL_STATUSES and not batch.settled:
            batch.settled = True  # first, so that a responder may look at its own batch
            try:
                write_results(self, batch, stage)
            except Exception:
                batch.settled = False
                raise
        return stage

    def _settle_all(self) -> None:
        for batch in self.batches.values():
            self.stage(batch)
        self.files.drop_old_results()

    def _shape(self, batch: BatchRecord, moment: float | None = None) -> dict[str, Any]:
        """The batch as the API shows it at a moment; None: now."""
        moment = self.clock.now() if moment is None else moment
        self.stage(batch)  # second: what had ended at `moment` has its results by now
        return batch_shape(batch, moment, self.timing, self.behaviour)

    def _seen_at(self, batch: BatchRecord) -> float:
        """The moment whose state a read shows."""
        now = self.clock.now()
        return min(max(batch.created_at, now - self.behaviour.stale_read_seconds), now)

    # Models, money and chat

    def list_models(self) -> dict[str, Any]:
        """The models that the key can use."""
        data = [
            {
                "id": model,
                "object": "model",
                "created": 1_780_000_000,
                "owned_by": "moonshot",
                "context_length": limits.K3_CONTEXT_TOKENS if model == "kimi-k3" else limits.CONTEXT_TOKENS,
                "supports_image_in": True,
                "supports_video_in": True,
                "supports_reasoning": True,
            }
            for model in self.behaviour.models
        ]
        return listing.list_of(data, self.behaviour)

    def get_balance(self) -> dict[str, Any]:
        """The money on the account."""
        data = {"available_balance": self.balance, "voucher_balance": 0.0, "cash_balance": self.balance}
        return {"code": 0, "scode": "0x0", "status": True, "data": data}

    def estimate_tokens(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Count the tokens of messages."""
        self._check_model(fields)
        return {"data": {"total_tokens": count_tokens(fields["messages"])}}

    def chat(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Answer at once, at the standard price."""
        self._check_model(fields)
        self._check_chat(fields)
        answer = self.responder({"custom_id": "", "body": fields})
        if answer is None:
            raise rules.RefusedError(500, "server_error", "no answer")
        if isinstance(answer, RowError):
            raise rules.RefusedError(answer.status_code, answer.code, answer.message)
        answer = starve(answer, fields, self.behaviour.starve_below_tokens)
        answered = completion(fields, answer, int(self.clock.now()))
        with self._lock:
            self.chat_usage.update({"calls": 1, **{kind: answered["usage"][kind] for kind in _BILLED}})
        return answered

    def _check_chat(self, fields: dict[str, Any]) -> None:
        if self.balance <= 0:
            raise rules.RefusedError(429, "exceeded_current_quota_error", "suspended due to insufficient balance")
        if key := rules.unfixed_key(fields):
            fixed = limits.FIXED_BODY_VALUES[key][0]
            raise rules.invalid(f"invalid {key}: only {fixed} is allowed for this model")
        if fields.get("stream"):
            raise rules.invalid("the simulator does not stream")
        with self._lock:
            problem = rules.request_problem(fields, self.behaviour, self.files.purpose_of)
        if problem:
            raise rules.invalid(problem)

    def _check_model(self, fields: dict[str, Any]) -> None:
        if fields.get("model") not in self.behaviour.models:
            raise rules.not_found(f"Not found the model {fields.get('model')!r} or Permission denied")
        if problem := rules.messages_problem(fields):
            raise rules.invalid(problem)


def _no_such_batch(batch_id: str) -> rules.RefusedError:
    return rules.not_found(f"batch {batch_id} not found")
