"""Rounds: rows without a usable answer are asked again, each round once whatever dies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.jobs.job_run import JobRun
from airflow_provider_kimi.jobs.last_round import Way, choose, longest_batch
from airflow_provider_kimi.jobs.realtime import RealtimeRound, rows_to_ask
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import Prepared
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.results.landing import Collected
from airflow_provider_kimi.results.realtime import AnswerParts, begin_of_parts
from airflow_provider_kimi.results.shards import batches_by_shard
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.job import Job, Round
from airflow_provider_kimi.submission.later import pending_of
from airflow_provider_kimi.submission.submit import make_batches


@dataclass(frozen=True)
class Rounds:
    """How a task asks rows again.

    :param spending: What it may spend.
    :param in_flight: How many batches may run at a time.
    """

    run: JobRun
    spending: Spending
    in_flight: InFlight

    def way(self, collected: Collected, requests: Mapping[ShardName, Slice]) -> Way:
        """How rows are asked again, and whether they may be.

        :param requests: What to ask of each shard, by its name.
        """
        if not requests:
            return "leave"
        log, batches = self.run.task.log, collected.batches
        choice = choose(
            self.run.rest, sum(content.rows for content in requests.values()), longest_batch(batches), self.run.now()
        )
        if choice.text:
            log.warning("%s", choice.text)
        if choice.way == "leave":
            return "leave"
        if not can_be_found(batches):
            log.warning(
                "Rows without a usable answer are not asked again, because the platform does not show the metadata of "
                "batch %s. Without it, a retry would not find the round, and pay for it once more.",
                batches[0].id,
            )
            return "leave"
        spending = self.spending if choice.way == "batch" else self.spending.at_standard_rate
        with airflow_errors(self.run.task):
            model = model_of(batches) or self.run.order().recipe.model
            may_ask = spending.approve_round(self.run.calls, collected.manifest.cost, requests, model, batches)
        return choice.way if may_ask else "leave"

    def by_batches(
        self, batches: Sequence[Batch], requests: Mapping[ShardName, Slice], folder: Path
    ) -> tuple[Sequence[str], Pending | None]:
        """Create the batches of a further round, or attach to them.

        Return those of all rounds, and what is still to be created.

        :param batches: Those of the rounds before.
        :param folder: On this machine, for what is written on the way.
        :raises KimiError: The platform refused, or did not answer.
        """
        with self.run.creating() as (calls, order, attempt):
            made, pending = ask_round(calls, order, attempt, batches, requests, folder, self.in_flight)
        return [batch.id for batch in made], pending

    def by_chat(self, collected: Collected, requests: Mapping[ShardName, Slice]) -> str:
        """Ask rows by chat calls; return why not all of them were, which is empty if all were."""
        run = self.run
        parts = AnswerParts(collected.directory, begin_of_parts(collected.batches))
        with airflow_errors(run.task):
            is_findable = parts.can_be_found()
        if not is_findable:
            why = _not_listed(collected.directory.uri)
            run.task.log.warning("%s", why)
            return why
        chat = RealtimeRound(run.calls, parts, lambda: run.is_killed)
        with airflow_errors(run.task):
            chat.ask(rows_to_ask(requests, collected.batches))
        log = run.task.log.warning if chat.unfinished else run.task.log.info
        log("%s %s", chat.done, chat.unfinished)
        return chat.unfinished


def _not_listed(uri: str) -> str:
    return (
        f"No chat call was made, because {uri} does not list a file that was just written there, so an answer would "
        "not be found again. Allow its key to list it, then clear this task: it asks for the rows without an answer."
    )


def ask_round(
    calls: Calls,
    order: Order,
    attempt: Attempt,
    batches: Sequence[Batch],
    requests: Mapping[ShardName, Slice],
    workshop: Path,
    in_flight: InFlight,
) -> tuple[list[Batch], Pending | None]:
    """Create the batches of a further round, or attach to them if an earlier attempt has.

    Return those of all rounds, and what is still to be created.

    The round is one of the same job: whoever searches for it finds it by the job, the shard and the number of the
    round, so that it is created once even if the attempts would ask for different rows.

    :param batches: Those of the rounds before, in the order of the input.
    :param requests: What to ask of each shard, by its name.
    :param workshop: A folder on this machine for what is written on the way.
    :param in_flight: How many batches may run.
    :raises KimiError: The platform refused, or did not answer.
    """
    shards = batches_by_shard(batches)
    tags = Tags.of(batches[0])
    before = {Tags.of(of_shard[0]).shard_name or ShardName(1, 1): of_shard for of_shard in shards}
    job = Job(
        calls,
        order,
        attempt,
        Prepared(
            [Shard(name.number, content, content.fingerprint(), name.part) for name, content in requests.items()],
            model=model_of(batches) or order.recipe.model,
            fingerprint="",
            media={},
            skipped=None,
            notes=(),
        ),
        memory=None,
        round=Round(str(tags.job_key), tags.shard_count or 1, before, tags.saved),
    )
    rows = sum(content.rows for content in requests.values())
    calls.log.info("%s rows without a usable answer are asked again.", f"{rows:,}")
    made = make_batches(job, workshop, in_flight=in_flight)
    asked = {job.name(shard): made.first(job.label(shard)) for shard in job.shards}
    in_order = [
        batch for name, of_shard in before.items() for batch in (*of_shard, asked.get(name)) if batch is not None
    ]
    return pending_of(in_order, made, since=max((batch.created_at or 0) for batch in batches))


def can_be_found(batches: Sequence[Batch]) -> bool:
    """Whether the batches say which job they are of, by which a further round of it is found again."""
    return all(Tags.of(batch).job_key for batch in batches)


def model_of(batches: Sequence[Batch]) -> str | None:
    """The model of every request of a job; None if its batches do not say."""
    return Tags.of(batches[0]).model


def remedy_of(batches: Sequence[Batch], max_rounds: int) -> str:
    """Say what to do about batches that did not complete."""
    used = max_rounds > 1 and any(
        len(of_shard) >= max_rounds and of_shard[-1].status in ("expired", "cancelled")
        for of_shard in batches_by_shard(batches)
    )
    if used:
        return (
            f"max_rounds={max_rounds} is used up: raise it, then clear this task, to ask only for the rows without an "
            "answer."
        )
    return "Clear this task to ask only for the rows without an answer."
