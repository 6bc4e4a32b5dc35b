"""The parts of a job, made from the parameters of its operator once their templates are rendered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.compat import CAN_ASK, Context
from airflow_provider_kimi.context import read_run_start
from airflow_provider_kimi.fields import check_flag, check_texts
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.answer_sizes import answer_size
from airflow_provider_kimi.jobs.approval import Approved
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.jobs.cost_limit import read_approve_over, read_max_cost
from airflow_provider_kimi.jobs.deadline import Deadline, deadline_of, too_late
from airflow_provider_kimi.jobs.in_turns import InTurns
from airflow_provider_kimi.jobs.job_run import JobRun, JobTask
from airflow_provider_kimi.jobs.pilot import Pilot, pilot_limits
from airflow_provider_kimi.jobs.rounds import Rounds
from airflow_provider_kimi.jobs.wait import OnIncomplete, WaitTerms
from airflow_provider_kimi.jobs.whole_job import WholeJob
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.failure_limits import read_limits
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.saved_files import SavedFilesBeside
from airflow_provider_kimi.results.usable_answers import Usable
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.job import Job


class _Fields(JobTask, Protocol):
    """The parameters that parts of a job are made from."""

    @property
    def hook(self) -> KimiHook:
        """Its hook."""

    wait_terms: WaitTerms
    output_schema: Any
    price_list: Mapping[str, Any] | str | None
    max_failed_rows: Any
    max_failed_ratio: Any
    max_rounds: int
    has_rounds: bool
    on_incomplete: OnIncomplete
    finish_by: datetime | timedelta | str | None
    max_cost: float | str | None
    approve_over: float | str | None
    max_in_flight: int | None
    pilot_rows: int | None
    cache: str | None
    cache_max_age: float | None
    dedupe: bool


def whole_job_of(task: _Fields, run: JobRun) -> WholeJob:
    """The job of one try."""
    deadline = run.rest.deadline
    terms = replace(task.wait_terms, ends_at=deadline.waits_until if deadline else None)
    spending, in_flight = spending_of(task), InFlight(task.max_in_flight)
    in_turns = InTurns(run, terms, in_flight, _pilot_of(task, spending))
    return WholeJob(run, in_turns, Rounds(run, spending, in_flight), task.max_rounds, task.on_incomplete)


def deadline_of_task(task: _Fields, context: Context) -> Deadline | None:
    """When the task is to finish; None for no such time."""
    return deadline_of(task.finish_by, read_run_start(context) or time.time())


def spending_of(task: _Fields, approved: Approved | None = None) -> Spending:
    """What the task may spend.

    :param approved: What a person has approved in this try; None for nothing.
    """
    region = task.hook.settings.billing_region
    prices, currency = read_price_list(task.price_list, region), PRICE_LISTS[region].currency
    limits = read_max_cost(task.max_cost), read_approve_over(task.approve_over, can_ask=CAN_ASK)
    return Spending(prices, answer_size(task.output_schema), currency, *limits, approved)


def refuse_late(deadline: Deadline, _: Job, is_begun: bool) -> None:
    """Refuse to submit, because it is too late.

    :raises KimiInputError: Always.
    """
    raise too_late(deadline)


def _pilot_of(task: _Fields, spending: Spending) -> Pilot | None:
    if task.pilot_rows is None:
        return None
    limits = pilot_limits(read_limits(task.max_failed_rows, task.max_failed_ratio), has_rounds=task.has_rounds)
    return Pilot(limits, spending.max_cost, spending.prices)


def check_saving(cache: Any, dedupe: Any, media: Any) -> None:
    """Refuse what is wrong with the parameters of saved rows while a DAG is parsed.

    :raises ValueError: It is not a URI or a flag, or media are uploaded, whose ids are in no two requests the same.
    """
    check_texts(cache=as_uri(cache))
    check_location("cache", cache)
    check_flag("dedupe", dedupe)
    if media == "upload" and (cache is not None or dedupe):
        raise ValueError(
            "cache or dedupe is given, and media is 'upload': requests that name uploaded files cannot be compared. "
            "Set media='base64', or leave out cache and dedupe"
        )


def saving_of(task: _Fields, base_url: str, landing: Landing, *, is_kept: bool) -> Saving | None:
    """How rows are saved whose answers are there; None if all rows are sent.

    :param base_url: Of the platform.
    :param landing: Of the result to come.
    :param is_kept: Whether what is decided is kept; not in a dry run.
    """
    uri = as_uri(task.cache)
    if uri is None and not task.dedupe or landing.task is None:
        return None
    max_age = None if task.cache_max_age is None else timedelta(seconds=task.cache_max_age)
    return Saving(
        dedupe=task.dedupe,
        cache=None if uri is None else partial(AnswerCache, uri, max_age),
        base_url=base_url,
        answers=Usable(landing.check, landing.selection),
        task=landing.task,
        files=SavedFilesBeside(landing.output, landing.task) if is_kept else None,
    )
