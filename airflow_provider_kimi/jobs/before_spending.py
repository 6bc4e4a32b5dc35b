"""Before a task spends: what its job may cost, whether it may cost that much, and whether the balance is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kimi.api.catalogue import PriceList
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiInputError, KimiNoAnswerError
from airflow_provider_kimi.jobs.answer_sizes import AnswerSize
from airflow_provider_kimi.jobs.approval import SAMPLES, Approved, Question, is_to_be_asked, question
from airflow_provider_kimi.jobs.assumptions import NOTHING_SENT, assumptions
from airflow_provider_kimi.jobs.cost_limit import check_cost, check_price, described, round_refused
from airflow_provider_kimi.jobs.estimate import (
    Counted,
    Estimate,
    completion_tokens,
    cost,
    prompt_tokens,
    worst_case,
)
from airflow_provider_kimi.jobs.report import table
from airflow_provider_kimi.jobs.sampling import count_sample, first_prompts, survey
from airflow_provider_kimi.jobs.survey import Survey
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.prepare import Prepared
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.submission.failing import Postponed
from airflow_provider_kimi.submission.job import Job


class Unapproved(Postponed):
    """A person has to approve the job first.

    :param question: What that person is asked.
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


@dataclass(frozen=True)
class Spending:
    """What a task may spend.

    :param prices: Of the account's region, or the user's own.
    :param answer: How long an answer is expected to be.
    :param currency: That of the account's balance.
    :param max_cost: Most that the task may cost, in the currency of the prices; None for no limit.
    :param approve_over: What may cost more than that, a person has to approve; None for nothing.
    :param approved: What a person has approved in this try; None for nothing.
    :param purse: The budget that it draws on; None for none.
    :param is_chat: Whether it is about chat calls.
    """

    prices: PriceList
    answer: AnswerSize
    currency: str
    max_cost: float | None = None
    approve_over: float | None = None
    approved: Approved | None = None
    purse: Purse | None = None
    is_chat: bool = False

    @property
    def at_standard_rate(self) -> Spending:
        """The same for ordinary chat calls."""
        return replace(self, prices=self.prices.at_standard_rate, is_chat=True)

    def check_budget(self) -> None:
        """Refuse a budget that is not defined, or not as it has to be.

        :raises KimiInputError: It is so.
        """
        if self.purse is not None:
            self.purse.check()

    def release_after(self, error: KimiError, calls: Calls) -> None:
        """Give back what this attempt has reserved, if it has failed for good without a batch.

        A retry takes it up; and the batch of a create that was not answered may not be known yet.
        """
        if self.purse is not None and not error.retryable:
            self.purse.release(calls)

    def approve(self, job: Job, is_begun: bool) -> None:
        """Look at a job before anything is uploaded for it.

        :param is_begun: Whether some of its batches exist.
        :raises KimiInputError: It may cost more than it may.
        :raises Unapproved: A person has to approve it, and has not.
        """
        calls, prepared = job.calls, job.prepared
        found = survey(_contents(prepared))
        asks = self.approve_over is not None and not is_begun
        if self.max_cost is not None or asks or self.purse is not None:
            estimate = self._estimate(calls, _contents(prepared), prepared.model, found)
            if self.max_cost is not None:
                check_cost(estimate, self.max_cost, self.prices)
                calls.log.info(
                    "The estimate of this job is within max_cost=%s: %s.",
                    self.prices.amount(self.max_cost),
                    described(estimate, self.prices),
                )
            if asks:
                self._check_approval(job, estimate)
            if self.purse is not None:
                check_price(estimate, f"budget is {self.purse.name!r}", "leave budget out")
                purse = self.purse.of_job(job.key, job.fresh, estimate.rows)
                purse.hold(calls, estimate.cost.high if estimate.cost else 0.0)
        self._check_balance(calls, prepared.model, found)

    def _check_approval(self, job: Job, estimate: Estimate) -> None:
        price = f"{self.prices.currency} {self.prices.models.get(estimate.model)}"
        wanted = Approved(job.prepared.fingerprint, estimate.cost.high if estimate.cost else None, price)
        is_asked = is_to_be_asked(wanted, self.approve_over, self.approved)
        if self.approved is not None and (is_asked or self.approved.fingerprint != wanted.fingerprint):
            job.calls.log.warning(
                "The job is not the one that was approved. It costs %s now: %s.",
                "more, or has another price," if is_asked else "no more",
                described(estimate, self.prices),
            )
        if is_asked:
            samples = first_prompts(_contents(job.prepared), SAMPLES)
            raise Unapproved(question(wanted, estimate, len(job.prepared.shards), self.prices, samples))

    def approve_round(
        self,
        calls: Calls,
        spent: Mapping[str, Any] | None,
        requests: Mapping[ShardName, Slice],
        model: str,
        batches: Sequence[Batch],
    ) -> bool:
        """Whether a further round may be asked.

        :param spent: The `cost` of the manifest.
        :param requests: What it would ask, by the name of the shard.
        :param batches: Those of the job.
        """
        if self.max_cost is None and self.purse is None:
            return True
        contents = list(requests.values())
        estimate = self._estimate(calls, contents, model, survey(contents))
        refusal = None if self.max_cost is None else round_refused(spent, estimate, self.max_cost, self.prices)
        if refusal is None and self.purse is not None:
            refusal = self._not_held(calls, self.purse, spent, estimate, batches)
        if refusal is not None:
            calls.log.warning("%s", refusal)
        return refusal is None

    def _not_held(
        self, calls: Calls, purse: Purse, spent: Mapping[str, Any] | None, estimate: Estimate, batches: Sequence[Batch]
    ) -> str | None:
        """Reserve for a further round; say why that cannot be, or None."""
        amount: float | None = (spent or {}).get("amount")
        try:
            check_price(estimate, f"budget is {purse.name!r}", "leave budget out")
            if amount is not None and estimate.cost is not None:
                _of_batches(purse, batches, estimate.rows, is_chat=self.is_chat).hold(
                    calls, amount + estimate.cost.high
                )
                return None
            why = "What the rounds before have cost is not known."
        except KimiInputError as error:
            why = str(error)
        return f"{estimate.rows:,} rows without a usable answer are not asked again. {why}"

    def settle(self, calls: Calls, cost: Mapping[str, Any] | None, batches: Sequence[Batch]) -> None:
        """Note in the budget what the job has cost.

        :param cost: Of its manifest.
        """
        if self.purse is not None and batches:
            _of_batches(self.purse, batches).settle(calls, cost)

    def in_manifest(self, cost: Mapping[str, Any] | None, batches: Sequence[Batch]) -> dict[str, Any] | None:
        """What the manifest says of the budget; None without one.

        :param cost: Of the manifest.
        """
        return None if self.purse is None or not batches else _of_batches(self.purse, batches).summary(cost)

    def report(self, job: Job) -> dict[str, Any]:
        """Estimate a job without an upload, and log it as a table."""
        calls, prepared = job.calls, job.prepared
        contents = _contents(prepared)
        estimate = self._estimate(calls, contents, prepared.model, survey(contents))
        skipped = bool(prepared.skipped)
        used = len(contents) + len(prepared.media) + skipped + job.needs_note_file("" if skipped else None)
        report = {
            "dry_run": True,
            "model": prepared.model[:100],
            "rows": estimate.rows,
            "shards": len(contents),
            "files_used": used,
            "files_kept": _files_kept(calls),
            "prompt_tokens": estimate.prompt.rounded(),
            "completion_tokens": estimate.completion.rounded(),
            "cost": self._cost(estimate),
            "balance": _balance(calls),
            "assumptions": list(estimate.assumptions),
        }
        if prepared.saved is not None:
            report["saved"] = prepared.saved.header.counts
        calls.log.info("%s", table(report, self.currency))
        return report

    def _estimate(self, calls: Calls, contents: Sequence[Slice], model: str, found: Survey) -> Estimate:
        counted = _counted(calls, contents, found, model)
        price = self.prices.models.get(model)
        prompt = prompt_tokens(counted, found.rows, found.weight, found.uncounted_bytes)
        completion = completion_tokens(found.asked, self.answer.tokens)
        return Estimate(
            model,
            found.rows,
            prompt,
            completion,
            cost(prompt, completion, price) if price else None,
            assumptions(found, len(counted), self.answer, self.prices, model) if found.rows else NOTHING_SENT,
        )

    def _cost(self, estimate: Estimate) -> dict[str, Any] | None:
        if estimate.cost is None:
            return None
        dated = {"currency": self.prices.currency, "price_list_date": self.prices.date}
        return {**dated, **estimate.cost.rounded(8)}

    def _check_balance(self, calls: Calls, model: str, found: Survey) -> None:
        """Warn of a balance that the platform will find too low, since it then fails whole batches."""
        price = self.prices.models.get(model)
        if price is None or self.prices.currency != self.currency or (balance := _balance(calls)) is None:
            return
        reserved = worst_case(completion_tokens(found.asked, self.answer.tokens), price)
        if reserved > balance:
            calls.log.warning(
                "The balance is %s. Before batches start, the platform reserves about %s for these %s rows: every "
                "answer as long as its cap. It fails a batch that it cannot reserve for, which costs nothing. Set a "
                "lower max_completion_tokens, make smaller batches with max_rows_per_batch, or top up.",
                self.prices.amount(balance),
                self.prices.amount(reserved),
                f"{found.rows:,}",
            )


def _of_batches(purse: Purse, batches: Sequence[Batch], rows: int = 0, *, is_chat: bool = False) -> Purse:
    """The budget of the job that batches are of."""
    tags = Tags.of(batches[0])
    return purse.of_job(tags.job_key or "", tags.attempt, rows, is_chat=is_chat)


def _contents(prepared: Prepared) -> list[Slice]:
    return [shard.content for shard in prepared.shards]


def _counted(calls: Calls, contents: Sequence[Slice], found: Survey, model: str) -> list[Counted]:
    """Let the platform count a sample; an empty one if it cannot be asked."""
    try:
        return count_sample(calls, contents, found, model)
    except (KimiApiError, KimiNoAnswerError) as error:
        if isinstance(error, KimiApiError) and error.kind == "key":
            raise
        calls.log.warning("Tokens are estimated by bytes, because the platform could not be asked: %s", error)
        return []


def _files_kept(calls: Calls) -> int | None:
    try:
        return len(calls.hook.list_files())
    except KimiError as error:
        calls.log.info("How many files the account keeps could not be asked: %s", error)
        return None


def _balance(calls: Calls) -> float | None:
    try:
        return calls.hook.get_balance().available_balance
    except KimiError as error:
        calls.log.info("The balance could not be read, so it is not compared with what may be reserved: %s", error)
        return None
