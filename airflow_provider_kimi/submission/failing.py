"""Failing: what becomes of the batches that exist while the task that creates more of them fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED, RUNS_ON
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import live, named
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import Made, is_ours_alone


class Postponed(BaseException):
    """Nothing has failed, and nothing is sent: the task goes on later."""


@contextmanager
def failing_with(job: Job, made: Made) -> Iterator[None]:
    """If what is done meanwhile fails for good, do with what exists what was asked for, and say so."""
    try:
        yield
    except KimiError as error:
        raise _with_batches(error, made, job) from error.__cause__
    except Postponed:
        raise
    except BaseException:  # execution_timeout is none of ours, and may interrupt anything
        if job.attempt.is_last and job.order.on_final_failure == "cancel" and not job.calls.stop.is_set:
            job.calls.log.warning("The task was ended while it submitted.%s", _cancelled(job, made))
        raise


def _with_batches(error: KimiError, made: Made, job: Job) -> KimiError:
    """Add to an error which batches of the job exist by now, and do with them what was asked for a final failure."""
    if not made.batches:
        return error
    exist = f"{error} {len(made.batches)} of the {made.job.batch_count} batches of this task exist"
    is_final = not error.retryable or job.attempt.is_last or job.fresh is not None
    is_killed = job.calls.stop.is_set  # whoever kills a task decides about its batches
    if is_final and not is_killed and live(made.batches.values()) and job.order.on_final_failure == "cancel":
        return KimiBatchError(f"{exist}.{_cancelled(job, made)}")
    ids = ", ".join(batch.id for batch in made.batches.values())
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


def _cancelled(job: Job, made: Made) -> str:
    """Cancel what runs, also what a create may have made whose answer is still open."""
    try:
        lost = job.find(lambda batch: Tags.of(batch).create in made.open_marks).batches if made.open_marks else []
        running = {batch.id: batch for batch in live([*made.batches.values(), *lost])}
        ours = [batch.id for batch in running.values() if batch.id in made.own or is_ours_alone(job, batch)]
        ended = cancel_batches(job.calls, ours)
    except KimiError as fault:
        return f" {fault} {RUNS_ON}: {named(made.batches.values())}."
    return (
        f" What ran was cancelled, as on_final_failure asks: {named(ended)}. {COMPLETED_IS_BILLED}. Clear this task "
        "to submit again."
    )
