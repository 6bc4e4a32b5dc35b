"""Submit: upload what was prepared and create its batches, each of them once."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import (
    TaskIdentity,
    batch_metadata,
    check_window,
    digest_of,
    is_of_instance,
    job_key,
    shard_label,
)
from airflow_provider_kimi.batch.media import PLACEHOLDER, with_file_ids
from airflow_provider_kimi.batch.parameters import check_model, check_offered
from airflow_provider_kimi.batch.requests import Recipe
from airflow_provider_kimi.batch.skipped import SKIPPED_FILE_KEY
from airflow_provider_kimi.batch.submission import EarlierWork, check_unchanged, earlier_work
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.lookup import find_batches
from airflow_provider_kimi.flows.prepare import Order, Prepared, Shard, prepare
from airflow_provider_kimi.hooks.kimi import KimiHook

#: Pauses before each look for a batch whose create was not answered; the list may lag behind.
LOOKUP_PAUSES_SECONDS = (2.0, 10.0, 30.0)


@dataclass(frozen=True)
class Submission:
    """What was submitted: a batch for each shard, in order."""

    batch_ids: list[str]
    input_file_ids: list[str]
    request_count: int


@dataclass(frozen=True)
class _Job:
    """One job on its way to the platform."""

    hook: KimiHook
    order: Order
    task: TaskIdentity
    prepared: Prepared
    log: Log
    sleep: Callable[[float], None]

    @property
    def key(self) -> str:
        return job_key(self.task, self.prepared.fingerprint)

    def label(self, shard: Shard) -> str:
        return shard_label(shard.number, len(self.prepared.shards))

    def metadata(self, shard: Shard, skipped_file_id: str | None) -> dict[str, str]:
        return batch_metadata(
            self.task,
            job=self.key,
            input_fingerprint=shard.fingerprint,
            prompt_fingerprint=_prompt_fingerprint(self.order.recipe),
            shard=self.label(shard),
            extra=self.order.metadata,
            skipped_file_id=skipped_file_id,
            columns=self.order.recipe.verbatim_columns,
        )


def submit(
    hook: KimiHook, order: Order, task: TaskIdentity, log: Log, sleep: Callable[[float], None] = time.sleep
) -> Submission:
    """Check, look for the same work of an earlier attempt, and only what is not there upload and create.

    Nothing is sent before the whole input is known to be sendable.

    :raises KimiInputError: The input or a parameter is wrong.
    :raises KimiError: The platform refused, or did not answer.
    """
    check_window(order.completion_window)
    order.recipe.check(order.media_columns)
    with TemporaryDirectory(prefix="kimi-submit-") as folder:
        workshop = Path(folder)
        prepared = prepare(order, workshop, log)
        job = _Job(hook, order, task, prepared, log, sleep)
        job.metadata(prepared.shards[0], "" if prepared.skipped else None)  # refused before anything is sent
        size = sum(shard.content.size for shard in prepared.shards)
        shards = f"{len(prepared.shards)} batch{'' if len(prepared.shards) == 1 else 'es'}"
        log.info("Checked %s requests (%s bytes, %s).", prepared.request_count, size, shards)
        if order.recipe.rules.mode != "off" and (warning := check_model(prepared.model)):
            log.warning("%s", warning)
        earlier = EarlierWork({}, []) if order.reuse == "never" else _earlier(job)
        batches = dict(earlier.batches)
        if len(batches) < len(prepared.shards):
            check_unchanged(earlier, task)
            _preflight(job)
            _submit_missing(job, batches, workshop)
    in_order = [batches[job.label(shard)] for shard in prepared.shards]
    return Submission(
        [batch.id for batch in in_order],
        [batch.input_file_id for batch in in_order if batch.input_file_id],
        prepared.request_count,
    )


def _earlier(job: _Job) -> EarlierWork:
    """Find the live or completed batches of earlier attempts."""

    def concerns_us(batch: Batch) -> bool:
        metadata = batch.metadata or {}
        return metadata.get("kimi_job_key") == job.key or is_of_instance(metadata, job.task)

    found = find_batches(job.hook, concerns_us, job.log, job.sleep)
    earlier = earlier_work(found, job.task, job.key, len(job.prepared.shards))
    for batch in earlier.batches.values():
        job.log.info("Batch %s (%s) is this very work, submitted before: attached to it.", batch.id, batch.status)
    return earlier


def _preflight(job: _Job) -> None:
    """Ask the platform whether it has the model at all, since it would tell only by failing the batch.

    :raises KimiInputError: It has not.
    """
    if job.order.recipe.rules.mode == "off":
        return
    model = job.prepared.model
    try:
        offered = [offer.id for offer in job.hook.list_models()]
    except KimiError as error:
        job.log.warning("Whether the platform has model %r could not be asked: %s", model, error)
        return
    check_offered(model, offered)


def _submit_missing(job: _Job, batches: dict[str, Batch], workshop: Path) -> None:
    """Upload and create, one after another, what has no batch yet."""
    skipped_file_id = _skipped_file(job, batches)
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
        try:
            with content.open() as lines:
                file_id = job.hook.upload_file(lines, f"{job.key}-{shard.number}.jsonl").id
            if file_ids:
                content.path.unlink()
            batches[label] = _create(job, file_id, job.metadata(shard, skipped_file_id))
        except KimiError as error:
            raise _with_created(error, batches, job) from None
        job.log.info(
            "Created batch %s (%s) from file %s: %s requests.", batches[label].id, label, file_id, shard.content.rows
        )


def _with_created(error: KimiError, batches: Mapping[str, Batch], job: _Job) -> KimiError:
    """Add to an error which batches of the job exist by now; where a retry would pay for them again, there is none."""
    if not batches:
        return error
    ids = ", ".join(batch.id for batch in batches.values())
    exist = f"{error} {len(batches)} of the {len(job.prepared.shards)} batches of this task exist and go on: {ids}."
    if job.order.reuse == "never":
        return KimiBatchError(
            f"{exist} They are billed, and with reuse='never' another attempt would pay for them again, so the task is "
            "not retried. Set reuse='auto' and clear it: then it attaches to them and submits the rest only."
        )
    error.args = (f"{exist} A retry or a clear of this task attaches to them and submits the rest only.",)
    return error


def _skipped_file(job: _Job, batches: Mapping[str, Batch]) -> str | None:
    """Keep the rows that are left out on the platform, beside the batches that lack them."""
    if job.prepared.skipped is None:
        return None
    for batch in batches.values():
        if known := (batch.metadata or {}).get(SKIPPED_FILE_KEY):
            return str(known)
    name = f"{job.key}-skipped.jsonl"  # an attempt whose creates were all refused has left it there
    if known := _kept_files(job).get(name):
        return known
    with job.prepared.skipped.open("rb") as rows:
        return job.hook.upload_file(rows, name).id


def _uploaded_media(job: _Job) -> dict[bytes, bytes]:
    """Upload each image and video once; one that an earlier attempt uploaded is found by its name."""
    if not job.prepared.media:
        return {}
    known = _kept_files(job)
    ids: dict[bytes, bytes] = {}
    for placeholder, (kind, path) in job.prepared.media.items():
        file_id = known.get(path.name)
        if file_id is None:
            with path.open("rb") as content:
                file_id = job.hook.upload_file(content, path.name, kind).id
        ids[placeholder.removeprefix(PLACEHOLDER).encode()] = file_id.encode()
    job.log.info("%s images and videos are on the platform.", len(ids))
    return ids


def _kept_files(job: _Job) -> dict[str, str]:
    """The ids of the account's files by their names, which hold a digest of what is in them."""
    return {file.filename: file.id for file in job.hook.list_files() if file.filename}


def _prompt_fingerprint(recipe: Recipe) -> str | None:
    templates = [None if callable(given) else given for given in (recipe.messages, recipe.body)]
    if all(given is None for given in (recipe.prompt, recipe.system_prompt, *templates)):
        return None
    further = (msgspec.json.encode(given).decode() for given in templates if given is not None)
    return digest_of(recipe.prompt, recipe.system_prompt, *further)


def _create(job: _Job, file_id: str, metadata: Mapping[str, str]) -> Batch:
    """Send the create once. Where its answer is lost, look for a batch of this very file instead of sending again."""
    try:
        return job.hook.create_batch(file_id, completion_window=job.order.completion_window, metadata=metadata)
    except (KimiApiError, KimiNoAnswerError) as error:
        if not error.outcome_unknown:
            _remove_input(job, file_id)
            raise
        lost = error
    job.log.warning("%s Looking for it.", lost)
    for pause in LOOKUP_PAUSES_SECONDS:
        job.sleep(pause)
        try:
            found = find_batches(job.hook, lambda batch: batch.input_file_id == file_id, job.log, job.sleep)
        except KimiError as error:
            job.log.warning("%s", error)
            continue
        if found:
            return found[0]
    how = f"HTTP {lost.status_code}" if isinstance(lost, KimiApiError) else "no answer"
    raise KimiBatchError(
        f"The create of a batch from file {file_id!r} was answered by {how}, and no such batch was found in "
        f"the following {sum(LOOKUP_PAUSES_SECONDS):g} s. Whether it exists, and is billed, is unknown; sending "
        f"again could be paid twice. If no batch with kimi_job_key={metadata['kimi_job_key']} and "
        f"kimi_shard={metadata['kimi_shard']} in its metadata appears, clear this task; if one does, clearing "
        "attaches to it."
    )


def _remove_input(job: _Job, file_id: str) -> None:
    """A refused create leaves its input behind, which counts towards the account's 1000 files."""
    try:
        job.hook.delete_file(file_id)
    except KimiError as error:
        job.log.warning("The input file %s of the refused batch stays on the platform: %s", file_id, error)
