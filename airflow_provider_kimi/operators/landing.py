"""What operators that land results have in common: parameters, and how they land, publish and judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from airflow_provider_kimi.account.delete import delete_landed
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import AirflowSkipException, Context, XComArg, push_own_xcom, read_last_return
from airflow_provider_kimi.context import read_attempt
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.fields import check_choice, check_flag, check_texts, check_whole_number, said_list
from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.lineage import lineage_of_result
from airflow_provider_kimi.links import LANDING_LINKS
from airflow_provider_kimi.metrics import metrics_of_result
from airflow_provider_kimi.outlets import report_to_outlets
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.rendering import TextTemplates, given, known, never_rendered
from airflow_provider_kimi.report.page import written_report
from airflow_provider_kimi.requests.inputs import bound
from airflow_provider_kimi.requests.keys import KeyColumns
from airflow_provider_kimi.results.answer_check import AnswerCheck, Reasoning
from airflow_provider_kimi.results.before import read_before
from airflow_provider_kimi.results.collect import checked_output, collect
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.drift import Before, labels_before
from airflow_provider_kimi.results.earlier import NOTHING_CHANGED, refused
from airflow_provider_kimi.results.failure_limits import (
    Limit,
    OnTooManyFailed,
    breaches,
    read_limits,
    too_many_failed,
)
from airflow_provider_kimi.results.formats import Form, OutputFormat
from airflow_provider_kimi.results.label_reading import LabelReading
from airflow_provider_kimi.results.landing import Collected, InBudget, Landing
from airflow_provider_kimi.results.manifest import identity_of
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.parsed_shape import spread_fields
from airflow_provider_kimi.results.passed_columns import Selection
from airflow_provider_kimi.results.quality_limits import QualityLimits, not_good_enough
from airflow_provider_kimi.results.row_check import RowCheck, read_check
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.results.storing import store_answers
from airflow_provider_kimi.stats import send

#: What the errors of a landing say, which is not so before the rows are sent.
_NOTHING_LANDED = "Nothing was landed; the results stay on the platform."


class LandingOperator(TextTemplates):
    """An operator that lands results; see `KimiBatchResultsOperator` for its parameters."""

    operator_extra_links = LANDING_LINKS

    input: Any
    key_column: KeyColumns | None
    output_schema: Any
    merge_with: Any = None
    cache: str | None = None
    saved: str | None = ""  # lands no rows but those of the batches
    kimi_conn_id: str

    def __init__(
        self,
        *,
        output: str,
        max_failed_rows: Limit | Mapping[str, Limit] = None,
        max_failed_ratio: Limit | Mapping[str, Limit] = None,
        on_too_many_failed: OnTooManyFailed = "fail",
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        output_format: OutputFormat = "jsonl",
        parsed_columns: bool = False,
        check: RowCheck | None = None,
        reasoning: Reasoning = "drop",
        delete_remote_files: bool = False,
        price_list: Mapping[str, Any] | str | None = None,
        gold_column: str | None = None,
        min_agreement: float | str | None = None,
        max_drift: float | str | None = None,
        compare_with: Mapping[str, Any] | str | XComArg | None = None,
        report_rows: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_texts(output=as_uri(output))
        check_location("output", output)
        check_choice("on_too_many_failed", on_too_many_failed, get_args(OnTooManyFailed))
        read_check(check)
        check_choice("output_format", output_format, get_args(OutputFormat))
        check_choice("reasoning", reasoning, get_args(Reasoning))
        check_flag("parsed_columns", parsed_columns)
        check_flag("delete_remote_files", delete_remote_files)
        check_whole_number("report_rows", report_rows, least=0)
        read_limits(known(max_failed_rows), known(max_failed_ratio))
        read_price_list(known(price_list), "cn")
        check_texts(gold_column=gold_column)
        QualityLimits.read(known(min_agreement), known(max_drift))
        check_location("compare_with", compare_with)
        self.output_directory = output  # BaseOperator.output is the reference to this task's XCom
        self.max_failed_rows = max_failed_rows
        self.max_failed_ratio = max_failed_ratio
        self.on_too_many_failed = on_too_many_failed
        self.selection = Selection.of(select, exclude)
        self.output_format: Any = str.__str__(output_format)  # of an Enum of texts
        self.csv_form = CsvOptions()
        self.parsed_columns = parsed_columns
        self.check = never_rendered(check)
        self.reasoning = reasoning
        self.delete_remote_files = delete_remote_files
        self.price_list = price_list
        self.gold_column = gold_column
        self.min_agreement = min_agreement
        self.max_drift = max_drift
        self.compare_with = compare_with
        self.report_rows = report_rows
        self._manifest: Manifest | None = None

    def check_form(self, name: str, csv_options: Mapping[str, Any] | None) -> None:
        """Read how a CSV file is written, and refuse a form that the format or the schema does not allow.

        :param name: Of the parameter.
        """
        if csv_options is not None and self.output_format != "csv":
            raise ValueError(f"{name} is given and output_format is {self.output_format!r}; it must be 'csv'")
        self.csv_form = CsvOptions.of(csv_options)
        schema = read_schema(self.output_schema)
        if self.parsed_columns:
            spread_fields(schema.shape if schema else None)
        self._check_quality(LabelReading.of(schema, self.gold_column))

    def _check_quality(self, reading: LabelReading) -> None:
        if self.min_agreement is not None and self.gold_column is None:
            raise ValueError("min_agreement is given; it needs gold_column, which says what the answers agree with")
        if self.max_drift is not None and not reading.has_labels:
            raise ValueError(
                "max_drift is given; it needs answers with labels: an output_schema of labels, or one of objects whose "
                "field gold_column has some values only"
            )

    def check_before_paying(self, context: Context, *, lands: bool) -> None:
        """Refuse what a landing would refuse once the rows are paid: limits, prices, the output.

        :param lands: Whether this run lands anything; the output is left alone if not.
        :raises KimiInputError: One of them is wrong.
        """
        try:
            read_limits(self.max_failed_rows, self.max_failed_ratio)
            read_price_list(self.price_list, "cn")
            self._quality_limits()
            if lands:
                self._before(context)
                checked_output(self._landing(context, (), None))
        except KimiInputError as error:
            said = (
                str(error).replace(_NOTHING_LANDED, "Nothing was sent.").replace(NOTHING_CHANGED, "Nothing was sent.")
            )
            raise KimiInputError(said) from None

    def land(
        self,
        calls: Calls,
        context: Context,
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
        landing = replace(self._landing(context, batch_ids, next_round), saved=self.saved if saved is None else saved)
        if within:
            output = f"{landing.output.rstrip('/')}/{within}"
            # no only copy: its files stay meanwhile; rows that were not sent are in the result alone
            landing = replace(landing, output=output, may_replace=True, saved="")
        elif self._is_compared:
            landing = replace(landing, is_compared=True, before=self._before(context))
        collected = collect(calls, landing)
        self._manifest = collected.manifest
        return collected

    def publish(self, context: Context, collected: Collected) -> None:
        """Report to Airflow what was landed."""
        manifest, ti, batches = collected.manifest, context["ti"], collected.batches
        report_to_outlets(self.outlets, context, manifest, self.log)
        if not collected.is_kept:  # what an earlier landing has counted
            send(metrics_of_result(manifest, batches, read_attempt(context).task))
        push_own_xcom(ti, "output_file", manifest.output_file)
        push_own_xcom(ti, "error_file", manifest.error_file)
        ti.xcom_push("plain_locations", manifest.plain_locations)
        ti.xcom_push("output_file_ids", [batch.output_file_id for batch in batches if batch.output_file_id])
        ti.xcom_push("error_file_ids", [batch.error_file_id for batch in batches if batch.error_file_id])

    def accepted(self, calls: Calls, collected: Collected) -> dict[str, Any]:
        """Store and delete what is to be once a result is accepted, and return the manifest."""
        if self.cache is not None:
            store_answers(self.cache, collected, self.log)
        if self.delete_remote_files:
            delete_landed(calls, collected)
        return collected.manifest.to_dict()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Report what was landed to OpenLineage, also if too many rows have no usable answer."""
        if self._manifest is None:
            return None
        return lineage_of_result(self._manifest, self.kimi_conn_id, as_uri(given(self.input)))

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete

    def judge(self, collected: Collected) -> None:
        """Fail or skip if too many rows have no usable answer, or the answers are not good enough."""
        manifest, to_come = collected.manifest, collected.to_come
        failed = breaches(read_limits(self.max_failed_rows, self.max_failed_ratio), collected.tally)
        poor = self._quality_limits().breaches(manifest)
        if not failed and not poor:
            return
        message = " ".join(
            ([too_many_failed(failed, collected.tally, manifest.batch_ids, to_come)] if failed else [])
            + ([not_good_enough(poor, manifest.batch_ids)] if poor else [])
        )
        if self.on_too_many_failed == "fail":
            raise KimiBatchError(message, retryable=bool(to_come))
        if self.on_too_many_failed == "skip":
            raise AirflowSkipException(message)
        self.log.warning("%s", message)

    def _in_budget(self, context: Context) -> InBudget | None:
        """What the manifest is to say of a budget; None without one."""
        return None

    def _quality_limits(self) -> QualityLimits:
        return QualityLimits.read(self.min_agreement, self.max_drift)

    @property
    def _is_compared(self) -> bool:
        """Whether labels are compared with those of an earlier result."""
        if self.max_drift is None and self.compare_with is None:
            return False
        return LabelReading.of(read_schema(self.output_schema), self.gold_column).has_labels

    def _before(self, context: Context) -> Before | None:
        """The labels that those of this result are compared with; None for those of the result that is replaced."""
        if not self._is_compared:
            return None
        if self.compare_with is None:
            last = Manifest.of_value(read_last_return(context))
            return labels_before(last.to_dict()) if last and not _is_own(last, context) else None
        check_location("compare_with", self.compare_with)
        before = read_before(self.compare_with, as_uri(self.output_directory))
        if before is None and self._quality_limits().max_drift is not None:
            raise refused(
                "compare_with names a result whose manifest counts no labels, and max_drift is given.",
                "Land that result again with output_schema, or name another one.",
            )
        return before

    def _landing(self, context: Context, batch_ids: Sequence[str], next_round: NextRound | None = None) -> Landing:
        check_location("output", self.output_directory)
        check_location("merge_with", self.merge_with)
        check_location("input", self.input)
        schema = read_schema(self.output_schema)
        parsed = schema.shape if schema else None
        spread = spread_fields(parsed) if self.parsed_columns else None
        return Landing(
            batch_ids=batch_ids,
            output=as_uri(self.output_directory),
            input=bound(as_uri(given(self.input)), context),
            key_column=said_list(self.key_column),
            price_list=self.price_list,
            selection=self.selection,
            check=AnswerCheck(schema, self.reasoning, given(self.check), self.gold_column),
            form=Form(self.output_format, self.csv_form, parsed, spread),
            may_replace=not self.delete_remote_files,
            task=read_attempt(context).task,
            next_round=next_round,
            merge_with=self.merge_with,
            in_budget=self._in_budget(context),
            report=partial(written_report, most_rows=self.report_rows),
            keeps_answers=self.cache is not None,
        )


def _is_own(manifest: Manifest, context: Context) -> bool:
    """Whether the task instance of this run has landed a result."""
    return manifest.landed_by == identity_of(read_attempt(context).task)
