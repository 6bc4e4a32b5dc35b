"""How a task lands, publishes and judges results: what operators that land do in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.account.delete import delete_landed
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import AirflowSkipException, Context, push_own_xcom, read_last_return
from airflow_provider_kimi.context import read_attempt
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.fields import said_list
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.metrics import metrics_of_result
from airflow_provider_kimi.outlets import report_to_outlets
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.rendering import given
from airflow_provider_kimi.report.page import written_report
from airflow_provider_kimi.requests.inputs import bound
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.before import read_before
from airflow_provider_kimi.results.collect import checked_output, collect
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.drift import Before, labels_before
from airflow_provider_kimi.results.earlier import NOTHING_CHANGED, refused
from airflow_provider_kimi.results.failure_limits import breaches, read_limits, too_many_failed
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.label_reading import LabelReading
from airflow_provider_kimi.results.landing import Collected, InBudget, Landing
from airflow_provider_kimi.results.manifest import identity_of
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.parsed_shape import spread_fields
from airflow_provider_kimi.results.quality_limits import QualityLimits, not_good_enough
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.results.storing import store_answers
from airflow_provider_kimi.stats import send

if TYPE_CHECKING:
    from airflow_provider_kimi.operators.landing import LandingOperator

#: What the errors of a landing say, which is not so before the rows are sent.
_NOTHING_LANDED = "Nothing was landed; the results stay on the platform."


class LandingTask:
    """One try of a task that lands results.

    :param operator: Whose parameters say how.
    """

    def __init__(self, operator: LandingOperator, context: Context) -> None:
        self.operator = operator
        self.context = context

    def check_before_paying(self, *, lands: bool) -> None:
        """Refuse what a landing would refuse once the rows are paid: limits, prices, the output.

        :param lands: Whether this run lands anything; the output is left alone if not.
        :raises KimiInputError: One of them is wrong.
        """
        try:
            read_limits(self.operator.max_failed_rows, self.operator.max_failed_ratio)
            read_price_list(self.operator.price_list, "cn")
            self._quality_limits()
            if lands:
                self._before()
                checked_output(self.landing(()))
        except KimiInputError as error:
            said = (
                str(error).replace(_NOTHING_LANDED, "Nothing was sent.").replace(NOTHING_CHANGED, "Nothing was sent.")
            )
            raise KimiInputError(said) from None

    def land(
        self,
        calls: Calls,
        batch_ids: Sequence[str],
        next_round: NextRound | None = None,
        *,
        within: str = "",
        saved: str | None = None,
    ) -> Collected:
        """Land.

        :param next_round: Takes the requests of rows that are worth another round; None for none.
        :param within: The directory in the output that gets the result; empty for the output itself.
        :param saved: Name of the saved file, where no batch names it; None for what the class says.
        """
        landing = replace(self.landing(batch_ids, next_round), saved=self.operator.saved if saved is None else saved)
        if within:
            output = f"{landing.output.rstrip('/')}/{within}"
            # no only copy: its files stay meanwhile; rows that were not sent are in the result alone
            landing = replace(landing, output=output, may_replace=True, saved="")
        elif self._is_compared:
            landing = replace(landing, is_compared=True, before=self._before())
        collected = collect(calls, landing)
        self.operator.landed = collected.manifest
        return collected

    def publish(self, collected: Collected) -> None:
        """Report to Airflow what was landed."""
        manifest, ti, batches = collected.manifest, self.context["ti"], collected.batches
        report_to_outlets(self.operator.outlets, self.context, manifest, self.operator.log)
        if not collected.is_kept:  # what an earlier landing has counted
            send(metrics_of_result(manifest, batches, read_attempt(self.context).task))
        push_own_xcom(ti, "output_file", manifest.output_file)
        push_own_xcom(ti, "error_file", manifest.error_file)
        ti.xcom_push("plain_locations", manifest.plain_locations)
        ti.xcom_push("output_file_ids", [batch.output_file_id for batch in batches if batch.output_file_id])
        ti.xcom_push("error_file_ids", [batch.error_file_id for batch in batches if batch.error_file_id])

    def accepted(self, calls: Calls, collected: Collected) -> dict[str, Any]:
        """Store and delete what is to be once a result is accepted, and return the manifest."""
        if self.operator.cache is not None:
            store_answers(self.operator.cache, collected, self.operator.log)
        if self.operator.delete_remote_files:
            delete_landed(calls, collected)
        return collected.manifest.to_dict()

    def judge(self, collected: Collected) -> None:
        """Fail or skip if too many rows have no usable answer, or the answers are not good enough."""
        manifest, to_come = collected.manifest, collected.to_come
        failed = breaches(read_limits(self.operator.max_failed_rows, self.operator.max_failed_ratio), collected.tally)
        poor = self._quality_limits().breaches(manifest)
        if not failed and not poor:
            return
        message = " ".join(
            ([too_many_failed(failed, collected.tally, manifest.batch_ids, to_come)] if failed else [])
            + ([not_good_enough(poor, manifest.batch_ids)] if poor else [])
        )
        if self.operator.on_too_many_failed == "fail":
            raise KimiBatchError(message, retryable=bool(to_come))
        if self.operator.on_too_many_failed == "skip":
            raise AirflowSkipException(message)
        self.operator.log.warning("%s", message)

    def in_budget(self) -> InBudget | None:
        """What the manifest is to say of a budget; None without one."""
        return None

    def _quality_limits(self) -> QualityLimits:
        return QualityLimits.read(self.operator.min_agreement, self.operator.max_drift)

    @property
    def _is_compared(self) -> bool:
        """Whether labels are compared with those of an earlier result."""
        if self.operator.max_drift is None and self.operator.compare_with is None:
            return False
        return LabelReading.of(read_schema(self.operator.output_schema), self.operator.gold_column).has_labels

    def _before(self) -> Before | None:
        """The labels that those of this result are compared with; None for those of the result that is replaced."""
        if not self._is_compared:
            return None
        if self.operator.compare_with is None:
            last = Manifest.of_value(read_last_return(self.context))
            return labels_before(last.to_dict()) if last and not _is_own(last, self.context) else None
        check_location("compare_with", self.operator.compare_with)
        before = read_before(self.operator.compare_with, as_uri(self.operator.output_directory))
        if before is None and self._quality_limits().max_drift is not None:
            raise refused(
                "compare_with names a result whose manifest counts no labels, and max_drift is given.",
                "Land that result again with output_schema, or name another one.",
            )
        return before

    def landing(self, batch_ids: Sequence[str], next_round: NextRound | None = None) -> Landing:
        """How results are landed.

        :param next_round: Takes the requests of rows that are worth another round; None for none.
        """
        check_location("output", self.operator.output_directory)
        check_location("merge_with", self.operator.merge_with)
        check_location("input", self.operator.input)
        schema = read_schema(self.operator.output_schema)
        parsed = schema.shape if schema else None
        spread = spread_fields(parsed) if self.operator.parsed_columns else None
        return Landing(
            batch_ids=batch_ids,
            output=as_uri(self.operator.output_directory),
            input=bound(as_uri(given(self.operator.input)), self.context),
            key_column=said_list(self.operator.key_column),
            price_list=self.operator.price_list,
            selection=self.operator.selection,
            check=AnswerCheck(schema, self.operator.reasoning, given(self.operator.check), self.operator.gold_column),
            form=Form(self.operator.output_format, self.operator.csv_form, parsed, spread),
            may_replace=not self.operator.delete_remote_files,
            task=read_attempt(self.context).task,
            next_round=next_round,
            merge_with=self.operator.merge_with,
            in_budget=self.in_budget(),
            report=partial(written_report, most_rows=self.operator.report_rows),
            keeps_answers=self.operator.cache is not None,
        )


def _is_own(manifest: Manifest, context: Context) -> bool:
    """Whether the task instance of this run has landed a result."""
    return manifest.landed_by == identity_of(read_attempt(context).task)
