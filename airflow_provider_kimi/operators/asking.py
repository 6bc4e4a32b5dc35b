"""What operators that create batches have in common: parameters, and how they submit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, get_args

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.batch_list import MAX_BATCHES_SEARCHED
from airflow_provider_kimi.calls.cancel import OnFinalFailure
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.calls.stop import Stop
from airflow_provider_kimi.compat import Context, first_poke
from airflow_provider_kimi.context import read_attempt, wants_fresh
from airflow_provider_kimi.fields import (
    check_choice,
    check_columns,
    check_flag,
    check_pairs,
    check_texts,
    check_whole_number,
    said,
    said_list,
)
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.thread import Kill
from airflow_provider_kimi.links import LINKS, show_links
from airflow_provider_kimi.rendering import TextTemplates, given, known, never_rendered
from airflow_provider_kimi.requests.inputs import bound
from airflow_provider_kimi.requests.keys import KeyColumns
from airflow_provider_kimi.requests.media import MediaTransport, check_media, media_columns
from airflow_provider_kimi.requests.order import OnChangedInput, OnEnded, OnInvalidRow, Order, Reuse
from airflow_provider_kimi.requests.parameters import ParameterCheck, ParameterRules, RuleOverrides
from airflow_provider_kimi.requests.recipe import Recipe, Thinking
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.requests.text_forms import check_reads_files, read_reading
from airflow_provider_kimi.requests.ways import RowFunction
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.submission.ending import Ending
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.job import Memory
from airflow_provider_kimi.submission.submit import Approve, Submission, submit

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


class AskingOperator(TextTemplates):
    """An operator that makes batches from an input; see `KimiCreateBatchOperator` for its parameters."""

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

    operator_extra_links = LINKS

    #: Whether rows without a usable answer are asked again in further rounds of the same task.
    has_rounds = False
    allow_realtime = False

    #: Whether it is too late to submit anything.
    only_attaches = False

    #: Rows of a first batch of its own; None for none.
    pilot_rows: int | None = None

    #: Rows that are asked in place of all; None for all.
    preview_rows: int | None = None

    #: How a worker pauses, and what it calls the platform with.
    _sleep: Callable[[float], None] = staticmethod(time.sleep)
    _hook_of: Callable[[str], KimiHook] = KimiHook

    _is_killed = False
    _stop: Stop | None = None
    _kill: Kill | None = None

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
        check_location("input", input)
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
        self._check_fields(prompt=prompt, system_prompt=system_prompt)
        check_reads_files(as_uri(input), csv_options, read_reading(csv_options, encoding))
        check_media(media, image_column, video_column)
        self._check_schemas({"request_params": known(request_params), "body": body})

    def _check_fields(self, **prompts: object) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_texts(
            **prompts, model=self.model, completion_window=self.completion_window, kimi_conn_id=self.kimi_conn_id
        )
        check_pairs("metadata", known(self.metadata))
        check_columns("key_column", known(self.key_column))
        if self.max_rows_per_batch is not None:
            check_whole_number("max_rows_per_batch", self.max_rows_per_batch)
        check_whole_number("max_batches_searched", self.max_batches_searched)
        check_flag("cancel_on_kill", self.cancel_on_kill)

    def _check_schemas(self, given: Mapping[str, object]) -> None:
        rules, schema = ParameterRules(self.parameter_check, self.parameter_rules), read_schema(self.output_schema)
        if self.parameter_rules and not known(self.model):  # they may lift the check of the model that it will be
            return
        keys: dict[str, Any] = {name: value for name, value in given.items() if isinstance(value, Mapping)}
        asked = schema.response_format if schema else None
        Recipe(known(self.model) or "", response_format=asked, rules=rules, **keys).check_schemas()

    def submit(self, context: Context, approve: Approve | None = None, in_flight: InFlight | None = None) -> Submission:
        """Check, upload, create; attach to what an earlier attempt has created.

        :param approve: What may refuse to submit what is not there; None refuses nothing.
        :param in_flight: How many batches may run; what finds no room is only uploaded. None creates all of them.
        """
        with self.creating(context) as calls:
            show_links(context, calls.hook)
            order, attempt = self.order(calls, context), self.attempt(context)
            submission = submit(calls, order, attempt, self.memory(context), approve, in_flight)
        show_links(context, calls.hook, submission.batch_ids)
        ti = context["ti"]
        ti.xcom_push("input_file_ids", submission.input_file_ids)
        ti.xcom_push("request_count", submission.request_count)
        return submission

    @contextmanager
    def creating(self, context: Context) -> Iterator[Calls]:
        """Be ready for a kill while batches are created: what this makes is then dealt with."""
        stop = self._stop = Stop()
        calls = Calls(self._hook_of(self.kimi_conn_id), self.log, self._sleep, stop)
        self._kill = Kill(Ending(calls, context["ti"], read_attempt(context)), self.log)
        if self._is_killed:
            self.on_kill()
        try:
            with self._kill, airflow_errors(self):
                yield calls
        finally:
            self._kill = None  # what follows is none of its business

    def attempt(self, context: Context) -> Attempt:
        """Which attempt of which task instance this is."""
        attempt = read_attempt(context)
        if first_poke(context) is not None:  # a retry policy has put this try off after it had begun
            return replace(attempt, number=attempt.number + 1)
        return attempt

    def memory(self, context: Context) -> Memory | None:
        """Where ids are noted for later attempts; None where Airflow has no such place."""
        return context.get("task_state_store")

    def order(self, calls: Calls, context: Context) -> Order:
        """What is to be done."""
        check_location("input", self.input)
        schema = read_schema(self.output_schema)
        recipe: Recipe = self._filled(
            Recipe,
            model=self.model or calls.hook.settings.model,
            messages=given(self.messages),
            body=given(self.body),
            key_column=said_list(self.key_column),
            request_params=said(self.request_params) or {},
            response_format=schema.response_format if schema else None,
            rules=ParameterRules(self.parameter_check, self.parameter_rules),
        )
        order: Order = self._filled(
            Order,
            input=bound(as_uri(given(self.input)), context),
            recipe=recipe,
            reading=read_reading(self.csv_options, self.encoding),
            metadata=said(self.metadata) or {},
            media_columns=media_columns(self.image_column, self.video_column),
            reuse="never" if wants_fresh(context) else self.reuse,
            saving=self.saving(calls, context),
        )
        return order

    def saving(self, calls: Calls, context: Context) -> Saving | None:
        """How rows are saved whose answers are there; None if all rows are sent."""
        return None

    def on_kill(self) -> None:
        """Start nothing more that costs money, and cancel what runs if the task is given up; else it is kept."""
        self._is_killed = True
        if self._stop is not None:
            self._stop.set("Airflow has killed it")
        if self.cancel_on_kill and self._kill is not None:
            self._kill.begin()

    def _filled(self, kind: type[Any], **others: Any) -> Any:
        """Make a value whose other fields are parameters of the same names."""
        names = {field.name for field in fields(kind)} - others.keys()
        return kind(**{name: getattr(self, name) for name in names}, **others)
