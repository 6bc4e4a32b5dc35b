"""Submit: upload what was prepared and create its batches, each of them once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from airflow_provider_kimi.api.limits import MAX_FILES
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.media import PLACEHOLDER, with_file_ids
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.parameters import check_model, check_offered
from airflow_provider_kimi.requests.prepare import prepare
from airflow_provider_kimi.requests.row_notes import write_notes
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.submission.attach import attach, remember, warn_of_others
from airflow_provider_kimi.submission.create import submit_shard, upload_shard
from airflow_provider_kimi.submission.earlier_work import is_untouched, live
from airflow_provider_kimi.submission.estimate import estimate
from airflow_provider_kimi.submission.failing import failing_with
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight, Room
from airflow_provider_kimi.submission.job import Job, Memory
from airflow_provider_kimi.submission.later import pending_of
from airflow_provider_kimi.submission.rest import rest_of
from airflow_provider_kimi.submission.settle import Made, settle

#: Looks at a job whose work is not all there, before anything is uploaded for it; raises to refuse it, or to postpone
#: it. It is told whether some of the work is there.
Approve = Callable[[Job, bool], None]


@dataclass(frozen=True)
class Submission:
    """What was submitted: a batch for each shard, in order, behind those that have answered part of it before.

    :param cancelled: Those that had been cancelled by then.
    :param pending: What is still to be created; None where there is room for all.
    :param saved: Name of the saved file, if it answers every row, so that there is no batch; None if there is one.
    """

    batch_ids: list[str]
    input_file_ids: list[str]
    request_count: int
    cancelled: list[str] = field(default_factory=list)
    pending: Pending | None = None
    saved: str | None = None


def submit(
    calls: Calls,
    order: Order,
    attempt: Attempt,
    memory: Memory | None = None,
    approve: Approve | None = None,
    in_flight: InFlight | None = None,
) -> Submission:
    """Check, look for the same work of an earlier attempt, and only what is not there upload and create.

    Nothing is sent before the whole input is known to be sendable.

    :param memory: Where ids are noted for later attempts; None where there is no such place.
    :param approve: What may refuse the job; it is not asked where all of its work is there. None refuses nothing.
    :param in_flight: How many batches may run; what finds no room is only uploaded. None creates all of them.
    :raises KimiInputError: The input or a parameter is wrong.
    :raises KimiError: The platform refused, or did not answer.
    """
    with checked_job(calls, order, attempt, memory) as (job, workshop):
        if not job.prepared.shards:
            warn_of_others(job)
            return Submission([], [], 0, saved=job.saved)
        made = make_batches(job, workshop, approve, in_flight)
    in_order, pending = pending_of(made.in_order(), made)
    return Submission(
        [batch.id for batch in in_order],
        [batch.input_file_id for batch in in_order if batch.input_file_id],
        job.prepared.request_count,
        [batch.id for batch in in_order if batch.status in ("cancelling", "cancelled")],
        pending,
    )


@contextmanager
def checked_job(
    calls: Calls, order: Order, attempt: Attempt, memory: Memory | None = None
) -> Iterator[tuple[Job, Path]]:
    """Check the whole input, and keep its requests on this machine's disk meanwhile.

    Yields the job, and a folder on this machine for what is written on the way.

    :raises KimiInputError: The input or a parameter is wrong. Nothing was sent.
    """
    order.check()
    with TemporaryDirectory(prefix="kimi-submit-") as folder:
        workshop = Path(folder)
        prepared = prepare(order, workshop, calls.log)
        job = Job(calls, order, attempt, prepared, memory)
        if prepared.shards:
            tags = job.tags(prepared.shards[0], "" if prepared.skipped else None)
            tags = replace(tags, round="2") if order.has_rounds else tags
            tags.to_metadata(order.metadata)  # refused before anything is sent
            parameters = dict(order.recipe.request_params)
            calls.log.info("Checked %s.", estimate(prepared, parameters, calls.hook.settings.billing_region))
        if order.recipe.rules.mode != "off" and (warning := check_model(prepared.model)):
            calls.log.warning("%s", warning)
        yield job, workshop


def make_batches(job: Job, workshop: Path, approve: Approve | None = None, in_flight: InFlight | None = None) -> Made:
    """Attach to what exists, submit what does not, and agree with whoever submits the same at this time.

    :param workshop: A folder on this machine for what is written on the way.
    :param approve: What may refuse to submit; None refuses nothing.
    :param in_flight: How many batches may run; what finds no room is only uploaded. None creates all of them.
    """
    found = attach(job)
    job = found.job
    made = Made(
        job, found.batches, set(found.unsure), ended=found.ended, later=found.later, waits=in_flight is not None
    )
    if len(made.batches) < len(job.labels):
        _submit_missing(job, made, workshop, approve, in_flight, found.replaced)
    else:
        cancel_batches(job.calls, found.replaced)
        if not found.is_settled and any(map(is_untouched, made.batches.values())):
            settle(job, made)  # whoever made it may be about to cancel it
    remember(job, made.batches, made.ended, is_settled=True)
    return made


def _preflight(job: Job) -> None:
    """Refuse a model that the platform has not, since it would tell only by failing the batch."""
    if job.order.recipe.rules.mode == "off":
        return
    model = job.prepared.model
    try:
        offered = [offer.id for offer in job.calls.hook.list_models()]
    except KimiError as error:
        job.calls.log.warning("Whether the platform has model %r could not be asked: %s", model, error)
        return
    check_offered(model, offered)


def _check_room(job: Job) -> None:
    """Say in time that the account keeps nearly as many files as it may, at which every upload is refused."""
    try:
        kept = len(job.calls.hook.list_files())
    except KimiError as error:
        job.calls.log.info("How many files the account keeps could not be asked: %s", error)
        return
    if kept > 0.9 * MAX_FILES:
        job.calls.log.warning(
            "The account keeps %s files; at %s every upload is refused, of every DAG. Delete files with "
            "KimiDeleteFilesOperator, or with delete_remote_files=True where results are landed.",
            f"{kept:,}",
            f"{MAX_FILES:,}",
        )


def _submit_missing(
    job: Job,
    made: Made,
    workshop: Path,
    approve: Approve | None,
    in_flight: InFlight | None,
    replaced: Sequence[str],
) -> None:
    """Upload what was not found, and create it as far as there is room.

    :param replaced: Batches of an earlier input, which are cancelled once nothing refuses this one.
    """
    with failing_with(job, made):
        _preflight(job)
        if approve is not None:
            _approve(job, made, approve)
        cancel_batches(job.calls, replaced)
        _submit_shards(job, made, workshop, in_flight)
        if made.own:
            settle(job, made)
    _check_room(job)  # last: it saves nothing now, and may be one request too many


def _approve(job: Job, made: Made, approve: Approve) -> None:
    """Ask whether to go on. If not, and nothing was sent before, a later attempt decides anew what is sent."""
    is_begun = bool(made.batches or made.ended)
    try:
        approve(job, is_begun)
    except KimiError:
        if job.order.saving and job.prepared.saved and not is_begun and not made.unsure:
            job.order.saving.forget(job.prepared.saved.name)
        raise


def _submit_shards(job: Job, made: Made, workshop: Path, in_flight: InFlight | None) -> None:
    room = Room() if in_flight is None else in_flight.room(job.calls, len(live(made.all())), len(made.batches))
    made.has_turns = room.has_turns
    skipped_file = _skipped_file(job, made.batches)
    file_ids = _uploaded_media(job)
    note_file = _note_file(job, made.batches, skipped_file, workshop)
    for whole in job.shards:
        if job.label(whole) in made.batches:
            continue
        shard = _still_to_ask(job, whole, made, workshop)
        if shard is None:
            continue
        content = shard.content
        if file_ids:
            content = content.rewritten(
                workshop / f"shard-{job.name(shard).short}.jsonl", partial(with_file_ids, file_ids=file_ids)
            )
        tags = job.tags(shard, skipped_file, note_file)
        if len(made.own) < room.batches and made.refusal is None:
            submit_shard(job, shard, content, tags, made)
        else:
            upload_shard(job, shard, content, tags, made)
        if file_ids:
            content.path.unlink()
        remember(job, made.batches, made.ended)
        job.calls.stop.check()


def _still_to_ask(job: Job, shard: Shard, made: Made, workshop: Path) -> Shard | None:
    """What is to be submitted of a shard; None where batches that have ended have answered every row."""
    label = job.label(shard)
    if label not in made.ended:
        return shard
    rest = rest_of(job, shard, made.ended[label], workshop)
    made.ended[label] = rest.ended
    if rest.shard is None:
        made.ended[label], made.batches[label] = rest.ended[:-1], rest.ended[-1]
    return rest.shard


def _skipped_file(job: Job, batches: Mapping[str, Batch]) -> str | None:
    """Keep the rows that are left out on the platform, beside the batches that lack them."""
    if job.prepared.skipped is None:
        return None
    known = (Tags.of(batch).skipped_file for batch in batches.values())
    return next(filter(None, known), None) or _kept(job, job.prepared.skipped, "skipped")


def _note_file(job: Job, batches: Mapping[str, Batch], skipped_file: str | None, workshop: Path) -> str | None:
    """Keep the notes of the rows on the platform; None if the metadata has room for them."""
    if not job.needs_note_file(skipped_file):
        return None
    known = next(filter(None, (Tags.of(batch).note_file for batch in batches.values())), None)
    if known is None:
        write_notes(job.prepared.notes, workshop / "notes.jsonl")
    return known or _kept(job, workshop / "notes.jsonl", "note")


def _kept(job: Job, path: Path, kind: str) -> str:
    """Upload a file of the job, unless an attempt whose creates were all refused has left it there."""
    name = f"{job.key}-{kind}.jsonl"
    if job.attempt.number > 1 and (known := job.uploads.newest(name, path.stat().st_size)):
        return known
    job.calls.stop.check()
    with path.open("rb") as content:
        return job.calls.upload(content, name).id


def _uploaded_media(job: Job) -> dict[bytes, bytes]:
    """Upload each image and video once; one that an earlier attempt uploaded is found by its name."""
    if not job.prepared.media:
        return {}
    ids: dict[bytes, bytes] = {}
    for placeholder, (kind, path) in job.prepared.media.items():
        file_id = job.uploads.newest(path.name, path.stat().st_size)
        if file_id is None:
            job.calls.stop.check()
            with path.open("rb") as content:
                file_id = job.calls.upload(content, path.name, kind).id
        ids[placeholder.removeprefix(PLACEHOLDER).encode()] = file_id.encode()
    job.calls.log.info("%s images and videos are on the platform.", len(ids))
    return ids
