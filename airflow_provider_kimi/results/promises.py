"""What the counts of ended batches promise, and whether a result holds it."""

from collections.abc import Sequence

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.shards import batches_by_shard

#: Statuses of rows without a line in any file.
_ABSENT = ("missing", "expired", "cancelled")


def lacking_files(batch: Batch) -> list[str]:
    """Name the files that a batch that has ended promises, but does not name: `output`, `error`.

    Rows that are counted are in a file. A batch that completed without an output file owes one, unless its counts say
    that every row failed; so does one that ended early and does not say how many rows were done.
    """
    counts = batch.counts
    if batch.status == "completed":
        may_have_answers = counts.failed < max(counts.total, 1)
    else:
        may_have_answers = batch.status != "failed" and batch.request_counts is None
    owed = {
        "output": batch.output_file_id is None and (counts.completed > 0 or may_have_answers),
        "error": batch.error_file_id is None and counts.failed > 0,
    }
    return [name for name, is_owed in owed.items() if is_owed]


def still_to_come(batches: Sequence[Batch]) -> str:
    """Say which files of batches that have ended are still to come; empty if none is."""
    texts = [_lack(batch, files) for batch in batches if (files := lacking_files(batch))]
    if not texts:
        return ""
    return (
        f"{' '.join(texts)} The rows without a line are missing for now. Nothing is lost, and nothing runs: clear this "
        "task later, and it lands what has come by then."
    )


def _lack(batch: Batch, files: Sequence[str]) -> str:
    counts = batch.counts
    return (
        f"The platform counts {counts.completed:,} completed and {counts.failed:,} failed of {counts.total:,} rows, "
        f"but names no {' and no '.join(files)} file yet, of batch {batch.id} ({batch.status})."
    )


def shortages(batch_ids: Sequence[str]) -> str:
    """Say that files of batches have fewer lines than the platform counts; empty for no batch."""
    if not batch_ids:
        return ""
    return (
        f"The files of {', '.join(batch_ids)} have fewer lines than the platform counts, so rows may be missing that "
        "are answered and paid. Nothing is lost, and nothing runs: clear this task later, and it lands what there is."
    )


def holds_all(manifest: Manifest, batches: Sequence[Batch]) -> bool:
    """Whether an earlier result holds a line for every row that the platform counts; False where it counts none.

    A line that came cut is a failed row, so there may be no more of those than the platform counts.
    """
    if any(lacking_files(batch) or not batch.counts.total for batch in batches):
        return False
    shards = batches_by_shard(batches)
    last = [of_shard[-1] for of_shard in shards]
    answered = [batch.counts for batch in last if batch.status != "failed"]
    refused = sum(batch.counts.total for batch in last if batch.status == "failed")
    may_lack = sum(max(counts.total - counts.completed - counts.failed, 0) for counts in answered)
    may_fail = refused + sum(counts.failed for counts in answered)
    rows, saved = manifest.counts, manifest.saved or {}
    return (
        rows.get("total", 0) - saved.get("cache", 0) - saved.get("duplicate", 0)
        >= sum(of_shard[0].counts.total for of_shard in shards)
        and sum(rows.get(status, 0) for status in _ABSENT) <= may_lack
        and rows.get("failed", 0) <= may_fail
    )


def poorer(new: Manifest, earlier: Manifest) -> str:
    """Say what an earlier result of the same rows has that a new one lacks; empty if the new one is as good.

    Rows with an answer count, whatever a schema or a check says of them, because these may have changed. Where the
    manifest of an older version does not say how many answers have text, nothing is concluded from that.
    """
    lacks = _answered(earlier) - _answered(new)
    if lacks > 0:
        return f"{lacks:,} answers fewer than the result that is there"
    if new.answers and earlier.answers:
        if (lacks := sum(earlier.answers.values()) - sum(new.answers.values())) > 0:
            return f"{lacks:,} answers with text fewer than the result that is there"
        if (lacks := earlier.answers.get("whole", 0) - new.answers.get("whole", 0)) > 0:
            return f"{lacks:,} whole answers fewer than the result that is there"
    if (gone := _total(earlier) - _total(new)) > 0:
        return f"{gone:,} rows fewer than the result that is there"
    if new.input_changes and earlier.input_changes and (more := _unjoined(new) - _unjoined(earlier)) > 0:
        return f"{more:,} more rows whose columns of the input are not known than the result that is there"
    return ""


def _answered(manifest: Manifest) -> int:
    return sum(manifest.counts.get(status, 0) for status in ("succeeded", "invalid", "truncated", "filtered"))


def _total(manifest: Manifest) -> int:
    return manifest.counts.get("total", 0) - (manifest.input_changes or {}).get("added", 0)


def _unjoined(manifest: Manifest) -> int:
    return sum((manifest.input_changes or {}).get(change, 0) for change in ("changed", "removed", "not_compared"))
