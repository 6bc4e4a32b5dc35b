"""Results: the operator that lands what batches came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.batch.answers import AnswerCheck, Reasoning
from airflow_provider_kimi.batch.identity import read_batch_ids
from airflow_provider_kimi.batch.keys import KeyColumns
from airflow_provider_kimi.batch.manifest import check_failures
from airflow_provider_kimi.batch.schema import read_schema
from airflow_provider_kimi.compat import (
    BaseOperator,
    Context,
    XComArg,
    as_uri,
    check_choice,
    given,
    never_rendered,
)
from airflow_provider_kimi.flows.collect import Landing, collect
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.storage.formats import OutputFormat


class KimiBatchResultsOperator(BaseOperator):
    """Land the output and error files of batches that have ended, and join every row to its request.

    Works for every way a batch can end: rows that were done before it expired or was cancelled are landed too. The
    directory then holds ``output.jsonl`` and ``error.jsonl`` (the platform's lines, byte for byte), ``results.jsonl``
    (one row for each request, in input order), ``dead_letter.jsonl`` (requests without a usable answer, ready to be
    given back as input) and, last, ``manifest.json``. Running it again replaces the result by an equal one.

    Pushes ``output_file`` and ``error_file`` (URIs, None where there is none), ``output_file_ids`` and
    ``error_file_ids``.

    :param batch_id: One id, a list, or the rendered text of a list. Templated.
    :param output: URI of the directory. Templated. (Airflow shows it as ``output_directory``; a mapped task whose
        ``partial(output=...)`` is another task's output does not wait for that task by itself.)
    :param input: The table that the batch was made from, if its columns are wanted in the results; None for none. A
        URI is templated; what rows hold never is.
    :param key_column: The column or columns that named the rows, as given to the create. Templated.
    :param max_failed_rows: Rows without a usable answer that are accepted; None accepts any number but all.
    :param max_failed_ratio: Their share of all rows, 0 to 1; None likewise, and 1.0 accepts even all.
    :param output_format: What the results are written as: ``jsonl``, ``csv`` or ``parquet`` (which needs the extra of
        that name). In a CSV file, texts that a spreadsheet would take for a formula begin with an apostrophe.
    :param output_schema: What every answer has to be: a list of labels, a JSON Schema, or a Pydantic model. The value
        comes as ``parsed``; code fences and words around it are left away. An answer that does not fit is ``invalid``
        and keeps its text. None takes any text.
    :param reasoning: What becomes of the model's thoughts: ``drop`` leaves them out, also where they leaked into the
        answer (``<think>``); ``column`` puts them into the column ``reasoning``; ``keep`` leaves answers as sent.
    :param price_list: Prices for the manifest's ``cost``, per million tokens: ``{"currency": "CNY", "date":
        "2026-09-01", "models": {"kimi-k2.6": {"input": 3.9, "cached": 0.66, "output": 16.2}}}``; None for the
        published batch prices of the connection's region. Templated.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The manifest.
    :raises AirflowFailException: A batch has not ended, no row has a usable answer, or more rows than accepted have
        none. In the last two cases the result is landed all the same.
    """

    template_fields: Sequence[str] = (
        "batch_id",
        "output_directory",
        "input",
        "key_column",
        "price_list",
        "kimi_conn_id",
    )
    ui_color = "#d4f5e2"

    def __init__(
        self,
        *,
        batch_id: str | Sequence[str] | XComArg,
        output: str,
        input: Any = None,
        key_column: KeyColumns | None = None,
        max_failed_rows: int | None = None,
        max_failed_ratio: float | None = None,
        output_format: OutputFormat = "jsonl",
        output_schema: Any = None,
        reasoning: Reasoning = "drop",
        price_list: Mapping[str, Any] | None = None,
        kimi_conn_id: str = KimiHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_failed_rows is not None and max_failed_rows < 0:
            raise ValueError(f"max_failed_rows is {max_failed_rows}; it is a number of rows")
        if max_failed_ratio is not None and not 0 <= max_failed_ratio <= 1:
            raise ValueError(f"max_failed_ratio is {max_failed_ratio}; it is a share between 0 and 1")
        read_schema(output_schema)  # refused while the DAG is parsed
        check_choice("output_format", output_format, get_args(OutputFormat))
        check_choice("reasoning", reasoning, get_args(Reasoning))
        self.batch_id = batch_id
        self.output_directory = output  # BaseOperator.output is the reference to this task's XCom
        self.input = input if isinstance(input, str) else never_rendered(input)
        self.key_column = key_column
        self.max_failed_rows = max_failed_rows
        self.max_failed_ratio = max_failed_ratio
        self.output_format = output_format
        self.output_schema = output_schema
        self.reasoning = reasoning
        self.price_list = price_list
        self.kimi_conn_id = kimi_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Land, reconcile, judge."""
        ti = context["ti"]
        with airflow_errors():
            landing = Landing(
                read_batch_ids(self.batch_id),
                as_uri(self.output_directory),
                as_uri(given(self.input)),
                self.key_column,
                self.price_list,
                AnswerCheck(read_schema(self.output_schema), self.reasoning),
                self.output_format,
            )
            collected = collect(KimiHook(self.kimi_conn_id), landing, self.log)
            ti.xcom_push("output_file", collected.manifest["output_file"])
            ti.xcom_push("error_file", collected.manifest["error_file"])
            ti.xcom_push("output_file_ids", collected.output_file_ids)
            ti.xcom_push("error_file_ids", collected.error_file_ids)
            check_failures(
                collected.tally,
                landing.batch_ids,
                max_failed_rows=self.max_failed_rows,
                max_failed_ratio=self.max_failed_ratio,
            )
        return collected.manifest
