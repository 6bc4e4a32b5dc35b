"""Create: the operator that makes batches from an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_args

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.batch_list import MAX_BATCHES_SEARCHED
from airflow_provider_kimi.calls.cancel import OnFinalFailure
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.calls.stop import Stop
from airflow_provider_kimi.compat import BaseOperator, Context, first_poke
from airflow_provider_kimi.context import read_attempt, wants_fresh
from airflow_provider_kimi.fields import check_choice, check_flag, check_whole_number
from airflow_provider_kimi.files.locations import as_uri
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.thread import Kill
from airflow_provider_kimi.lineage import lineage_of_batches
from airflow_provider_kimi.rendering import given, never_rendered
from airflow_provider_kimi.requests.inputs import bound
from airflow_provider_kimi.requests.keys import KeyColumns
from airflow_provider_kimi.requests.media import MediaTransport, check_media, media_columns
from airflow_provider_kimi.requests.order import OnChangedInput, OnEnded, OnInvalidRow, Order, Reuse
from airflow_provider_kimi.requests.parameters import ParameterCheck, ParameterRules, RuleOverrides
from airflow_provider_kimi.requests.recipe import Recipe, Thinking
from airflow_provider_kimi.requests.text_forms import check_reads_files, read_reading
from airflow_provider_kimi.requests.ways import RowFunction
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.submission.ending import Ending
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.submit import Submission, submit

#: The parameters of a few values, and these.
_CHOICES: Mapping[str, Sequence[object]] = {
    "media": get_args(MediaTransport),
    "thinking": (*get_args(Thinking), None),
    "on_invalid_row": get_args(OnInvalidRow),
    "parameter_check": get_args(ParameterCheck),
    "reuse": get_args(Reuse),
    "on_changed_input": get_args(OnChangedInput),
    "on_ended": get_args(OnEnded),
    "on_final_failure": get_args(OnFinalFailure),
}


class KimiCreateBatchOperator(BaseOperator):
    """Check an input, upload it, and create a batch from it, or several if it is too large for one.

    The worker reads and checks the whole input before the first call; its memory does not grow with the input. The
    platform is the record of what was submitted: before a create, the task searches the account's batches for the same
    work of an earlier attempt, and after it for work that raced. Each create is sent once. If its answer is lost, the
    task searches for the batch before it sends anything again.

    Pushes ``input_file_ids``, ``request_count`` and, if there is just one batch, ``batch_id``.

    :param input: A URI, a list, a ``DataFrame``, or a function that returns or yields rows and gets what it asks of
        Airflow's context (``def rows(ds, **context)``). A URI names a Kimi-ready ``.jsonl`` file (lines of ``custom_id,
        method, url, body``), a table (``.jsonl``, ``.ndjson``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet``, with
        ``prompt``, ``messages`` or ``body``), a directory of such files, or a pattern such as ``data/**/*.jsonl``; text
        files may be compressed (``.gz``, ``.zst``). A list, up to 1 MB, holds prompts, chats (lists of messages), rows
        or ready requests. A URI is templated; what rows hold never is.
    :param csv_options: The form of CSV files, as ``{"delimiter": ";"}``. None for a comma, and for a tab in ``.tsv``
        files. A byte order mark and quotes are read in any case. Refused, as ``encoding`` is, beside an input that has
        no such files. The results read their ``input`` in the same way.
    :param encoding: Of text files, as Python names it, such as ``gb18030``. The results read their ``input`` with it
        too.
    :param model: Model of every request. None takes that of the connection (``kimi-k2.6`` if it names none), or for
        ready requests the model that they name. Templated.
    :param prompt: For tables, the user message as a ``str.format`` text over columns: ``"Classify: {text}"``. Jinja
        never renders it, so a literal brace is written ``{{``.
    :param system_prompt: System message of every request; a text over columns too, if there is a ``prompt``. None for
        no system message.
    :param messages: Instead of ``prompt``: a list of messages whose texts are ``str.format`` texts over columns, or a
        function from a row to messages. Jinja never renders it.
    :param body: Instead of ``prompt``: the request body, whose ``messages`` hold ``str.format`` texts and whose other
        keys are sent unchanged, or a function from a row to a body. It needs no ``model``.
    :param image_column: Column or columns that hold images: a path, a URI, bytes, an ``ms://`` or ``data:`` address, a
        list of them, or nothing. They are put before the text of the last user message.
    :param video_column: Column or columns that hold videos.
    :param media: ``base64`` puts images and videos into the requests, which counts towards the 100 MB of a batch;
        ``upload`` stores each different one once on the platform, which counts towards its 1,000 files.
    :param key_column: Column whose value becomes the ``custom_id``, or a list of columns that make a key together. A
        key that is long or has unusual characters is sent under a short name made from it. None numbers the rows.
        Templated.
    :param request_params: Further keys of every request body, such as ``max_completion_tokens``. Templated.
    :param output_schema: What every answer has to be, as given to the results. A JSON Schema or a Pydantic model is
        sent as ``response_format``, unless ``request_params`` or ``body`` has one, or its root is an array, which comes
        back unreliably. A list of labels is not sent: name them in the prompt. None asks for any text.
    :param thinking: ``enabled`` or ``disabled``; None leaves it to the model, which thinks.
    :param on_invalid_row: ``fail`` sends nothing if a row cannot be sent, and names up to 20 such rows. ``skip`` leaves
        them out; they come back as ``invalid`` results and in ``dead_letter.jsonl``. The platform keeps their places,
        names and reasons, never what they hold: the results read that again from their ``input``.
    :param max_rows_per_batch: Rows of one batch; None for as many as fit into 100 MB. Smaller batches need a smaller
        balance at their start.
    :param parameter_check: What becomes of a body with a parameter that its model does not take: ``fail`` refuses it,
        ``drop`` takes the parameter out, ``off`` sends it, and does not check the model either.
    :param parameter_rules: Rules that replace or lift the published ones: pattern of models -> key -> ``{"fixed":
        "to what"}``, ``{"forbidden": "why"}`` or ``{"conflicts": ["key"]}``, with ``"values": [...]`` if only these
        are meant, or None to lift a rule.
    :param completion_window: How long the platform may take, ``12h`` to ``7d``. Templated.
    :param metadata: Pairs of text to tag the batches with, beside the eight of this provider (nine if rows are left
        out); 16 in all. With seven or fewer there is room for the mark of the create, by which one whose answer is lost
        is found most surely. Templated.
    :param reuse: ``auto`` attaches to the live or completed batches of an earlier attempt (a retry or a clear of this
        task in this run, with the same input); of one that failed, expired or was cancelled, see ``on_ended``.
        ``never`` pays for new work in every attempt, as does ``{"kimi_force_fresh": true}`` in the conf of a run.
    :param on_changed_input: What to do if an earlier attempt submitted another input: ``fail`` says what changed and
        sends nothing; ``fresh`` submits the new input as well; ``cancel_and_fresh`` first cancels what still runs (not
        for a mapped task, where it may be a sibling's).
    :param on_ended: What to ask of a shard whose batch expired, failed or was cancelled after rows of it were answered,
        which are paid: ``rest`` submits only the rows without an answer, and returns both ids, which the results join
        to one row for each request; ``resubmit`` pays for all rows again; ``fail`` sends nothing and says what was
        done.
    :param on_final_failure: What becomes of the batches that exist when the task fails for good halfway: ``keep`` lets
        them go on, and a clear attaches to them; ``cancel`` cancels them.
    :param cancel_on_kill: Cancel what runs of this task instance if it or its run is marked failed while it submits, or
        the run times out. Whatever kills the task, it creates nothing more.
    :param max_batches_searched: How many of the account's batches are searched for earlier work, newest first if the
        platform lists them so. If more would have to be searched, nothing is sent.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The batch ids, in the order of the input: one for an input within the limits of one file.
    :raises AirflowFailException: The input, a parameter, the key or the account is refused, or a retry would pay twice.
    """

    template_fields: Sequence[str] = (
        "input",
        "model",
        "prompt",
        "system_prompt",
        "messages",
        "body",
        "key_column",
        "request_params",
        "completion_window",
        "metadata",
        "kimi_conn_id",
    )
    ui_color = "#d9e8ff"

    _is_killed = False
    _stop: Stop | None = None
    _kill: Kill | None = None
    _batch_ids: list[str] | None = None

    def __init__(
        self,
        *,
        input: Any,
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
        kimi_conn_id: str = KimiHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input = input if isinstance(input, str) else never_rendered(input)
        self.csv_options = csv_options
        self.encoding = encoding
        self.model = model
        self.prompt = never_rendered(prompt)
        self.system_prompt = never_rendered(system_prompt)
        self.messages = never_rendered(messages)
        self.body = never_rendered(body)
        self.image_column = image_column
        self.video_column = video_column
        self.media = media
        self.key_column = key_column
        self.request_params = request_params
        self.output_schema = output_schema
        self.thinking = thinking
        self.on_invalid_row = on_invalid_row
        self.max_rows_per_batch = max_rows_per_batch
        self.parameter_check = parameter_check
        self.parameter_rules = parameter_rules
        self.completion_window = completion_window
        self.metadata = metadata
        self.reuse = reuse
        self.on_changed_input = on_changed_input
        self.on_ended = on_ended
        self.on_final_failure = on_final_failure
        self.cancel_on_kill = cancel_on_kill
        self.max_batches_searched = max_batches_searched
        self.kimi_conn_id = kimi_conn_id
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_reads_files(as_uri(input), csv_options, read_reading(csv_options, encoding))
        check_media(media, image_column, video_column)
        if max_rows_per_batch is not None:
            check_whole_number("max_rows_per_batch", max_rows_per_batch)
        check_whole_number("max_batches_searched", max_batches_searched)
        check_flag("cancel_on_kill", cancel_on_kill)
        ParameterRules(parameter_check, parameter_rules)
        read_schema(output_schema)

    def execute(self, context: Context) -> list[str]:
        """Check, upload, create."""
        ti = context["ti"]
        stop = self._stop = Stop()
        calls = Calls(KimiHook(self.kimi_conn_id), self.log, stop=stop)
        attempt = read_attempt(context)
        self._kill = Kill(Ending(calls, ti, attempt), self.log)
        if self._is_killed:
            self.on_kill()
        with self._kill, airflow_errors(self):
            submission = self._submit(calls, context, attempt)
        self._batch_ids = submission.batch_ids
        ti.xcom_push("input_file_ids", submission.input_file_ids)
        ti.xcom_push("request_count", submission.request_count)
        if len(submission.batch_ids) == 1:
            ti.xcom_push("batch_id", submission.batch_ids[0])
        return submission.batch_ids

    def _submit(self, calls: Calls, context: Context, attempt: Attempt) -> Submission:
        order = self._order(calls.hook.settings.model, context)
        if wants_fresh(context):
            order = replace(order, reuse="never")
        if first_poke(context) is not None:  # a retry policy has put this try off after it had begun
            attempt = replace(attempt, number=attempt.number + 1)
        return submit(calls, order, attempt, memory=context.get("task_state_store"))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Report the input and the batches to OpenLineage."""
        if self._batch_ids is None:
            return None
        return lineage_of_batches(self._batch_ids, self.kimi_conn_id, as_uri(given(self.input)))

    def on_kill(self) -> None:
        """Start nothing more that costs money, and cancel what runs if the task is given up; else it is kept."""
        self._is_killed = True
        if self._stop is not None:
            self._stop.set("Airflow has killed it")
        if self.cancel_on_kill and self._kill is not None:
            self._kill.begin()

    def _order(self, default_model: str, context: Context) -> Order:
        schema = read_schema(self.output_schema)
        recipe: Recipe = self._filled(
            Recipe,
            model=self.model or default_model,
            messages=given(self.messages),
            body=given(self.body),
            request_params=self.request_params or {},
            response_format=schema.response_format if schema else None,
            rules=ParameterRules(self.parameter_check, self.parameter_rules),
        )
        order: Order = self._filled(
            Order,
            input=bound(as_uri(given(self.input)), context),
            recipe=recipe,
            reading=read_reading(self.csv_options, self.encoding),
            metadata=self.metadata or {},
            media_columns=media_columns(self.image_column, self.video_column),
        )
        return order

    def _filled(self, kind: type[Any], **others: Any) -> Any:
        """Make a value whose other fields are parameters of the same names."""
        names = {field.name for field in fields(kind)} - others.keys()
        return kind(**{name: getattr(self, name) for name in names}, **others)
