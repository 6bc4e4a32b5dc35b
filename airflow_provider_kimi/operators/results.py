"""The operator that lands the results of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_kimi.choices import (
    DEFAULT_CONN_ID,
    KeyColumns,
    Limit,
    OnTooManyFailed,
    OutputFormat,
    Reasoning,
    RowCheck,
)
from airflow_provider_kimi.compat import Context, XComArg
from airflow_provider_kimi.fields import check_columns, check_texts
from airflow_provider_kimi.files.locations import check_location
from airflow_provider_kimi.operators.landing import LandingOperator
from airflow_provider_kimi.rendering import known, never_rendered
from airflow_provider_kimi.results.passed_columns import Selection


class KimiBatchResultsOperator(LandingOperator):
    """Land the output and error files of batches that have ended, and join every row to its request.

    Works however a batch ended: rows that were done before it expired or was cancelled are landed too. The directory
    then holds ``output.jsonl`` and ``error.jsonl`` (the platform's lines, byte for byte), ``results.jsonl`` (one row
    for each request, in input order), ``dead_letter.jsonl`` (requests without a usable answer, ready to be passed as
    input) and, last, ``manifest.json``. Another run replaces the result by an equal or better one, whole.

    Pushes ``output_file`` and ``error_file`` (URIs, None if there is none), ``plain_locations`` (of each file, for
    programs that know no connection of Airflow), ``output_file_ids`` and ``error_file_ids``. The events of assets in
    ``outlets`` carry a summary of the manifest; an alias in ``outlets`` becomes the results file. OpenLineage gets the
    input, the files with their numbers of rows, and the batches.

    :param batch_id: One id, a list, or the rendered text of a list. If a wait was marked success and so returned none,
        the ids of the create before it. Templated.
    :param output: URI of the directory. Templated. (Airflow shows it as ``output_directory``; a mapped task whose
        ``partial(output=...)`` is another task's output does not wait for that task by itself.)
    :param input: The input that the batch was made from, to have its columns in the results; None for none. It is
        compared with what was asked: a row that has changed, is gone or is new says so. A URI is templated; rows never
        are.
    :param key_column: The column or columns that name the rows. What the create noted travels with the batch, so
        this is needed only where the platform hides the metadata of batches. None for that. Templated.
    :param max_failed_rows: How many rows may have no usable answer, or a dict of such limits by status, such as
        ``{"missing": 0, "filtered": 100}``. None accepts any number but all. Templated.
    :param max_failed_ratio: The same as a share of all rows, 0 to 1, or a dict of shares by status. None accepts any
        share but all, 1.0 accepts even all. Templated.
    :param on_too_many_failed: What becomes of the task if there are more, or fewer answers agree with ``gold_column``
        than ``min_agreement`` says, or labels have moved further than ``max_drift``: ``fail``, ``skip`` (with its
        downstream tasks) or ``warn``, which succeeds with a warning in the log. The result is landed in every case.
    :param select: The columns of ``input`` that the results have, by their names there, in this order; None for all.
    :param exclude: Those that the results leave out, such as personal data; None for none. Both hold for the rows that
        dead letters note; their requests are as sent. A name that the input has not fails the task.
    :param output_format: Format of the results file: ``jsonl``, ``csv`` or ``parquet`` (which needs the extra of that
        name).
    :param csv_options: Form of a CSV file: ``delimiter`` (``","``), ``bom`` (False; True adds the byte order mark by
        which Excel knows UTF-8), ``quoting`` (``minimal``, or ``all`` for every cell with a value), and
        ``formula_guard`` (True: a text that a spreadsheet would read as a formula gets an apostrophe before it; never
        a ``custom_id`` or a key).
    :param output_schema: What every answer must be: labels (a list of texts, whole numbers, True or False, an Enum, a
        Literal, or a mapping from each label to a list of synonyms), a JSON Schema, or a Pydantic model. The column
        ``parsed`` holds the value, without code fences and words around it. An answer that does not fit is ``invalid``
        and keeps its text. None accepts any text.
    :param parsed_columns: Whether the fields of ``parsed`` become columns of their own, in place of it. The schema has
        to name them. A field whose name is taken comes as ``parsed_...``.
    :param check: Your own check of each row that fits ``output_schema``: a function that takes the row, a read-only
        mapping of its results fields (``content``, ``parsed``, ...) and of the input's columns, and returns None, or
        the reason why the row cannot be used, which is then ``invalid`` with that ``error_message``. None checks
        nothing more.
    :param merge_with: The earlier result whose dead letters these batches asked again: URI of its directory or of its
        ``manifest.json``, or the manifest that its task returned. ``output`` then gets one row for each row of that
        result, with its columns: a usable answer stays, and a row without one takes the new outcome unless that is
        worth less. Counts, tokens, cost and rounds add up; dead letters are those that are left. ``output`` may be the
        same directory, whose result is then replaced whole. It stands in place of ``input``, and format and columns
        must be as they were. None lands the batches alone. Templated.
    :param reasoning: What becomes of the model's thoughts: ``drop`` leaves them out, also if they leaked into the
        answer (``<think>``); ``column`` puts them into the column ``reasoning``; ``keep`` leaves answers as sent.
    :param delete_remote_files: Delete the input, output and error files of the batches on the platform, which keeps at
        most 1,000 files, once the result is landed for good and accepted. Deletes only files of this provider's
        batches, and none that a batch still needs. The results cannot be landed elsewhere after that; clearing the task
        keeps them. If ``output`` holds the result of other batches, the task fails, because that may be the only copy.
    :param price_list: Prices for the manifest's ``cost``, per million tokens: ``{"currency": "CNY", "date":
        "2026-09-01", "models": {"kimi-k2.6": {"input": 3.9, "cached": 0.66, "output": 16.2}}}``, with
        ``cache_write_5m`` or ``cache_write_1h`` for models whose cache writes have a price; None for the published
        batch prices of the connection's region. Templated.
    :param gold_column: Column of ``input`` that holds, for some rows, the label that is known to be right. It is read
        as an answer is, and compared: with the answer, or with its field of the same name if answers are objects. The
        manifest's ``gold`` counts how many agree, and which are taken for which. The column need not be among those
        that are landed. None compares nothing.
    :param min_agreement: Share of the compared answers that has to agree with ``gold_column``, 0 to 1; also not met if
        none could be compared. None for any. Templated.
    :param max_drift: How far the shares of labels may be from those of ``compare_with``, 0 (the same) to 1 (no label in
        common): the share of answers that would need another label. None for any. Templated.
    :param compare_with: The result whose labels these are compared with, for the manifest's ``drift``: URI of its
        directory or of its ``manifest.json``, the manifest that its task returned, or the extra of its asset event.
        None for the manifest that this task returned in its last run that succeeded, if ``max_drift`` is given; the
        first run has none, and is not compared. Templated.
    :param report_rows: How many rows of text ``report.html`` shows, those that failed or differ from a gold label
        first; 0 for none, as it may be personal data.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The manifest.
    :raises KimiBatchError: A batch has not ended after a minute, or answers are still to come; a retry can help.
    :raises AirflowFailException: Too many rows have no usable answer; the result is landed all the same.
    :raises AirflowSkipException: Too many rows have no usable answer, with ``on_too_many_failed="skip"``.
    """

    template_fields: Sequence[str] = (
        "batch_id",
        "output_directory",
        "input",
        "key_column",
        "merge_with",
        "max_failed_rows",
        "max_failed_ratio",
        "price_list",
        "min_agreement",
        "max_drift",
        "compare_with",
        "kimi_conn_id",
    )
    ui_color = "#d4f5e2"

    def __init__(
        self,
        *,
        batch_id: str | Sequence[str | XComArg] | XComArg,
        output: str,
        input: Any = None,
        key_column: KeyColumns | None = None,
        max_failed_rows: Limit | Mapping[str, Limit] = None,
        max_failed_ratio: Limit | Mapping[str, Limit] = None,
        on_too_many_failed: OnTooManyFailed = "fail",
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        output_format: OutputFormat = "jsonl",
        csv_options: Mapping[str, Any] | None = None,
        output_schema: Any = None,
        parsed_columns: bool = False,
        check: RowCheck | None = None,
        merge_with: Mapping[str, Any] | str | XComArg | None = None,
        reasoning: Reasoning = "drop",
        delete_remote_files: bool = False,
        price_list: Mapping[str, Any] | str | None = None,
        gold_column: str | None = None,
        min_agreement: float | str | None = None,
        max_drift: float | str | None = None,
        compare_with: Mapping[str, Any] | str | XComArg | None = None,
        report_rows: int = 0,
        kimi_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            output=output,
            max_failed_rows=max_failed_rows,
            max_failed_ratio=max_failed_ratio,
            on_too_many_failed=on_too_many_failed,
            select=select,
            exclude=exclude,
            output_format=output_format,
            parsed_columns=parsed_columns,
            check=check,
            reasoning=reasoning,
            delete_remote_files=delete_remote_files,
            price_list=price_list,
            gold_column=gold_column,
            min_agreement=min_agreement,
            max_drift=max_drift,
            compare_with=compare_with,
            report_rows=report_rows,
            **kwargs,
        )
        if input is None and self.selection != Selection():
            raise ValueError("select and exclude choose columns of the input; give input too")
        if gold_column is not None and input is None and merge_with is None:
            raise ValueError("gold_column names a column of the input; give input too")
        if merge_with is not None and (input is not None or key_column is not None):
            raise ValueError(
                "merge_with takes rows and columns from the earlier result; leave out input and key_column"
            )
        check_location("input", input)
        check_location("merge_with", merge_with)
        self.batch_id = batch_id
        self.input = input if isinstance(input, str) else never_rendered(input)
        self.key_column = key_column
        self.output_schema = output_schema
        self.merge_with = merge_with
        check_texts(kimi_conn_id=kimi_conn_id)
        check_columns("key_column", known(key_column))
        self.kimi_conn_id = kimi_conn_id
        self.check_form("csv_options", csv_options)

    def execute(self, context: Context) -> dict[str, Any]:
        """Land, reconcile, judge."""
        from airflow_provider_kimi.tasks.results import ResultsTask

        return ResultsTask(self, context).run()
