"""Submit: check the whole input on this machine, then upload it, then create the batch, once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_kimi.api.limits import BATCH_MODELS, MAX_FILE_BYTES
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import TaskIdentity, batch_metadata, check_window, digest_of, job_key
from airflow_provider_kimi.batch.requests import Recipe, RowProblem, encode, is_ready_request
from airflow_provider_kimi.batch.validation import InputCheck
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.inputs import describe, is_ready_file, read_items


@dataclass(frozen=True)
class Order:
    """What a task wants to be done.

    :param input: A URI or a list.
    :param recipe: How its items become requests.
    :param model: Model that ready requests must name; None accepts theirs.
    :param completion_window: How long the platform may take.
    :param metadata: The user's own pairs.
    """

    input: Any
    recipe: Recipe
    model: str | None
    completion_window: str
    metadata: Mapping[str, str]


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


def submit(hook: KimiHook, order: Order, task: TaskIdentity, log: Log) -> Submission:
    """Check, upload, create. Nothing is sent before the whole input is known to be sendable.

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
        if shard.model not in BATCH_MODELS:
            log.warning(
                "Model %r is not on the published list of batch models (%s); the platform may fail the batch.",
                shard.model,
                ", ".join(BATCH_MODELS),
            )
        log.info("Checked %s requests (%s bytes); uploading.", shard.request_count, shard.path.stat().st_size)
        name = f"{job_key(task, shard.fingerprint)}-1.jsonl"
        file_id = hook.upload_file(shard.path, name).id
    batch = _create(hook, file_id, order.completion_window, metadata, log)
    log.info("Created batch %s from file %s: %s requests.", batch.id, file_id, shard.request_count)
    return Submission([batch.id], [file_id], shard.request_count)


def prepare(order: Order, workshop: Path) -> Shard:
    """Write the input as a batch input file, checking every line.

    :raises KimiInputError: Names what is wrong with it.
    """
    ready = is_ready_file(order.input, order.recipe.prompt)
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
        return encode(item)
    return recipe.line(item, number)


def _prompt_fingerprint(recipe: Recipe) -> str | None:
    if recipe.prompt is None and recipe.system_prompt is None:
        return None
    return digest_of(recipe.prompt, recipe.system_prompt)


def _create(hook: KimiHook, file_id: str, window: str, metadata: Mapping[str, str], log: Log) -> Batch:
    try:
        return hook.create_batch(file_id, completion_window=window, metadata=metadata)
    except KimiApiError as error:
        if error.status_code is not None and error.status_code < 500:
            _remove_input(hook, file_id, log)
            raise
        raise _unknown_fate(error, metadata) from None
    except KimiError as error:
        raise _unknown_fate(error, metadata) from None


def _unknown_fate(error: KimiError, metadata: Mapping[str, str]) -> KimiBatchError:
    """Not retried by Airflow: a second try could be a second paid batch."""
    return KimiBatchError(
        f"{error} Its metadata has kimi_job_key={metadata['kimi_job_key']}; if no such batch exists, clear this task."
    )


def _remove_input(hook: KimiHook, file_id: str, log: Log) -> None:
    """A refused create leaves its input behind, which counts towards the account's 1000 files."""
    try:
        hook.delete_file(file_id)
    except KimiError as error:
        log.warning("The input file %s of the refused batch stays on the platform: %s", file_id, error)
