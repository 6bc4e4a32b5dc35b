"""The parts of a job, made from the parameters of its operator once their templates are rendered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn, Protocol

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.budgets.definition import read_name
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.choices import OnIncomplete
from airflow_provider_kimi.compat import CAN_ASK, CAN_LIST_VARIABLES, Context, await_answer, put_question
from airflow_provider_kimi.context import read_attempt, read_run_start
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.files.locations import as_uri
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.answer_sizes import answer_size
from airflow_provider_kimi.jobs.approval import OPTIONS, Approved, Question, not_shown
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.jobs.cost_limit import read_approve_over, read_max_cost
from airflow_provider_kimi.jobs.deadline import Deadline, deadline_of, too_late
from airflow_provider_kimi.jobs.in_turns import InTurns
from airflow_provider_kimi.jobs.job_run import JobRun
from airflow_provider_kimi.jobs.pilot import Pilot, pilot_limits
from airflow_provider_kimi.jobs.preview import PreviewJob
from airflow_provider_kimi.jobs.rounds import Rounds
from airflow_provider_kimi.jobs.wait_terms import WaitTerms
from airflow_provider_kimi.jobs.whole_job import WholeJob
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.results.compared import Comparison
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.earlier import NOTHING_CHANGED
from airflow_provider_kimi.results.failure_limits import read_limits
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.landing import InBudget, Landing
from airflow_provider_kimi.results.saved_files import SavedFilesBeside
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.results.usable_answers import Usable
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.job import Job


class _Fields(Protocol):
    """The parameters that parts of a job are made from."""

    @property
    def log(self) -> Log:
        """Its log."""

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
    budget: str | None
    max_in_flight: int | None
    pilot_rows: int | None
    cache: str | None
    cache_max_age: float | None
    dedupe: bool
    preview_rows: int | None
    compare_with: Any
    output_directory: str
    output_format: Any
    csv_form: CsvOptions


def job_of(task: _Fields, run: JobRun) -> WholeJob | PreviewJob:
    """The job of one try, or the preview of one."""
    deadline = run.rest.deadline
    terms = replace(task.wait_terms, ends_at=deadline.waits_until if deadline else None)
    spending, in_flight = spending_of(task, run.context), InFlight(task.max_in_flight)
    in_turns = InTurns(run, terms, in_flight, _pilot_of(task, spending))
    if task.preview_rows is not None:
        return PreviewJob(run, in_turns, spending, task.on_incomplete, comparison_of(task))
    return WholeJob(run, in_turns, Rounds(run, spending, in_flight), task.max_rounds, task.on_incomplete)


def comparison_of(task: _Fields) -> Comparison:
    """With what a preview is compared."""
    form = Form(task.output_format, task.csv_form)
    return Comparison(task.compare_with, as_uri(task.output_directory), read_schema(task.output_schema), form)


def check_comparison(task: _Fields) -> None:
    """Refuse a preview before anything is sent for it, if there is nothing to compare it with where something is named.

    :raises KimiInputError: It is so.
    """
    if task.preview_rows is None:
        return
    try:
        found = comparison_of(task).earlier()
    except KimiInputError as error:
        raise KimiInputError(str(error).replace(NOTHING_CHANGED, "Nothing was sent.")) from None
    if found is None:
        task.log.warning(
            "%s holds no result, so the answers of the preview are landed, and compared with nothing. Name an earlier "
            "result with compare_with.",
            task.output_directory,
        )


def park(task: Any, context: Context, question: Question, timeout: float | None, method: str) -> NoReturn:
    """Park a task until a person has approved its job; Airflow then calls a method of it."""
    asked = question.asked
    with airflow_errors(task):
        if not put_question(context["ti"], question.subject, question.body, OPTIONS):
            raise not_shown()
    task.log.info("%s Waiting for a person to approve it in Airflow. Nothing is uploaded yet.", question.subject)
    await_answer(task, context["ti"], OPTIONS, timeout, method, {"asked": asdict(asked)})


def deadline_of_task(task: _Fields, context: Context) -> Deadline | None:
    """When the task is to finish; None for no such time."""
    return deadline_of(task.finish_by, read_run_start(context) or time.time())


def spending_of(task: _Fields, context: Context, approved: Approved | None = None) -> Spending:
    """What the task may spend.

    :param approved: What a person has approved in this try; None for nothing.
    """
    region = task.hook.settings.billing_region
    prices, currency = read_price_list(task.price_list, region), PRICE_LISTS[region].currency
    limits = read_max_cost(task.max_cost), read_approve_over(task.approve_over, can_ask=CAN_ASK)
    purse = _purse_of(task, context, prices.currency)
    return Spending(prices, answer_size(task.output_schema), currency, *limits, approved, purse)


def in_budget_of(task: _Fields, context: Context) -> InBudget | None:
    """What says of the budget what the manifest repeats; None without one."""
    spending = spending_of(task, context)
    return spending.in_manifest if spending.purse else None


def _purse_of(task: _Fields, context: Context, currency: str) -> Purse | None:
    name = read_name(task.budget, can_list=CAN_LIST_VARIABLES)
    if name is None:
        return None
    attempt = read_attempt(context)
    of = attempt.task
    note = ClaimNote(
        dag_id=of.dag_id,
        run_id=of.run_id,
        task_id=of.task_id,
        map_index=of.map_index,
        conn_id=task.hook.kimi_conn_id,
        mark=attempt.mark,
        since=attempt.run_after,
    )
    return Purse(name, currency, note)


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


def saving_of(task: _Fields, base_url: str, landing: Landing, *, is_kept: bool) -> Saving | None:
    """How rows are saved whose answers are there; None if all rows are sent, as in a preview.

    :param base_url: Of the platform.
    :param landing: Of the result to come.
    :param is_kept: Whether what is decided is kept; not in a dry run.
    """
    uri = as_uri(task.cache)
    if uri is None and not task.dedupe or landing.task is None or task.preview_rows is not None:
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
