"""The operator that does the whole job: rows in, labelled rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_kimi.choices import (
    DEFAULT_CONN_ID,
    MAX_BATCHES_SEARCHED,
    KeyColumns,
    Limit,
    MediaTransport,
    OnChangedInput,
    OnEnded,
    OnFinalFailure,
    OnIncomplete,
    OnInvalidRow,
    OnTooManyFailed,
    OutputFormat,
    ParameterCheck,
    Reasoning,
    Reuse,
    RowCheck,
    RowFunction,
    RuleOverrides,
    Thinking,
)
from airflow_provider_kimi.compat import CAN_ASK, CAN_LIST_VARIABLES, Context, XComArg
from airflow_provider_kimi.fields import (
    check_choice,
    check_flag,
    check_seconds,
    check_texts,
    check_whole_number,
    keywords_of,
)
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.jobs.cost_limit import read_approve_over, read_dry_run, read_max_cost
from airflow_provider_kimi.jobs.deadline import read_finish_by
from airflow_provider_kimi.jobs.wait_terms import WaitTerms
from airflow_provider_kimi.operators.asking import AskingOperator
from airflow_provider_kimi.operators.landing import LandingOperator
from airflow_provider_kimi.records.watch import DEFAULT_STALL_SECONDS, OnStall, OnTimeout
from airflow_provider_kimi.rendering import known

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.kimi import KimiHook
    from airflow_provider_kimi.tasks.whole_job import WholeJobTask


class KimiBatchOperator(LandingOperator, AskingOperator):
    """Label rows: check them, create their batches, wait without a worker slot, land the answers.

    It is a :class:`KimiCreateBatchOperator`, a :class:`~airflow_provider_kimi.sensors.batch.KimiBatchSensor` and a
    :class:`KimiBatchResultsOperator` in one task, and promises what these do. A parameter that one of them has means
    the same here, and is explained there. A retry or a clear goes on where the task stood: it attaches to the batches
    that exist, and lands again what has ended.

    Pushes ``batch_ids`` while it waits, ``progress``, the ``manifest`` after each round, so that what is spent is known
    of a task that fails too, and what its three parts push.

    :param input: The rows. The columns of a table stand beside its answers in the result. Templated.
    :param output: URI of the directory for the result. Templated.
    :param csv_options: How CSV files of the input are read.
    :param encoding: Of text files of the input.
    :param model: Model of every request; None for that of the connection. Templated.
    :param prompt: The user message as a text over columns.
    :param system_prompt: System message of every request.
    :param messages: Instead of ``prompt``: messages, or a function from a row to messages.
    :param body: Instead of ``prompt``: the request body, or a function from a row to a body.
    :param image_column: Column or columns that hold images.
    :param video_column: Column or columns that hold videos.
    :param media: ``base64`` puts images and videos into the requests, ``upload`` stores them on the platform.
    :param key_column: Column or columns that name the rows; None numbers them. Templated.
    :param request_params: Further keys of every request body. Templated.
    :param output_schema: What every answer has to be; None for any text.
    :param thinking: ``enabled`` or ``disabled``; None leaves it to the model.
    :param on_invalid_row: What becomes of a row that cannot be sent: ``fail`` sends nothing, ``skip`` leaves it out.
    :param max_rows_per_batch: Rows of one batch; None for as many as fit.
    :param parameter_check: What becomes of a parameter that the model does not take.
    :param parameter_rules: Rules that replace the published ones.
    :param completion_window: How long the platform may take, ``12h`` to ``7d``. Templated.
    :param metadata: Pairs of text to tag the batches with. Templated.
    :param reuse: ``auto`` attaches to what an earlier attempt has submitted, ``never`` pays again.
    :param on_changed_input: What to do if an earlier attempt submitted another input.
    :param on_ended: What to ask of a batch that ended before it was done, in a retry or after a clear.
    :param on_final_failure: What becomes of batches that run when the task fails for good: ``keep`` or ``cancel``.
    :param cancel_on_kill: Cancel what runs if the task or its run is marked failed.
    :param max_batches_searched: How many of the account's batches are searched for earlier work.
    :param deferrable: Wait in the triggerer. False waits in the worker.
    :param poke_interval: Seconds or timedelta between two polls; None for a pace that fits the batches' age.
    :param timeout: Seconds or timedelta after which the wait ends; None for as long as the platform may take.
    :param on_timeout: What becomes of batches that have not ended by then: ``keep`` or ``cancel``.
    :param stall_timeout: Seconds or timedelta after which a batch that has not moved is stalled.
    :param on_stall: What becomes of a stalled batch: ``keep``, ``cancel`` or ``fail``.
    :param on_incomplete: What becomes of the task if a batch is ``failed``, ``expired`` or ``cancelled``: ``fail`` or
        ``continue``. What was answered is landed before, in any case.
    :param progress: Push the XCom ``progress``; False leaves it out.
    :param max_failed_rows: How many rows may have no usable answer; None accepts any number but all. Templated.
    :param max_failed_ratio: The same as a share of all rows. Templated.
    :param on_too_many_failed: What becomes of the task if there are more, or answers are not as ``min_agreement`` and
        ``max_drift`` ask: ``fail``, ``skip`` or ``warn``.
    :param select: The columns of the input that the result has; None for all.
    :param exclude: Those that it leaves out; None for none.
    :param output_format: Format of the results file: ``jsonl``, ``csv`` or ``parquet``.
    :param output_csv_options: Form of a CSV results file: the ``csv_options`` of the results operator.
    :param parsed_columns: Whether the fields of ``parsed`` become columns of their own.
    :param check: Your own check of each row that fits ``output_schema``.
    :param reasoning: What becomes of the model's thoughts: ``drop``, ``column`` or ``keep``.
    :param delete_remote_files: Delete the files of the batches on the platform once the result is accepted.
    :param price_list: Prices for the manifest's ``cost``; None for the published ones. Templated.
    :param gold_column: Column of the input with labels that are known to be right; None for none.
    :param min_agreement: Share of answers that has to agree with them; None for any. Templated.
    :param max_drift: How far the shares of labels may be from those of ``compare_with``; None for any. Templated.
    :param compare_with: The result that this one is compared with; None for that of the task's last success. Templated.
    :param report_rows: How many rows of text ``report.html`` shows; 0 for none.
    :param max_rounds: How often a row is asked at most. A row that failed, expired or is missing is asked again as it
        was; one that was cut may answer twice as long; one whose answer was refused is told why; one that the content
        filter stopped in the first round is asked once more. A row with a usable answer is never asked again.
    :param min_batch_rows: Fewer rows than these are not worth a further batch: with ``allow_realtime`` they are asked
        by ordinary chat calls, else they are dead letters. None for any number. The first round is always a batch.
    :param finish_by: When the task is to finish: a time with its zone, its text in ISO 8601, or a timedelta from the
        start of the run. No batch is made that would not end in time, by the time that the longest one of the job has
        taken. Half an hour before, or at three quarters of the time if that is later, batches that run are cancelled;
        what they have done is landed, and the rest is asked by chat calls, with ``allow_realtime``. Too late to submit,
        the task fails before anything is sent. None for no such time. Templated.
    :param allow_realtime: Whether rows for which no batch is worth it, or in time, may be asked by ordinary chat calls
        at the standard price. It is their last round. They are asked in the worker, and an answer that has come is kept
        beside the result, so that no later try asks the row again.
    :param max_cost: Most that the task may cost, in the currency of the prices: CNY in region ``cn``, USD in ``intl``,
        or that of ``price_list``. If every answer as long as its cap would cost more, nothing is uploaded; the same is
        checked again before each further round, which is then not asked. Needs a price. Work that an earlier attempt
        has submitted is paid, and never refused. None for no limit. Templated.
    :param budget: Name of an amount that tasks and runs share. The Airflow Variable ``kimi_budget_<name>`` defines it,
        as in ``{"amount": 100, "per": "day"}``. As with ``max_cost``, every answer is taken to be as long as its cap;
        that much is reserved before anything is uploaded, and the rest of it given back once the result is landed.
        Without room for it, nothing is uploaded. Needs Airflow 2.11, or 3.3 and newer. None for none. Templated.
    :param approve_over: Amount in the same currency above which a person has to approve the job in Airflow before
        anything is uploaded; as with ``max_cost``, every answer is taken to be as long as its cap. 0 for always, also
        where no price is known. Rejected, the task is skipped. A retry or a clear asks only if no batch of the job
        exists. Needs Airflow 3.1. None for never. Templated.
    :param approval_timeout: Seconds or timedelta after which a task that nobody has approved fails; None for never.
    :param max_in_flight: Most batches of the task that run at a time; the others are created as those end, in order.
        All are uploaded at once, so that a later change of the input changes nothing. None for all at once.
    :param pilot_rows: How many of the first rows are asked in a batch of their own before the others. Its result is
        landed in the directory ``pilot`` of the output. If more of them have no usable answer than
        ``max_failed_rows`` and ``max_failed_ratio`` allow (a fifth where they are not set or rounds follow), or
        if all rows would cost more than ``max_cost`` at its price, the task fails and nothing else is asked. Its rows
        are not asked again in any case. None for no pilot.
    :param cache: URI of a directory, on any storage of Airflow, that keeps usable answers for later runs, also of other
        tasks. A row whose very request it can answer is not sent. None for none. Templated.
    :param cache_max_age: Seconds or timedelta after which an answer of the cache no longer counts; None for any age.
    :param dedupe: Ask once what several rows ask with the very same request; the others get that outcome too.
    :param preview_rows: How many rows, evenly spread over the input, are asked in place of all, to see what a new
        prompt changes. Their result is landed in the directory ``preview`` of the output, and compared with that of
        ``compare_with``, or with what the output holds, by ``key_column``; without one, by the place of the rows in the
        same input. No pilot and no round follows. None for no preview.
    :param dry_run: Upload and create nothing; check the input and return what the job is likely to cost. Templated.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The manifest. Of a preview, what has changed; see the docs. Of a dry run, ``rows``, ``shards``, files,
        ``balance``, ``assumptions``, and ``low``, ``expected`` and ``high`` of tokens and ``cost``.
    :raises KimiBatchError: Batches did not complete; what was answered is landed. Or they could not be read.
    :raises AirflowSensorTimeout: Batches have not ended in time. Nothing is landed; a clear waits on.
    :raises AirflowFailException: The input, a parameter, the key or the account is refused, a retry would pay twice, or
        too many rows have no usable answer.
    """

    saved = None  # lands the rows, too, that the tags of its batches name
    template_fields: Sequence[str] = (
        *AskingOperator.template_fields,
        "output_directory",
        "max_failed_rows",
        "max_failed_ratio",
        "price_list",
        *("min_agreement", "max_drift", "compare_with"),
        *("max_cost", "approve_over", "budget"),
        "finish_by",
        "cache",
        "is_dry_run",
    )
    ui_color = "#e0ecd8"

    def __init__(
        self,
        *,
        input: Any,
        output: str,
        csv_options: Mapping[str, Any] | None = None,
        encoding: str = "utf-8",
        model: str | None = None,
        prompt: str | None = None,
        system_prompt: str | None = None,
        messages: Sequence[Mapping[str, Any]] | RowFunction | None = None,
        body: Mapping[str, Any] | RowFunction | None = None,
        image_column: str | Sequence[str] | None = None,
        video_column: str | Sequence[str] | None = None,
        media: MediaTransport = "base64",
        key_column: KeyColumns | None = None,
        request_params: Mapping[str, Any] | None = None,
        output_schema: Any = None,
        thinking: Thinking | None = None,
        on_invalid_row: OnInvalidRow = "fail",
        max_rows_per_batch: int | None = None,
        parameter_check: ParameterCheck = "fail",
        parameter_rules: RuleOverrides | None = None,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        reuse: Reuse = "auto",
        on_changed_input: OnChangedInput = "fail",
        on_ended: OnEnded = "rest",
        on_final_failure: OnFinalFailure = "keep",
        cancel_on_kill: bool = True,
        max_batches_searched: int = MAX_BATCHES_SEARCHED,
        deferrable: bool = True,
        poke_interval: timedelta | float | None = None,
        timeout: timedelta | float | None = None,
        on_timeout: OnTimeout = "keep",
        stall_timeout: timedelta | float = DEFAULT_STALL_SECONDS,
        on_stall: OnStall = "keep",
        on_incomplete: OnIncomplete = "fail",
        progress: bool = True,
        max_failed_rows: Limit | Mapping[str, Limit] = None,
        max_failed_ratio: Limit | Mapping[str, Limit] = None,
        on_too_many_failed: OnTooManyFailed = "fail",
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        output_format: OutputFormat = "jsonl",
        output_csv_options: Mapping[str, Any] | None = None,
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
        max_rounds: int = 1,
        min_batch_rows: int | None = None,
        finish_by: datetime | timedelta | str | None = None,
        allow_realtime: bool = False,
        max_cost: float | str | None = None,
        budget: str | None = None,
        approve_over: float | str | None = None,
        approval_timeout: timedelta | float | None = None,
        max_in_flight: int | None = None,
        pilot_rows: int | None = None,
        cache: str | None = None,
        cache_max_age: timedelta | float | None = None,
        dedupe: bool = False,
        preview_rows: int | None = None,
        dry_run: bool | str = False,
        kimi_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        given = locals()
        of_parts = {*keywords_of(AskingOperator.__init__), *keywords_of(LandingOperator.__init__)}
        super().__init__(**{name: given[name] for name in of_parts}, **kwargs)
        self.check_form("output_csv_options", output_csv_options)
        check_choice("on_incomplete", on_incomplete, get_args(OnIncomplete))
        check_whole_number("max_rounds", max_rounds)
        for name in ("min_batch_rows", "max_in_flight", "pilot_rows", "preview_rows"):
            if given[name] is not None:
                check_whole_number(name, given[name])
        check_flag("allow_realtime", allow_realtime)
        read_finish_by(known(finish_by))
        read_max_cost(known(max_cost))
        read_approve_over(known(approve_over), can_ask=CAN_ASK)
        if budget is not None:
            from airflow_provider_kimi.budgets.definition import read_name

            read_name(known(budget), can_list=CAN_LIST_VARIABLES)
        read_dry_run(known(dry_run))
        self.max_rounds = max_rounds
        self.preview_rows = preview_rows
        self.has_rounds = max_rounds > 1 and preview_rows is None
        self.min_batch_rows = min_batch_rows
        self.finish_by = finish_by
        self.allow_realtime = allow_realtime and preview_rows is None
        self.max_cost = max_cost
        self.approve_over = approve_over
        self.budget = budget
        self.approval_timeout = (
            None if approval_timeout is None else check_seconds("approval_timeout", approval_timeout)
        )
        self.max_in_flight = max_in_flight
        _check_saving(cache, dedupe, media)
        self.cache = cache
        self.cache_max_age = None if cache_max_age is None else check_seconds("cache_max_age", cache_max_age)
        self.dedupe = dedupe
        self.pilot_rows = pilot_rows if preview_rows is None else None
        self.is_dry_run = dry_run  # BaseOperator.dry_run is a method
        self.deferrable = deferrable
        self.on_incomplete = on_incomplete
        self.wait_terms = WaitTerms.of(**{name: given[name] for name in keywords_of(WaitTerms.of)})

    @cached_property
    def hook(self) -> KimiHook:
        """One hook, and so one HTTP client, for all that follows the create."""
        return self._hook_of(self.kimi_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, wait, land, and ask again what has no usable answer; or only estimate what that would cost."""
        return self._begun(context).begin()

    def execute_answered(self, context: Context, event: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        """Go on once a person has approved the job.

        :param asked: What was to be approved.
        """
        return self._begun(context).answered(event, asked)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        batch_ids: Sequence[str] = (),
        cancelled: Sequence[str] = (),
        pending: dict[str, Any] | None = None,
        deadline: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Resume when the trigger has fired.

        :param batch_ids: Those that it has waited for; `dag.test()` gives back the event alone, which names them too.
        :param cancelled: Those of them that had been cancelled when the try began.
        :param pending: What is still to be created.
        :param deadline: That of the try, if it has one.
        """
        return self._begun(context).resumed(event, batch_ids, cancelled, pending, deadline)

    def _begun(self, context: Context) -> WholeJobTask:
        from airflow_provider_kimi.tasks.whole_job import WholeJobTask

        self._task = task = WholeJobTask(self, context)
        return task


def _check_saving(cache: Any, dedupe: Any, media: Any) -> None:
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
