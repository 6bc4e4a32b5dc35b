"""Halving: a shard that the platform refuses for its size, though there is room, is asked in two batches."""

from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from airflow_provider_kimi.calls.fetch import fetch_file
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.pending import PendingShard
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.submission.create import upload_shard
from airflow_provider_kimi.submission.earlier_work import is_lost, may_have_answers
from airflow_provider_kimi.submission.in_flight import count_active
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import Made

#: Refusals of a shard after which it is halved, where nothing of the account runs.
REFUSALS = 2

#: The same where batches of others run, whose end may make room as well.
REFUSALS_BESIDE_OTHERS = 6

#: A shard of so few rows is halved no more. If the balance does not allow it, waiting is of no use.
FEWEST_ROWS = 10


def is_its_size(job: Job, shard: PendingShard, running: int) -> bool:
    """Whether a shard was refused so often that its size must be the reason.

    :param running: How many batches of the task run.
    """
    if running or shard.refusals < REFUSALS:
        return False
    if shard.refusals >= REFUSALS_BESIDE_OTHERS:
        return True
    try:
        return not count_active(job.calls)
    except KimiError as error:
        job.calls.log.warning("Whether other batches run could not be read: %s", error)
        return False


def halves_of(job: Job, shard: PendingShard, tags: Tags, made: Made) -> list[PendingShard]:
    """Upload the halves of a shard; itself, if it cannot be halved.

    Rounds after the first are not, nor what is only the rest of a shard: their parts would have no names.

    :param tags: Of its batch.
    """
    name = ShardName.of(shard.shard)
    if name is None or shard.round or shard.rows <= FEWEST_ROWS or _is_asked(job, tags):
        return [shard]
    with TemporaryDirectory(prefix="kimi-halves-") as folder:
        path = Path(folder) / "input.jsonl"
        fetched = fetch_file(job.calls, shard.file_id, path, expected_lines=shard.rows, names_requests=True)
        if fetched.lines != shard.rows:
            job.calls.log.warning("The platform gives another file than was uploaded. It is not halved.")
            return [shard]
        content = Slice(path, 0, path.stat().st_size, shard.rows)
        whole = Shard(name.number, content, content.fingerprint(), name.part, shard.fingerprint)
        job.calls.log.warning("Shard %s was refused %s times. It is halved.", shard.label, shard.refusals)
        return [_uploaded(job, shard, half, tags, made) for half in whole.halves]


def _uploaded(job: Job, whole: PendingShard, half: Shard, tags: Tags, made: Made) -> PendingShard:
    name = str(job.name(half))
    uploaded = upload_shard(job, half, half.content, replace(tags, shard=name), made)
    return replace(whole, file_id=uploaded.file_id, rows=uploaded.rows, shard=name, refusals=0)


def _is_asked(job: Job, tags: Tags) -> bool:
    """Whether a batch of any of its rows lives or has answers."""
    found = job.find(lambda batch: Tags.of(batch).meets(tags)).batches
    return any(not is_lost(batch) or may_have_answers(batch) for batch in found)
