"""What failed in a result, by reason: counts and a few ids, in bounded memory, and short enough for an XCom."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from airflow_provider_kimi.records.manifest import Failure, Manifest
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.rows import Row, absent_status
from airflow_provider_kimi.records.tags import shortened
from airflow_provider_kimi.results.quality import most_frequent, shorter_gold

#: How many pairs of a status and a reason are counted apart. Rows of a later pair count as `other` of their status.
MAX_COUNTED = 100

#: How many of them the manifest names, with how many ids of how many characters.
MAX_REASONS = 10
MAX_SAMPLE = 3
MAX_ID_CHARS = 64

#: Bytes of a manifest with failures: an XCom has 8 KB, and the names of former files may come later.
MAX_BYTES = 7_680

#: How many cells of a confusion table it has at most; and how many of them, of labels, and of labels that moved, where
#: there is less room.
MAX_CELLS = 100
_HALVES = (50, 25, 12, 6, 3, 0)
#: The reason where there is no code; and the status and the reason of all that is not named.
OTHER = "other"
MIXED = ("mixed", "further_reasons")

#: How a code is written. Anything else may be a message, which may hold a prompt, or a key.
_CODE = re.compile(r"[a-z][a-z0-9_]*|[A-Z][A-Z0-9_]*|(?:[A-Z][a-z]+)+|[0-9]+")
_MAX_CODE_CHARS = 40
_MAX_CODE_DIGITS = 4


@dataclass
class Failures:
    """Counts rows without a usable answer one by one."""

    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _samples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count one row."""
        code = row.finish_reason if row.error_code == "finish_reason" else row.error_code
        sample = self._samples[self._add(row.status, code, 1)]
        if len(sample) < MAX_SAMPLE:
            sample.append(shortened(storable(row.custom_id), MAX_ID_CHARS))

    def add_unnamed(self, rows: int, batch_status: str) -> None:
        """Count rows whose ids are not known."""
        self._add(absent_status(batch_status), f"batch_{batch_status}", rows)

    def _add(self, status: str, code: str | None, rows: int) -> tuple[str, str]:
        pair = (status, reason_of(code))
        if pair not in self._counts and len(self._counts) >= MAX_COUNTED:
            pair = (status, OTHER)
        self._counts[pair] += rows
        self._samples.setdefault(pair, [])
        return pair

    @property
    def named(self) -> list[Failure]:
        """The most common ones first, and the sum of the rest; empty if nothing failed."""
        found = [
            Failure(status=status, reason=reason, count=count, sample=[*self._samples[status, reason]])
            for (status, reason), count in self._counts.most_common()
        ]
        return _first(found, MAX_REASONS)


def reason_of(code: str | None) -> str:
    """Return a code of the platform if it is short and written as one."""
    if code is None or len(code) > _MAX_CODE_CHARS or sum(map(str.isdigit, code)) > _MAX_CODE_DIGITS:
        return OTHER
    return code if _CODE.fullmatch(code) else OTHER


def fitted(manifest: Manifest) -> Manifest:
    """Shorten what a manifest says of failures and labels until it fits into an XCom.

    Ids of failures go first, then the rarest cells and labels, and those that moved least, then the rarest reasons.
    """
    for manifest in _shorter(manifest):  # noqa: B020
        if len(json.dumps(manifest.to_dict())) <= MAX_BYTES:
            break
    return manifest


def _shorter(manifest: Manifest) -> Iterator[Manifest]:
    yield (manifest := replace(manifest, gold=shorter_gold(manifest.gold, MAX_CELLS)))
    failures = manifest.failures or []
    for most in range(MAX_SAMPLE - 1, -1, -1):
        short = [replace(failure, sample=failure.sample[:most]) for failure in failures]
        yield (manifest := replace(manifest, failures=short or UNSET))
    for most in _HALVES:
        labels = most_frequent(manifest.labels, most) if manifest.labels else UNSET
        drift = {**manifest.drift, "moves": manifest.drift.get("moves", [])[:most]} if manifest.drift else UNSET
        yield (manifest := replace(manifest, gold=shorter_gold(manifest.gold, most), labels=labels, drift=drift))
    for most in range(len(failures) - 1, -1, -1):
        yield replace(manifest, failures=_first([replace(failure, sample=[]) for failure in failures], most))


def _first(failures: Sequence[Failure], most: int) -> list[Failure]:
    """The first ones, and the sum of the rest."""
    named, rest = failures[:most], failures[most:]
    if not rest:
        return [*named]
    status, reason = MIXED
    return [*named, Failure(status=status, reason=reason, count=sum(failure.count for failure in rest))]
