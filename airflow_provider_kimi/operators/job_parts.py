"""The parts of a job, made from the parameters of its operator once their templates are rendered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.budgets.definition import read_name
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.compat import CAN_ASK, CAN_LIST_VARIABLES, Context
from airflow_provider_kimi.context import read_attempt, read_run_start
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
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.failure_limits import read_limits
from airflow_provider_kimi.results.landing import InBudget
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
    budget: str | None
    in_budget: InBudget | None
    max_in_flight: int | None
    pilot_rows: int | None


def whole_job_of(task: _Fields, run: JobRun) -> WholeJob:
    """The job of one try."""
    deadline = run.rest.deadline
    terms = replace(task.wait_terms, ends_at=deadline.waits_until if deadline else None)
    spending, in_flight = spending_of(task, run.context), InFlight(task.max_in_flight)
    task.in_budget = spending.in_manifest if spending.purse else None
    in_turns = InTurns(run, terms, in_flight, _pilot_of(task, spending))
    return WholeJob(run, in_turns, Rounds(run, spending, in_flight), task.max_rounds, task.on_incomplete)


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


def budget_of(given: object) -> str | None:
    """Read the name of a budget; None for none.

    :raises KimiInputError: It is no such name, or this Airflow has no place for budgets.
    """
    return read_name(given, can_list=CAN_LIST_VARIABLES)


def _purse_of(task: _Fields, context: Context, currency: str) -> Purse | None:
    name = budget_of(task.budget)
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
