"""Submit: upload what was prepared and create its batches, each of them once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_kimi.api.limits import MAX_FILES
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.media import PLACEHOLDER, with_file_ids
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.parameters import check_model, check_offered
from airflow_provider_kimi.requests.prepare import prepare
from airflow_provider_kimi.submission.attach import attach, remember, settle
from airflow_provider_kimi.submission.create import create_batch, upload_input
from airflow_provider_kimi.submission.earlier_work import live, named
from airflow_provider_kimi.submission.estimate import estimate
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.job import Job, Memory


@dataclass(frozen=True)
class Submission:
    """What was submitted: a batch for each shard, in order."""

    batch_ids: list[str]
    input_file_ids: list[str]
    request_count: int


def submit(calls: Calls, order: Order, attempt: Attempt, memory: Memory | None = None) -> Submission:
    """Check, look for the same work of an earlier attempt, and only what is not there upload and create.

    Nothing is sent before the whole input is known to be sendable.

    :param memory: Where ids are noted for later attempts; None where there is no such place.
    :raises KimiInputError: The input or a parameter is wrong.
    :raises KimiError: The platform refused, or did not answer.
    """
    order.check()
    with TemporaryDirectory(prefix="kimi-submit-") as folder:
        workshop = Path(folder)
        prepared = prepare(order, workshop, calls.log)
        job = Job(calls, order, attempt, prepared, memory)
        tags = job.tags(prepared.shards[0], "" if prepared.skipped else None)
        tags.to_metadata(order.metadata)  # refused before anything is sent
        parameters = dict(order.recipe.request_params)
        calls.log.info("Checked %s.", estimate(prepared, parameters, calls.hook.settings.billing_region))
        if order.recipe.rules.mode != "off" and (warning := check_model(prepared.model)):
            calls.log.warning("%s", warning)
        batches = attach(job)
        if len(batches) < len(prepared.shards):
            try:
                _preflight(job)
                _check_room(job, len(prepared.shards) - len(batches))
                _submit_missing(job, batches, workshop)
            except KimiError as error:
                raise _with_batches(error, batches, job) from None
            batches = settle(job, batches)
    remember(job, batches)
    in_order = [batches[label] for label in job.labels]
    return Submission(
        [batch.id for batch in in_order],
        [batch.input_file_id for batch in in_order if batch.input_file_id],
        prepared.request_count,
    )


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


def _check_room(job: Job, missing: int) -> None:
    """Say in time that the account keeps nearly as many files as it may, at which every upload is refused."""
    uploads = missing + len(job.prepared.media) + (job.prepared.skipped is not None)
    try:
        kept = len(job.calls.hook.list_files())
    except KimiError as error:
        job.calls.log.warning("How many files the account keeps could not be asked: %s", error)
        return
    if kept + uploads > 0.9 * MAX_FILES:
        job.calls.log.warning(
            "The account keeps %s files, and this task uploads up to %s more; at %s every upload is refused, of every "
            "DAG. Delete files with KimiDeleteFilesOperator, or with delete_remote_files=True where results are "
            "landed.",
            f"{kept:,}",
            f"{uploads:,}",
            f"{MAX_FILES:,}",
        )


def _submit_missing(job: Job, batches: dict[str, Batch], workshop: Path) -> None:
    skipped_file = _skipped_file(job, batches)
    file_ids = _uploaded_media(job)
    for shard in job.prepared.shards:
        label = job.label(shard)
        if label in batches:
            continue
        content = shard.content
        if file_ids:
            content = content.rewritten(
                workshop / f"shard-{shard.number}.jsonl", partial(with_file_ids, file_ids=file_ids)
            )
        file_id = upload_input(job, shard, content)
        if file_ids:
            content.path.unlink()
        batches[label] = create_batch(job, file_id, job.tags(shard, skipped_file).to_metadata(job.order.metadata))
        remember(job, batches)
        job.calls.log.info(
            "Created batch %s (%s) from file %s: %s requests.", batches[label].id, label, file_id, shard.content.rows
        )


def _with_batches(error: KimiError, batches: Mapping[str, Batch], job: Job) -> KimiError:
    """Add to an error which batches of the job exist by now, and do with them what was asked for a final failure."""
    if not batches:
        return error
    exist = f"{error} {len(batches)} of the {len(job.prepared.shards)} batches of this task exist"
    is_final = not error.retryable or job.attempt.is_last or job.fresh is not None
    running = [batch.id for batch in live(batches.values())]
    if is_final and running and job.order.on_final_failure == "cancel":
        return KimiBatchError(f"{exist}{_cancelled(job, running, batches)}")
    ids = ", ".join(batch.id for batch in batches.values())
    if job.fresh is None:
        return error.saying(
            f"{exist}, go on and are billed. A retry or a clear of this task attaches to them and submits the rest. "
            f"They are {ids}."
        )
    return KimiBatchError(
        f"{exist}, go on and are billed. With reuse='never' another attempt would pay for them again, so the task is "
        "not retried. Set reuse='auto' and clear it: then it attaches to them and submits only the rest. They are "
        f"{ids}."
    )


def _cancelled(job: Job, running: Sequence[str], batches: Mapping[str, Batch]) -> str:
    try:
        ended = cancel_batches(job.calls, running)
    except KimiError as fault:
        return f": {named(batches.values())}. {fault}"
    return (
        f"; what ran was cancelled, as on_final_failure asks: {named(ended)}. {COMPLETED_IS_BILLED}. Clear this task "
        "to submit again."
    )


def _skipped_file(job: Job, batches: Mapping[str, Batch]) -> str | None:
    """Keep the rows that are left out on the platform, beside the batches that lack them."""
    if job.prepared.skipped is None:
        return None
    for batch in batches.values():
        if known := Tags.of(batch).skipped_file:
            return known
    name = f"{job.key}-skipped.jsonl"  # an attempt whose creates were all refused has left it there
    if known := job.kept_files().get((name, job.prepared.skipped.stat().st_size)):
        return known
    with job.prepared.skipped.open("rb") as rows:
        return job.calls.hook.upload_file(rows, name).id


def _uploaded_media(job: Job) -> dict[bytes, bytes]:
    """Upload each image and video once; one that an earlier attempt uploaded is found by its name."""
    if not job.prepared.media:
        return {}
    known = job.kept_files()
    ids: dict[bytes, bytes] = {}
    for placeholder, (kind, path) in job.prepared.media.items():
        file_id = known.get((path.name, path.stat().st_size))
        if file_id is None:
            with path.open("rb") as content:
                file_id = job.calls.hook.upload_file(content, path.name, kind).id
        ids[placeholder.removeprefix(PLACEHOLDER).encode()] = file_id.encode()
    job.calls.log.info("%s images and videos are on the platform.", len(ids))
    return ids
