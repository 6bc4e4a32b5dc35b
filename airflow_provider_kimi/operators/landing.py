"""What operators that land results have in common: their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_kimi.choices import KeyColumns, Limit, OnTooManyFailed, OutputFormat, Reasoning, RowCheck
from airflow_provider_kimi.compat import XComArg
from airflow_provider_kimi.fields import check_choice, check_flag, check_texts, check_whole_number
from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.links import LANDING_LINKS
from airflow_provider_kimi.rendering import TextTemplates, given, known, never_rendered
from airflow_provider_kimi.results.failure_limits import read_limits, read_share
from airflow_provider_kimi.results.passed_columns import Selection

if TYPE_CHECKING:
    from airflow_provider_kimi.records.manifest import Manifest


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
        check_choice("output_format", output_format, get_args(OutputFormat))
        check_choice("reasoning", reasoning, get_args(Reasoning))
        check_flag("parsed_columns", parsed_columns)
        check_flag("delete_remote_files", delete_remote_files)
        check_whole_number("report_rows", report_rows, least=0)
        read_limits(known(max_failed_rows), known(max_failed_ratio))
        if check is not None or price_list is not None:
            from airflow_provider_kimi.jobs.checks import check_judging

            check_judging(check, price_list)
        check_texts(gold_column=gold_column)
        read_share("min_agreement", known(min_agreement))
        read_share("max_drift", known(max_drift))
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
        self.landed: Manifest | None = None

    def check_form(self, name: str, csv_options: Mapping[str, Any] | None) -> None:
        """Read how a CSV file is written, and refuse a form that the format or the schema does not allow.

        :param name: Of the parameter.
        """
        if csv_options is not None and self.output_format != "csv":
            raise ValueError(f"{name} is given and output_format is {self.output_format!r}; it must be 'csv'")
        self.csv_form = CsvOptions.of(csv_options)
        if self.min_agreement is not None and self.gold_column is None:
            raise ValueError("min_agreement is given; it needs gold_column, which says what the answers agree with")
        if self.output_schema is not None or self.parsed_columns or self.max_drift is not None:
            from airflow_provider_kimi.jobs.checks import check_answers

            check_answers(
                self.output_schema,
                self.gold_column,
                are_spread=self.parsed_columns,
                are_compared=self.max_drift is not None,
            )

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Report what was landed to OpenLineage, also if too many rows have no usable answer."""
        if self.landed is None:
            return None
        from airflow_provider_kimi.lineage import lineage_of_result

        return lineage_of_result(self.landed, self.kimi_conn_id, as_uri(given(self.input)))

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete
