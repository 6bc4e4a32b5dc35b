"""Submit: check the whole input on this machine, then upload it, then create the batch, once."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_kimi.api.limits import BATCH_MODELS, MAX_FILE_BYTES
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import TaskIdentity, batch_metadata, check_window, digest_of
from airflow_provider_kimi.batch.requests import Recipe, RowProblem, encode, is_ready_request
from airflow_provider_kimi.batch.submission import Reuse, batch_to_attach, is_of_job
from airflow_provider_kimi.batch.validation import InputCheck
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.lookup import find_batches
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.inputs import describe, is_ready_file, read_items

#: Pauses before each look for a batch whose create was not answered; the list may lag behind.
LOOKUP_PAUSES_SECONDS = (2.0, 10.0, 30.0)


@dataclass(frozen=True)
class Order:
    """What a task wants to be done.

    :param input: A URI or a list.
    :param recipe: How its items become requests.
    :param model: Model that ready requests must name; None accepts theirs.
    :param completion_window: How long the platform may take.
    :param metadata: The user's own pairs.
    :param reuse: Whether work of an earlier attempt is attached to.
    """

    input: Any
    recipe: Recipe
    model: str | None
    completion_window: str
    metadata: Mapping[str, str]
    reuse: Reuse = "auto"


@dataclass(frozen=True)
class Shard:
    """One checked batch input file on this machine's disk."""

    path: Path
    fingerprint: str
    request_count: int
    model: str


@dataclass(frozen=True)
class Submission:
    """What was submitted: a batch for each shard, in order."""

    batch_ids: list[str]
    input_file_ids: list[str]
    request_count: int


def submit(
    hook: KimiHook, order: Order, task: TaskIdentity, log: Log, sleep: Callable[[float], None] = time.sleep
) -> Submission:
    """Check, look for the same work of an earlier attempt, and only if there is none upload and create.

    Nothing is sent before the whole input is known to be sendable.

    :raises KimiInputError: The input or a parameter is wrong.
    :raises KimiError: The platform refused, or did not answer.
    """
    check_window(order.completion_window)
    order.recipe.check()
    with TemporaryDirectory(prefix="kimi-submit-") as workshop:
        shard = prepare(order, Path(workshop))
        metadata = batch_metadata(
            task,
            input_fingerprint=shard.fingerprint,
            prompt_fingerprint=_prompt_fingerprint(order.recipe),
            shard=1,
            shards=1,
            extra=order.metadata,
        )
        log.info("Checked %s requests (%s bytes).", shard.request_count, shard.path.stat().st_size)
        batch = None if order.reuse == "never" else _earlier(hook, metadata, log, sleep)
        if batch is None:
            _warn_about_model(shard.model, log)
            name = f"{metadata['kimi_job_key']}-1.jsonl"
            file_id = hook.upload_file(shard.path, name).id
            batch = _create(hook, file_id, order.completion_window, metadata, log, sleep)
            log.info("Created batch %s from file %s: %s requests.", batch.id, file_id, shard.request_count)
    input_file_ids = [batch.input_file_id] if batch.input_file_id else []
    return Submission([batch.id], input_file_ids, shard.request_count)


def _earlier(hook: KimiHook, metadata: Mapping[str, str], log: Log, sleep: Callable[[float], None]) -> Batch | None:
    """Find the live or completed batch of an earlier attempt at the same work."""
    job_key, shard = metadata["kimi_job_key"], metadata["kimi_shard"]
    batch = batch_to_attach(find_batches(hook, lambda batch: is_of_job(batch, job_key, shard), log, sleep))
    if batch is not None:
        log.info("Batch %s (%s) is this very work, submitted before: attached to it.", batch.id, batch.status)
    return batch


def _warn_about_model(model: str, log: Log) -> None:
    if model not in BATCH_MODELS:
        log.warning(
            "Model %r is not on the published list of batch models (%s); the platform may fail the batch.",
            model,
            ", ".join(BATCH_MODELS),
        )


def prepare(order: Order, workshop: Path) -> Shard:
    """Write the input as a batch input file, checking every line.

    :raises KimiInputError: Names what is wrong with it.
    """
    ready = is_ready_file(order.input, order.recipe.prompt)
    if ready:
        order.recipe.check_unused()
    check = InputCheck(order.model)
    path = workshop / "input.jsonl"
    digest = hashlib.sha256()
    with path.open("wb") as target:
        for number, item in enumerate(read_items(order.input, ready=ready), 1):
            line = item.value if ready else None
            if item.problem is not None:
                check.problem(item.place, item.problem)
                continue
            if line is None:
                try:
                    line = _line_of(item.value, number, order.recipe)
                except RowProblem as problem:
                    check.problem(item.place, str(problem))
                    continue
            check.line(item.place, line)
            if check.size_bytes <= MAX_FILE_BYTES:
                target.write(line + b"\n")
                digest.update(line + b"\n")
    check.finish(describe(order.input))
    assert check.model is not None
    return Shard(path, f"sha256:{digest.hexdigest()}", check.lines, check.model)


def _line_of(item: object, number: int, recipe: Recipe) -> bytes:
    if recipe.prompt is None and is_ready_request(item):
        recipe.check_unused()
        return encode(item)
    return recipe.line(item, number)


def _prompt_fingerprint(recipe: Recipe) -> str | None:
    if recipe.prompt is None and recipe.system_prompt is None:
        return None
    return digest_of(recipe.prompt, recipe.system_prompt)


def _create(
    hook: KimiHook,
    file_id: str,
    window: str,
    metadata: Mapping[str, str],
    log: Log,
    sleep: Callable[[float], None],
) -> Batch:
    """Send the create once. Where its answer is lost, look for a batch of this very file instead of sending again."""
    try:
        return hook.create_batch(file_id, completion_window=window, metadata=metadata)
    except (KimiApiError, KimiNoAnswerError) as error:
        if not error.outcome_unknown:
            _remove_input(hook, file_id, log)
            raise
        lost = error
    log.warning("%s Looking for it.", lost)
    for pause in LOOKUP_PAUSES_SECONDS:
        sleep(pause)
        try:
            found = find_batches(hook, lambda batch: batch.input_file_id == file_id, log, sleep)
        except KimiError as error:
            log.warning("%s", error)
            continue
        if found:
            return found[0]
    how = f"HTTP {lost.status_code}" if isinstance(lost, KimiApiError) else "no answer"
    raise KimiBatchError(
        f"The create of a batch from file {file_id!r} was answered by {how}, and no such batch was found in "
        f"the following {sum(LOOKUP_PAUSES_SECONDS):g} s. Whether it exists, and is billed, is unknown; sending "
        f"again could be paid twice. If no batch with kimi_job_key={metadata['kimi_job_key']} in its metadata "
        "appears, clear this task; if one does, clearing attaches to it."
    )


def _remove_input(hook: KimiHook, file_id: str, log: Log) -> None:
    """A refused create leaves its input behind, which counts towards the account's 1000 files."""
    try:
        hook.delete_file(file_id)
    except KimiError as error:
        log.warning("The input file %s of the refused batch stays on the platform: %s", file_id, error)
