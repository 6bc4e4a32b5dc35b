"""What operators that create batches have in common: their parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_kimi.choices import (
    DEFAULT_CONN_ID,
    MAX_BATCHES_SEARCHED,
    KeyColumns,
    MediaTransport,
    OnChangedInput,
    OnEnded,
    OnFinalFailure,
    OnInvalidRow,
    ParameterCheck,
    Reuse,
    RowFunction,
    RuleOverrides,
    Thinking,
)
from airflow_provider_kimi.fields import (
    check_choice,
    check_columns,
    check_flag,
    check_pairs,
    check_texts,
    check_whole_number,
)
from airflow_provider_kimi.files.locations import check_location
from airflow_provider_kimi.links import LINKS
from airflow_provider_kimi.rendering import TextTemplates, known, never_rendered

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.kimi import KimiHook
    from airflow_provider_kimi.tasks.asking import AskingTask

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

    #: Rows of a first batch of its own; None for none.
    pilot_rows: int | None = None

    #: Rows that are asked in place of all; None for all.
    preview_rows: int | None = None

    #: How a worker pauses, and what it calls the platform with.
    _sleep: Callable[[float], None] = staticmethod(time.sleep)

    #: Whether Airflow is ending the task.
    is_killed = False
    _task: AskingTask | None = None

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
        kimi_conn_id: str = DEFAULT_CONN_ID,
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
        if csv_options is not None or encoding != "utf-8":
            from airflow_provider_kimi.jobs.checks import check_reading

            check_reading(input, csv_options, encoding)
        self._check_schemas({"request_params": known(request_params), "body": body})

    def _check_fields(self, **prompts: object) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_texts(
            **prompts, model=self.model, completion_window=self.completion_window, kimi_conn_id=self.kimi_conn_id
        )
        check_pairs("metadata", known(self.metadata))
        check_columns("key_column", known(self.key_column))
        check_columns("image_column", self.image_column)
        check_columns("video_column", self.video_column)
        if self.media == "upload" and self.image_column is None and self.video_column is None:
            raise ValueError(
                "media is 'upload', and neither image_column nor video_column is given; name the columns, or leave "
                "media out"
            )
        if self.max_rows_per_batch is not None:
            check_whole_number("max_rows_per_batch", self.max_rows_per_batch)
        check_whole_number("max_batches_searched", self.max_batches_searched)
        check_flag("cancel_on_kill", self.cancel_on_kill)

    def _check_schemas(self, given: Mapping[str, Any]) -> None:
        has_mappings = any(isinstance(of, Mapping) for of in given.values())
        if has_mappings or self.output_schema is not None or self.parameter_rules is not None:
            from airflow_provider_kimi.jobs.checks import check_asked

            check_asked(known(self.model) or "", self.output_schema, self.parameter_check, self.parameter_rules, given)

    @staticmethod
    def _hook_of(conn_id: str) -> KimiHook:
        from airflow_provider_kimi.hooks.kimi import KimiHook

        return KimiHook(conn_id)

    def on_kill(self) -> None:
        """Start nothing more that costs money, and cancel what runs if the task is given up; else it is kept."""
        self.is_killed = True
        if self._task is not None:
            self._task.kill()
