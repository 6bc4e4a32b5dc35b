"""Whether to pay: what an earlier attempt of the same work left on the platform decides."""

from collections.abc import Iterable
from typing import Literal

from airflow_provider_kimi.api.models import Batch

#: `auto` attaches to live or completed work of the same job; `never` always submits anew.
Reuse = Literal["auto", "never"]

#: Ends after which the work has to be done again. Any other status, known or not, is work that lives or is done.
_LOST_STATUSES = frozenset({"failed", "expired", "cancelled", "cancelling"})


def is_of_job(batch: Batch, job_key: str, shard: str) -> bool:
    """Whether a batch was created for this shard of this job."""
    metadata = batch.metadata or {}
    return metadata.get("kimi_job_key") == job_key and metadata.get("kimi_shard") == shard


def batch_to_attach(found: Iterable[Batch]) -> Batch | None:
    """Choose among batches of one shard of one job; None means that the work has to be submitted.

    Where there are several, every attempt chooses the same: the oldest, then the smallest id.
    """
    usable = [batch for batch in found if batch.status not in _LOST_STATUSES]
    return min(usable, key=lambda batch: (batch.created_at or 0, batch.id), default=None)
