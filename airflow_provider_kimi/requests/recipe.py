"""From a prompt, a chat or a table row to one request line of a batch input file."""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeGuard

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.keys import KeyColumns, check_key_column
from airflow_provider_kimi.requests.line_template import Frame, encode, frame_of
from airflow_provider_kimi.requests.media import with_media
from airflow_provider_kimi.requests.parameters import ParameterRules, Verdict, wants_json
from airflow_provider_kimi.requests.problems import RowProblem, listed
from airflow_provider_kimi.requests.templates import Conversation, Template
from airflow_provider_kimi.requests.validation import REQUEST_KEYS

Thinking = Literal["enabled", "disabled"]

#: What makes messages, or a body, from a row.
RowFunction = Callable[[Any], Any]

#: Body keys that `request_params` may not hold, because they come from elsewhere.
_OWN_BODY_KEYS = ("model", "messages")

#: Characters up to which the values of a row are looked at for being blank.
_BLANK_CHARS = 64

_NO_SYSTEM = "makes an empty system message; the platform refuses it"


@dataclass(frozen=True)
class Recipe:
    """How items become requests. At most one of `prompt`, `messages` and `body` says what to ask about a row.

    :param model: Model of every request.
    :param prompt: Template of the user message.
    :param system_prompt: System message; a template too where `prompt` or a list of `messages` is one.
    :param messages: A conversation whose texts are templates, or a function from a row to messages.
    :param body: A body whose messages are templates, or a function from a row to a body.
    :param key_column: Column or columns whose values become the `custom_id`; None numbers the rows.
    :param request_params: Further keys of every request body.
    :param response_format: What every answer has to be, unless request_params or a body say so themselves.
    :param thinking: Whether the model thinks before it answers; None leaves it to the model.
    :param rules: What a body may hold.
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
    def _ways(self) -> list[str]:
        """The parameters that say what to ask about a row; more than one are refused."""
        ways = {"prompt": self.prompt, "messages": self.messages, "body": self.body}
        return [name for name, value in ways.items() if value is not None]

    @cached_property
    def asks_about_rows(self) -> bool:
        """Whether the input is a table, or anything else that has to be made into requests."""
        return bool(self._ways)

    def check(self, media_columns: Iterable[str] = ()) -> Verdict:
        """Refuse parameters that no request may carry, and return what else the rules say of them.

        :param media_columns: Columns that hold images or videos.
        :raises KimiInputError: Parameters exclude each other, break a rule, or a template is not valid.
        """
        self._check_together()
        for key in _OWN_BODY_KEYS:
            if key in self.request_params:
                raise KimiInputError(
                    f"request_params has {key!r}, which is set from elsewhere. Nothing was sent. Use the model "
                    "parameter for the model, and input with prompt or messages for the messages."
                )
        if self._is_fixed and not self._columns and not list(media_columns):
            raise KimiInputError(
                f"{self._ways[0]} names no column, so that every row would be paid for to ask the same. Nothing was "
                "sent. Write a column into it, as in {text}; for questions that have no table, give them as a list."
            )
        if self._verdict.faults:
            given = {"body": self.body, "request_params": self.request_params, "thinking": self.thinking}
            where = " with ".join(name for name, value in given.items() if value)
            raise KimiInputError(f"{where} {' and '.join(self._verdict.faults)}. Nothing was sent.")
        return self._verdict

    @property
    def _is_fixed(self) -> bool:
        """Whether templates alone, and no function, say what to ask about a row."""
        return self._user is not None or self._conversation is not None

    @property
    def _templates(self) -> list[Template]:
        texts = [template for template in (self._user, self._system) if template is not None]
        return texts if self._conversation is None else [*texts, *self._conversation.templates]

    @property
    def verbatim_columns(self) -> list[str]:
        """The columns whose text stands in every request as it is, each once."""
        return list(dict.fromkeys(column for template in self._templates for column in template.verbatim_columns))

    def _check_together(self) -> None:
        if len(self._ways) > 1:
            raise KimiInputError(
                f"{' and '.join(self._ways)} are given; each of them says what to ask. Nothing was sent. Keep one."
            )
        if not isinstance(self.request_params, Mapping):
            raise KimiInputError(
                f"request_params is a {type(self.request_params).__name__}. Nothing was sent. It maps keys of the "
                "request body to their values."
            )
        check_key_column(self.key_column)
        if self.body is not None and self.system_prompt is not None:
            raise KimiInputError("system_prompt is given beside body. Nothing was sent. Write it into body's messages.")
        if self.thinking is not None and "thinking" in self.request_params:
            raise KimiInputError("thinking is given, and request_params has it too. Nothing was sent. Keep one.")
        twice = [key for key in self._given_params if isinstance(self.body, Mapping) and key in self.body]
        if twice:
            raise KimiInputError(
                f"body sets {' and '.join(map(repr, twice))}, and so do request_params or thinking. Nothing was sent. "
                "Keep one of them."
            )
        if isinstance(self.messages, str | bytes | Mapping) or isinstance(self.body, str | bytes | list):
            raise KimiInputError(
                "messages is a list of messages and body is a mapping, or a function that makes one from a row. "
                "Nothing was sent. For a text about a row, use prompt."
            )

    def check_unused(self, media_columns: Iterable[str] = ()) -> None:
        """Refuse parameters that ready requests, which are sent as they are, would silently ignore.

        :param media_columns: Columns that were named to hold images or videos.
        :raises KimiInputError: One is set.
        """
        ignored = {
            "system_prompt": self.system_prompt,
            "key_column": self.key_column,
            "request_params": self.request_params,
            "output_schema": self.response_format,
            "thinking": self.thinking,
            "image_column or video_column": tuple(media_columns),
        }
        if names := [name for name, value in ignored.items() if value]:
            raise KimiInputError(
                f"The input holds ready requests, which are sent as they are, so {' and '.join(names)} would have no "
                "effect. Nothing was sent. Leave them out, or write them into the requests."
            )

    @cached_property
    def _user(self) -> Template | None:
        return None if self.prompt is None else Template(self.prompt)

    @cached_property
    def _system(self) -> Template | None:
        over_columns = self.prompt is not None or isinstance(self.messages, Sequence)
        return Template(self.system_prompt) if self.system_prompt is not None and over_columns else None

    @cached_property
    def _conversation(self) -> Conversation | None:
        given = self.body.get("messages") if isinstance(self.body, Mapping) else self.messages
        return Conversation(given) if isinstance(given, Sequence) and not isinstance(given, str) else None

    @cached_property
    def _given_params(self) -> Mapping[str, Any]:
        thinking = {} if self.thinking is None else {"thinking": {"type": self.thinking}}
        own = self.body if isinstance(self.body, Mapping) else {}
        wanted = self.response_format if "response_format" not in own else None
        return {**({"response_format": wanted} if wanted else {}), **self.request_params, **thinking}

    @cached_property
    def _verdict(self) -> Verdict:
        if callable(self.body):
            return Verdict()  # each body that it makes is judged as a whole
        body = self.body or {}
        parameters = {key: value for key, value in body.items() if key not in _OWN_BODY_KEYS}
        return self.rules.judge(body.get("model", self.model), {**self._given_params, **parameters})

    @cached_property
    def _params(self) -> Mapping[str, Any]:
        return {key: value for key, value in self._given_params.items() if key not in self._verdict.dropped}

    def lint(self) -> list[str]:
        """What is allowed, and likely to be a mistake."""
        taken_out = (
            f"{key!r} is taken out of every request, because the model does not take it"
            for key in self._verdict.dropped
        )
        warnings = [*self._verdict.warnings, *taken_out]
        texts = [self.prompt, self.system_prompt]
        if self._conversation is not None:
            texts.append(str(self._conversation.messages))
        known = self.prompt is not None or self._conversation is not None
        params = {**self._params, **self.body} if isinstance(self.body, Mapping) else self._params
        if known and wants_json(params) and not any("json" in text.lower() for text in texts if text):
            warnings.append(
                "response_format asks for a JSON object, but no message says so: the model follows JSON mode only "
                "where the prompt asks for JSON and names its keys"
            )
        return warnings

    def is_trusted(self, item: object) -> bool:
        """Whether a line made from this item holds nothing but what was checked once for all lines."""
        return self.prompt is not None or (isinstance(item, str) and not self.asks_about_rows)

    def line(self, item: object, custom_id: str, media: Sequence[Mapping[str, Any]] = ()) -> bytes:
        """Encode the request line of one item, without its newline.

        :param item: A prompt, a chat or a table row.
        :param media: Parts to put before the text of the last user message.
        :raises RowProblem: The item cannot be made into a request.
        """
        if self._frame is not None and not media:
            return self._frame.fill(custom_id, *self._worthwhile(item))
        body = self._body(item)
        if media:
            body = {**body, "messages": with_media(body.get("messages"), media)}
        return encode(_request(custom_id, body))

    @cached_property
    def _frame(self) -> Frame | None:
        if self._user is None:
            return None

        def request(custom_id: str, *texts: str) -> dict[str, Any]:
            return _request(custom_id, {"model": self.model, "messages": self._prompted(*texts), **self._params})

        return frame_of(request, holes=2 if self._system is None else 3)

    def _worthwhile(self, item: object) -> list[str]:
        """The texts of a prompt that asks about something."""
        texts = self._texts(item)
        if sum(map(len, texts)) <= self._fixed_chars + _BLANK_CHARS:
            row = self._row(item)
            if not any(str(row[column]).strip() for column in self._columns):
                columns = f" ({listed(dict.fromkeys(self._columns))})" if self._columns else ", nor a picture or video"
                raise RowProblem(f"has no text in any column of the prompt{columns}")
        return texts

    @cached_property
    def _columns(self) -> list[str]:
        return [column for template in self._templates for column in template.columns]

    @cached_property
    def _fixed_chars(self) -> int:
        return sum(template.fixed_chars for template in self._templates)

    def _texts(self, item: object) -> list[str]:
        """The texts of a prompt: of the system message where there is one, and of the user's."""
        row = self._row(item)
        user = self._user.fill(row) if self._user else ""
        if not user or user.isspace():
            raise RowProblem("makes an empty prompt")
        if self._system is None:
            return [user]
        system = self._system.fill(row)
        if not system:
            raise RowProblem(_NO_SYSTEM)
        return [system, user]

    @staticmethod
    def _prompted(*texts: str) -> list[dict[str, str]]:
        roles = ("system", "user")[-len(texts) :]
        return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]

    def _body(self, item: object) -> Mapping[str, Any]:
        if self.body is None:
            return {"model": self.model, "messages": self._messages(item), **self._params}
        if isinstance(self.body, Mapping):
            made = dict(self.body)
            if self._conversation is not None:
                made["messages"] = self._conversation.fill(self._row(item))
        else:
            made = _called(self.body, "body", item)
            if not isinstance(made, Mapping):
                raise RowProblem(f"makes body return a {type(made).__name__}; it must be a mapping")
        return {"model": self.model, **self._params, **made}

    def _messages(self, item: object) -> list[Any]:
        if self._user is not None:
            return list(self._prompted(*self._texts(item)))
        if self._conversation is not None:
            messages = self._conversation.fill(self._row(item))
        else:
            messages = _chat(item if self.messages is None else self._made_messages(item))
        system = self.system_prompt if self._system is None else self._system.fill(self._row(item))
        if system == "":
            raise RowProblem(_NO_SYSTEM)
        return messages if system is None else [{"role": "system", "content": system}, *messages]

    def _row(self, item: object) -> Mapping[str, Any]:
        if isinstance(item, Mapping):
            return item
        raise RowProblem(f"is a {type(item).__name__}, but {self._ways[0]} is a template over the columns of a row")

    def _made_messages(self, item: object) -> Any:
        made = _called(self.messages, "messages", item)
        if not isinstance(made, str | Sequence):
            raise RowProblem(f"makes messages return a {type(made).__name__}; it must be a list of messages, or a text")
        return made


def _request(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": BATCH_ENDPOINT, "body": body}


def _called(function: Any, name: str, item: object) -> Any:
    """Call a user's function; its own fault is the row's, told by type and line, because its text may hold data."""
    try:
        return function(item)
    except RowProblem:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise RowProblem(
            f"makes {name} raise {type(error).__name__} in line {frame.lineno} of {frame.filename.rsplit('/', 1)[-1]}"
        ) from None


def is_ready_request(item: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell a request line (`custom_id`, `method`, `url`, `body`) from a table row."""
    return isinstance(item, Mapping) and item.keys() >= REQUEST_KEYS


def _chat(item: object) -> list[Any]:
    if isinstance(item, str):
        if not item.strip():
            raise RowProblem("makes an empty prompt")
        return [{"role": "user", "content": item}]
    if isinstance(item, Sequence) and item and all(isinstance(message, Mapping) for message in item):
        return list(item)
    if isinstance(item, Mapping):
        raise RowProblem(
            "is a table row, and nothing says how to ask about it (pass prompt='... {column} ...', or messages or "
            "body); a ready request would have custom_id, method, url and body"
        )
    raise RowProblem(f"is a {type(item).__name__}; an item is a prompt, a list of chat messages, a row or a request")
