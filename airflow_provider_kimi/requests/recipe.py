"""What a task asks about each row, as its parameters say. They are checked before a row is read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeGuard

import msgspec

from airflow_provider_kimi.choices import KeyColumns, RowFunction, Thinking
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.fields import check_columns, check_texts
from airflow_provider_kimi.records.tags import digest_of
from airflow_provider_kimi.requests import ways
from airflow_provider_kimi.requests.parameters import ParameterRules, Verdict, wants_json
from airflow_provider_kimi.requests.sent_schemas import SentValues
from airflow_provider_kimi.requests.templates import Conversation, Template
from airflow_provider_kimi.requests.validation import REQUEST_KEYS

#: Body keys that `request_params` may not hold, and what sets them.
_OWN_BODY_KEYS = {"model": "the model parameter", "messages": "the input, with prompt or messages"}


@dataclass(frozen=True)
class Recipe:
    """How rows become requests. At most one of `prompt`, `messages` and `body` says what to ask about a row.

    Most fields are the parameters of the create operator.

    :param response_format: The form of every answer, unless `request_params` or a body set it themselves.
    """

    model: str
    prompt: str | None = None
    system_prompt: str | None = None
    messages: Sequence[Mapping[str, Any]] | RowFunction | None = None
    body: Mapping[str, Any] | RowFunction | None = None
    key_column: KeyColumns | None = None
    request_params: Mapping[str, Any] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    thinking: Thinking | None = None
    rules: ParameterRules = field(default_factory=ParameterRules)

    @cached_property
    def way(self) -> ways.Way:
        """The way of asking that the parameters choose."""
        shared = {"model": self.model, **self._params}
        system = None if self.system_prompt is None else Template(self.system_prompt)
        if callable(self.body):
            return ways.BodyFunction(shared, self.body)
        if self.body is not None:
            messages = self._body_keys.get("messages")
            keys = self._sent.in_place_of(self._body_keys)
            return ways.Body(shared, _conversation(messages, "body has no list of messages"), keys)
        if callable(self.messages):
            return ways.MessagesFunction(shared, self.messages, self.system_prompt)
        if self.messages is not None:
            return ways.Messages(shared, _conversation(self.messages, "messages is not a list"), system)
        if self.prompt is not None:
            return ways.Prompt(shared, Template(self.prompt), system)
        return ways.AsGiven(shared, self.system_prompt)

    def check(self, media_columns: Iterable[str] = ()) -> None:
        """Refuse parameters that no request may carry.

        :param media_columns: Columns that hold images or videos.
        :raises KimiInputError: Parameters exclude each other, break a rule, or a template is not valid.
        """
        given: object = self.request_params
        if not isinstance(given, Mapping):
            raise KimiInputError(
                f"request_params is a {type(given).__name__}. Nothing was sent. It maps keys of the request body to "
                "their values."
            )
        try:
            check_texts(model=self.model, prompt=self.prompt, system_prompt=self.system_prompt)
        except ValueError as error:
            raise KimiInputError(f"{error}. Nothing was sent.") from None
        try:
            check_columns("key_column", self.key_column)
        except ValueError as error:
            raise KimiInputError(f"{error}. Nothing was sent. Leave it out to number the rows.") from None
        for problem in self._given_twice():
            raise KimiInputError(f"{problem}. Nothing was sent. Keep one of them.")
        columns = [column for text in self.way.texts for column in text.columns]
        if self.way.texts and not columns and not list(media_columns):
            doubled = [f"{found} is literal text. " for text in self.way.texts for found in text.doubled.values()]
            raise KimiInputError(
                f"{self.way.name} names no column, so that every row would be paid for to ask the same. Nothing was "
                f"sent. {''.join(doubled[:1])}Write a column into it, as in {{text}}; for questions without a table, "
                "give them as a list."
            )
        self.check_schemas()
        self._check_parameters()

    def _check_parameters(self) -> None:
        if not self._verdict.problems:
            return
        where = " or ".join(name for name in ("body", "request_params") if getattr(self, name)) or "thinking"
        drop, off = "'drop' to leave out what the model does not take", "'off' to send it as it is"
        has_text = any(isinstance(value, str) for value in self._given_params.values())
        raise KimiInputError(
            f"{where} {' and '.join(self._verdict.problems)}. Nothing was sent. Correct it, or set "
            f"parameter_check={drop if self._verdict.can_drop else off}."
            f"{' A number that Jinja renders is text.' if has_text else ''}"
        )

    def check_schemas(self) -> None:
        """Refuse JSON Schemas that cannot be sent.

        :raises KimiInputError: Says which, where, and what to do.
        """
        given = {"body": self._body_keys, "request_params": self.request_params}
        if self.response_format and not any("response_format" in keys for keys in given.values()):
            given["output_schema"] = {"response_format": self.response_format}
        for name, keys in given.items():
            for problem in self.rules.sent(self._asked_model, keys).problems:
                if name == "output_schema":
                    problem = problem.replace("has a JSON Schema in response_format", "is a JSON Schema")
                raise KimiInputError(
                    f"{name} {problem}. Nothing was sent. Correct it, or set parameter_check='off' to send it as it is."
                )

    def _given_twice(self) -> Iterator[str]:
        asked_by = [name for name in ("prompt", "messages", "body") if getattr(self, name) is not None]
        if len(asked_by) > 1:
            yield f"{' and '.join(asked_by)} are given; each of them says what to ask"
        if self.body is not None and self.system_prompt is not None:
            yield "system_prompt is given beside body, whose messages hold it"
        if self.thinking is not None and "thinking" in self.request_params:
            yield "thinking is given, and request_params has it too"
        for key, source in _OWN_BODY_KEYS.items():
            if key in self.request_params:
                yield f"request_params has {key!r}, which {source} sets"
        for key in self._given_params:
            if key in self._body_keys:
                yield f"body sets {key!r}, and so do request_params or thinking"

    def check_unused(self, media_columns: Iterable[str] = ()) -> None:
        """Refuse parameters that ready requests, which are sent as they are, would silently ignore.

        :param media_columns: Columns that were named to hold images or videos.
        """
        ignored = {
            "system_prompt": self.system_prompt,
            "key_column": self.key_column,
            "request_params": self.request_params,
            "thinking": self.thinking,
            "image_column or video_column": tuple(media_columns),
        }
        if names := [name for name, value in ignored.items() if value]:
            raise KimiInputError(
                f"The input holds ready requests, which are sent as they are, so {' and '.join(names)} would have no "
                "effect. Nothing was sent. Leave them out, or write them into the requests."
            )

    def lint(self) -> list[str]:
        """Name what is allowed, but likely to be a mistake."""
        dropped = self._verdict.dropped
        warnings = [
            *self._verdict.warnings,
            *(f"{key!r} is taken out of every request, because the model does not take it" for key in dropped),
        ]
        words = " ".join(text.text for text in self.way.texts).lower()
        if words and "json" not in words and wants_json({**self._params, **self._body_keys}):
            warnings.append(
                "response_format asks for a JSON object, but no message says so: the model follows JSON mode only "
                "where the prompt asks for JSON and names its keys"
            )
        return warnings

    @property
    def prompt_fingerprint(self) -> str | None:
        """Names the texts that say what to ask about a row; None if there are none."""
        templates = [None if callable(given) else given for given in (self.messages, self.body)]
        if all(given is None for given in (self.prompt, self.system_prompt, *templates)):
            return None
        further = (msgspec.json.encode(given).decode() for given in templates if given is not None)
        return digest_of(self.prompt, self.system_prompt, *further)

    @property
    def _body_keys(self) -> Mapping[str, Any]:
        return self.body if isinstance(self.body, Mapping) else {}

    @property
    def _asked_model(self) -> str:
        model: str = self._body_keys.get("model", self.model)
        return model

    @cached_property
    def _given_params(self) -> Mapping[str, Any]:
        params = dict(self.request_params)
        if self.response_format and "response_format" not in self._body_keys:
            params = {"response_format": self.response_format, **params}
        return params if self.thinking is None else {**params, "thinking": {"type": self.thinking}}

    @cached_property
    def _verdict(self) -> Verdict:
        if callable(self.body):
            return Verdict()  # each body that it makes is judged as a whole
        parameters = {key: value for key, value in self._body_keys.items() if key not in _OWN_BODY_KEYS}
        return self.rules.judge(self._asked_model, {**self._given_params, **parameters})

    @cached_property
    def _params(self) -> Mapping[str, Any]:
        sent = self._sent.in_place_of(self._given_params)
        return {key: value for key, value in sent.items() if key not in self._verdict.dropped}

    @cached_property
    def _sent(self) -> SentValues:
        return self.rules.sent(self._asked_model, {**self._given_params, **self._body_keys})


def _conversation(messages: object, problem: str) -> Conversation:
    if isinstance(messages, Sequence) and not isinstance(messages, str | bytes):
        return Conversation(messages)
    raise KimiInputError(
        f"{problem}. Nothing was sent. messages is a list of messages and body a mapping that has one, or each is a "
        "function that makes it from a row. For a text about a row, use prompt."
    )


def is_ready_request(row: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell a request line (`custom_id`, `method`, `url`, `body`) from a table row."""
    return isinstance(row, Mapping) and row.keys() >= REQUEST_KEYS
