"""The manifest: what a run of batches came to, as plain JSON for XCom and for `manifest.json`."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_provider_kimi.api.errors import redact
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import PROMPT_FINGERPRINT_KEY
from airflow_provider_kimi.batch.prices import PriceList, Usage, cost_of
from airflow_provider_kimi.batch.rows import ROW_STATUSES, Row, absent_status

#: Version of the manifest's shape.
SCHEMA_VERSION = 1

#: Reasons for a row without an answer that are told apart, by their first characters.
MAX_REASONS = 1000
MAX_REASON_CHARS = 200

#: A code and a message in which numbers, such as a line's, do not count.
_Reason = tuple[str, str]
_NUMBER = re.compile(r"\d+")

#: What the event of an asset repeats of it: what its consumers decide by, and where the rest is.
_IN_EVENTS = (
    *("schema_version", "status", "model", "counts", "usage", "cost", "rounds", "results_file", "dead_letter_file"),
    *("input_fingerprint", "prompt_fingerprint", "completed_at"),
)

ManifestStatus = Literal["completed", "partial", "failed"]


@dataclass
class Tally:
    """Adds rows up as they go by."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    reasons: Counter[_Reason] = field(default_factory=Counter)
    first_messages: dict[_Reason, str] = field(default_factory=dict)
    usage: dict[str | None, Usage] = field(default_factory=dict)
    leaked: int = 0

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> "Tally":
        """Take the counts of a result that was landed before; why rows failed is not in them."""
        return cls(Counter({status: manifest["counts"].get(status, 0) for status in ROW_STATUSES}))

    def add(self, row: Row, model: str | None = None) -> None:
        """Count one row and its tokens; a row that was cut or refused after an answer is billed too.

        :param model: The model that was asked, which sets the price; None takes the one that answered.
        """
        self.counts[row.status] += 1
        self.leaked += row.leaked
        if row.error_code:
            self._add_error(row.error_code, row.error_message or "")
        named = model or row.model
        if named not in self.usage:
            self.usage[named] = Usage()
        self.usage[named].add(row)

    def _add_error(self, code: str, message: str) -> None:
        reason = (code, _NUMBER.sub("#", message)[:MAX_REASON_CHARS])
        if reason not in self.reasons and len(self.reasons) >= MAX_REASONS:
            reason = (code, "")
        self.errors[code] += 1
        self.reasons[reason] += 1
        self.first_messages.setdefault(reason, redact(message))

    def add_unnamed(self, rows: int, batch_status: str) -> None:
        """Count rows that a batch had but that are known by number only, because its input file is gone."""
        if rows > 0:
            self.counts[absent_status(batch_status)] += rows

    @property
    def model(self) -> str | None:
        """The model, the first one where there are several; None where none is known."""
        return next(filter(None, self.usage), None)

    @property
    def total_usage(self) -> Usage:
        """Tokens of all models."""
        total = Usage()
        for tokens in self.usage.values():
            total.add(tokens)
        return total

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def unusable(self) -> int:
        """Rows without a usable answer."""
        return self.total - self.counts["succeeded"]

    @property
    def status(self) -> ManifestStatus:
        """The whole in one word."""
        if not self.counts["succeeded"]:
            return "failed"
        return "partial" if self.unusable else "completed"

    def summary(self) -> str:
        """Say the counts, the commonest error, and its commonest reason, in one line."""
        counts = ", ".join(f"{self.counts[status]:,} {status}" for status in ROW_STATUSES if self.counts[status])
        commonest = ""
        if self.errors:
            code, times = self.errors.most_common(1)[0]
            reason = max((reason for reason in self.reasons if reason[0] == code), key=self.reasons.__getitem__)
            alike = "" if self.reasons[reason] == times else f" (of which {self.reasons[reason]:,} like the following)"
            often = "once" if times == 1 else f"{times:,} times"
            commonest = f"; the commonest error, {often}: {code}{alike}: {self.first_messages[reason]}"
        return f"{self.total:,} row{'' if self.total == 1 else 's'}: {counts}{commonest}"


def build_manifest(
    batches: Sequence[Batch],
    tally: Tally,
    *,
    prices: PriceList,
    files: Mapping[str, str | None],
) -> dict[str, Any]:
    """Describe the result.

    :param files: URIs of `output_file`, `error_file`, `results_file`, `dead_letter_file`; None where there is none.
    """
    metadata = batches[0].metadata or {}
    return {
        "schema_version": SCHEMA_VERSION,
        "batch_ids": [batch.id for batch in batches],
        "status": tally.status,
        "model": tally.model,
        "counts": {"total": tally.total, **{status: tally.counts[status] for status in ROW_STATUSES}},
        "usage": tally.total_usage.to_dict(),
        "cost": cost_of(tally.usage, prices),
        "rounds": 1,
        **files,
        "input_fingerprint": metadata.get("kimi_input_fingerprint"),
        "prompt_fingerprint": metadata.get(PROMPT_FINGERPRINT_KEY),
        "created_at": _iso(min((b.created_at for b in batches if b.created_at), default=None)),
        "completed_at": _iso(max((b.ended_at for b in batches if b.ended_at), default=None)),
    }


def event_summary(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the event of an asset says of a result, whatever the number of its batches."""
    return {key: manifest[key] for key in _IN_EVENTS}


def _iso(epoch_seconds: int | None) -> str | None:
    return None if epoch_seconds is None else datetime.fromtimestamp(epoch_seconds, UTC).isoformat()
