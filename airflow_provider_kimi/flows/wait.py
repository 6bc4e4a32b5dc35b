"""Wait: look at batches again and again until the decision says stop. Async for the trigger, one look for the rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile

from airflow_provider_kimi.api.errors import redact
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.events import BatchEnd, BatchEvent
from airflow_provider_kimi.batch.polling import (
    FIRST_CHECK_SECONDS,
    Cancel,
    Finish,
    OnTimeout,
    Seen,
    Step,
    Wait,
    decide_next,
    progress_line,
)
from airflow_provider_kimi.batch.results import batch_error, id_of, read_row
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.lines import read_lines

#: Rows of an error file that a message repeats.
REPORTED_ERRORS = 3


@dataclass(frozen=True)
class Watch:
    """A wait for batches.

    :param deadline: Unix seconds; absolute, so that a restarted triggerer does not begin anew. None for what the
        batches' own expiry sets.
    :param on_timeout: What becomes of batches that have not ended by then.
    """

    batch_ids: tuple[str, ...]
    poll_interval_seconds: float
    deadline: float | None
    on_timeout: OnTimeout = "keep"


def look(hook: KimiHook, watch: Watch, log: Log, clock: Callable[[], float] = time.time) -> Finish | None:
    """Look once at every batch, and cancel what is to be cancelled; None where the wait goes on."""
    seen: dict[str, Seen] = {}
    for batch_id in watch.batch_ids:
        try:
            seen[batch_id] = hook.get_batch(batch_id)
        except KimiError as error:
            seen[batch_id] = error
    step = _decide(watch, seen, {}, log, clock())
    if isinstance(step, Cancel):
        for batch_id in step.batch_ids:
            with _told(batch_id, log):
                hook.cancel_batch(batch_id)
    return step if isinstance(step, Finish) else None


async def until_finished(
    read: Callable[[str], Awaitable[Batch]],
    cancel: Callable[[str], Awaitable[Batch]],
    watch: Watch,
    log: Log,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> BatchEvent:
    """Look until the decision says stop; batches that have ended are not read again."""
    seen: dict[str, Seen] = {}
    logged: dict[str, str] = {}
    pause = max(watch.poll_interval_seconds, FIRST_CHECK_SECONDS)
    if watch.deadline is not None:
        pause = min(pause, max(watch.deadline - clock(), 0.0))
    while True:
        await sleep(pause)
        for batch_id in watch.batch_ids:
            before = seen.get(batch_id)
            if not (isinstance(before, Batch) and before.is_terminal):
                seen[batch_id] = await _seen(read, batch_id)
        step = _decide(watch, seen, logged, log, clock())
        if isinstance(step, Finish):
            return step.event
        if isinstance(step, Cancel):
            for batch_id in step.batch_ids:
                with _told(batch_id, log):
                    await cancel(batch_id)
        pause = step.seconds


@contextmanager
def _told(batch_id: str, log: Log) -> Iterator[None]:
    """Ask for a cancel; one that fails is asked for again after the next look."""
    log.warning("The time to wait is over: cancelling batch %s, as on_timeout asks.", batch_id)
    try:
        yield
    except KimiError as error:
        log.warning("%s", error)


def wait_here(hook: KimiHook, watch: Watch, log: Log) -> BatchEvent:
    """Wait in this process, with the very loop of the trigger."""

    async def read(batch_id: str) -> Batch:
        return hook.get_batch(batch_id)

    async def cancel(batch_id: str) -> Batch:
        return hook.cancel_batch(batch_id)

    return asyncio.run(until_finished(read, cancel, watch, log))


async def _seen(read: Callable[[str], Awaitable[Batch]], batch_id: str) -> Seen:
    try:
        return await read(batch_id)
    except KimiError as error:
        return error


def _decide(watch: Watch, seen: Mapping[str, Seen], logged: dict[str, str], log: Log, now: float) -> Step:
    """Decide, and log what is new since the last look."""
    step = decide_next(
        seen,
        now=now,
        deadline=watch.deadline,
        poll_interval_seconds=watch.poll_interval_seconds,
        on_timeout=watch.on_timeout,
    )
    for batch_id, what in seen.items():
        if isinstance(what, Batch) and logged.get(batch_id) != (line := progress_line(what)):
            logged[batch_id] = line
            log.info("%s", line)
    if isinstance(step, Wait):
        for note in step.notes:
            if note not in logged:
                logged[note] = note
                log.warning("%s Waiting on.", note)
    return step


def check_completed(hook: KimiHook, batches: Mapping[str, BatchEnd], log: Log) -> None:
    """Accept a wait's end only if every batch completed.

    :raises KimiBatchError: Says for each other batch how it ended, what was done and paid, and why if known.
    """
    faults = [
        f"{batch_id} {_why(hook, batch_id, end, log)}" for batch_id, end in batches.items() if end.status != "completed"
    ]
    if faults:
        raise KimiBatchError(
            f"{len(faults)} of {len(batches)} batches did not complete: {'; '.join(faults)}. None of these runs "
            "any more; rows that were done are billed. Land what there is with KimiBatchResultsOperator (set "
            "on_incomplete='continue' here to go on in such cases), and submit the rest again."
        )


def _why(hook: KimiHook, batch_id: str, end: BatchEnd, log: Log) -> str:
    done = f"with {end.completed:,} of {end.total:,} rows done" if end.total else "with no row done"
    if end.status != "failed":
        return f"is {end.status} {done}"
    if end.error_file_id is None:
        return (
            f"failed {done}, and the platform left no error file. The commonest cause is the balance: before a start "
            "the platform reserves rows x max_completion_tokens x output price. Check the balance, set a realistic "
            "max_completion_tokens in request_params, or submit smaller batches"
        )
    try:
        reasons = _first_errors(hook, end.error_file_id, log)
    except KimiError as error:
        return f"failed {done}; its error file {end.error_file_id} could not be read: {error}"
    return f"failed {done}: {reasons or f'its error file {end.error_file_id} names no reason'}"


def _first_errors(hook: KimiHook, file_id: str, log: Log) -> str:
    with TemporaryFile() as content:

        def download() -> None:
            content.seek(0)
            content.truncate()
            hook.download_file(file_id, content)

        read_patiently(download, log)
        content.seek(0)
        return "; ".join(_reasons(read_lines(content)))


def _reasons(lines: Iterable[bytes]) -> list[str]:
    reasons: dict[str, None] = {}
    for line in lines:
        custom_id = id_of(line)
        row = batch_error(line) if custom_id is None else read_row(line)
        if row is not None:
            place = f"custom_id {custom_id[:80]!r}: " if custom_id else ""
            reasons[f"{place}{row.error_code}: {redact(row.error_message or '')}"] = None
        if len(reasons) == REPORTED_ERRORS:
            break
    return list(reasons)
