"""From a prompt, a chat or a table row to one request line of a batch input file."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeGuard

import msgspec

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT, FORBIDDEN_BODY_KEYS
from airflow_provider_kimi.exceptions import KimiInputError

#: Body keys that `request_params` may not hold, because they come from elsewhere.
_OWN_BODY_KEYS = ("model", "messages")

#: What tells a request from a table row, where no prompt says which it is.
_REQUEST_KEYS = {"custom_id", "method", "url", "body"}


class RowProblem(ValueError):
    """One row cannot be made into a request; the text says why, without repeating its content."""


@dataclass(frozen=True)
class Template:
    """A `str.format` text over columns.

    Only plain column names are fields: `{text.attribute}` names a column called "text.attribute", so that neither
    the template nor the row can reach into Python objects. A row's text is inserted as it is, never read again.
    """

    text: str

    @cached_property
    def _parts(self) -> list[tuple[str, str | None, str | None, str | None]]:
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise KimiInputError(
                f"The prompt template is not valid: {error}. Nothing was sent. Write a column as {{name}}, and a "
                "literal brace twice: {{ or }}."
            ) from None
        for _, column, spec, conversion in parts:
            if column == "" or (column and column.isdigit()):
                raise KimiInputError(
                    f"The prompt template has the field {{{column}}}, which names no column. Nothing was sent. Write "
                    "the column's name into it, as in {text}, or double the braces if they are literal."
                )
            if conversion or (spec and "{" in spec):
                raise KimiInputError(
                    f"The prompt template's field {{{column}}} uses a conversion or a nested field, which is not "
                    "supported. Nothing was sent. Write plain {column} fields, with a format at most: {price:.2f}."
                )
        return parts

    @property
    def columns(self) -> list[str]:
        """The columns it needs, each once, in order."""
        return list(dict.fromkeys(column for _, column, _, _ in self._parts if column is not None))

    def fill(self, row: Mapping[str, Any]) -> str:
        """Insert a row's values.

        :raises RowProblem: A column is missing or null, or its value does not fit the format.
        """
        if missing := [column for column in self.columns if column not in row]:
            names = ", ".join(map(repr, missing))
            hint = "" if all(name.isidentifier() for name in missing) else "; in a prompt, a literal brace is doubled"
            raise RowProblem(f"has no column {names}, which the prompt uses; it has {_listed(row)}{hint}")
        pieces: list[str] = []
        for literal, column, spec, _ in self._parts:
            pieces.append(literal)
            if column is not None:
                pieces.append(self._value(row, column, spec or ""))
        return "".join(pieces)

    @staticmethod
    def _value(row: Mapping[str, Any], column: str, spec: str) -> str:
        value = row[column]
        if value is None:
            raise RowProblem(f"has null in column {column!r}, which the prompt uses")
        try:
            return format(value, spec)
        except (ValueError, TypeError, OverflowError, MemoryError):
            raise RowProblem(f"has a value in column {column!r} that does not fit the format {spec!r}") from None


@dataclass(frozen=True)
class Recipe:
    """How items become requests.

    :param model: Model of every request.
    :param prompt: Template of the user message, for tables; None for prompts, chats and ready requests.
    :param system_prompt: System message; a template too where `prompt` is one. None for no system message.
    :param key_column: Column whose value becomes the `custom_id`; None numbers the rows.
    :param request_params: Further keys of every request body.
    """

    model: str
    prompt: str | None = None
    system_prompt: str | None = None
    key_column: str | None = None
    request_params: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse parameters that no request may carry.

        :raises KimiInputError: A key of `request_params` is not allowed, or a template is not valid.
        """
        for key in self.request_params:
            if key in FORBIDDEN_BODY_KEYS or (key == "stream" and self.request_params[key]):
                reason = "the models fix it" if key in FORBIDDEN_BODY_KEYS else "a batch cannot stream"
                raise KimiInputError(
                    f"request_params has {key!r}, which Kimi refuses in a batch ({reason}). Nothing was sent. "
                    "Leave it out."
                )
            if key in _OWN_BODY_KEYS:
                raise KimiInputError(
                    f"request_params has {key!r}, which is set from elsewhere. Nothing was sent. Use the model "
                    "parameter for the model, and input with prompt for the messages."
                )
        for template in self._templates:
            _ = template.columns

    def check_unused(self) -> None:
        """Refuse parameters that ready requests, which are sent as they are, would silently ignore.

        :raises KimiInputError: One is set.
        """
        ignored = {
            "system_prompt": self.system_prompt,
            "key_column": self.key_column,
            "request_params": self.request_params,
        }
        if names := [name for name, value in ignored.items() if value]:
            raise KimiInputError(
                f"The input holds ready requests, which are sent as they are, so {' and '.join(names)} would have no "
                "effect. Nothing was sent. Leave them out, or write them into the requests."
            )

    @cached_property
    def _templates(self) -> list[Template]:
        texts = (self.prompt, self.system_prompt) if self.prompt is not None else ()
        return [Template(text) for text in texts if text is not None]

    @cached_property
    def _user_template(self) -> Template:
        assert self.prompt is not None
        return self._templates[0]

    def messages(self, item: object) -> list[Any]:
        """Turn a prompt, a chat or a table row into chat messages.

        :raises RowProblem: The item is none of these, or a column is missing.
        """
        if self.prompt is not None:
            if not isinstance(item, Mapping):
                raise RowProblem(
                    f"is a {type(item).__name__}, but prompt is a template over the columns of a table row"
                )
            text = self._user_template.fill(item)
            if not text.strip():
                raise RowProblem("makes an empty prompt")
            messages = [{"role": "user", "content": text}]
            system = self._templates[1].fill(item) if self.system_prompt is not None else None
        else:
            messages = _chat(item)
            system = self.system_prompt
        return messages if system is None else [{"role": "system", "content": system}, *messages]

    def line(self, item: object, number: int) -> bytes:
        """Encode the request line of one item, without its newline.

        :param item: A prompt, a chat or a table row.
        :param number: Its place in the input, from 1.
        :raises RowProblem: The item cannot be made into a request.
        """
        request = {
            "custom_id": custom_id_of(item, number, self.key_column),
            "method": "POST",
            "url": BATCH_ENDPOINT,
            "body": {"model": self.model, "messages": self.messages(item), **self.request_params},
        }
        return encode(request)


def encode(request: object) -> bytes:
    """Encode a request as one line of JSON.

    :raises RowProblem: It holds something that JSON cannot.
    """
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError:
        raise RowProblem("holds half a character (a lone surrogate), which is not valid Unicode") from None
    except RecursionError:
        raise RowProblem("is nested too deeply") from None
    except (TypeError, msgspec.MsgspecError) as error:
        raise RowProblem(f"cannot be written as JSON: {error}") from None


def is_ready_request(item: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell a request line (`custom_id`, `method`, `url`, `body`) from a table row."""
    return isinstance(item, Mapping) and item.keys() >= _REQUEST_KEYS


def custom_id_of(item: object, number: int, key_column: str | None) -> str:
    """Name a row: its key where there is a key column, else its place in the input.

    :raises RowProblem: The key is missing, empty, or neither text nor a whole number.
    """
    if key_column is None:
        return f"row-{number:08d}"
    if not isinstance(item, Mapping) or key_column not in item:
        columns = f"; it has {_listed(item)}" if isinstance(item, Mapping) else ""
        raise RowProblem(f"has no key column {key_column!r}{columns}")
    key = item[key_column]
    if key is None or key == "":
        raise RowProblem(f"has an empty key in column {key_column!r}")
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise RowProblem(
            f"has a {type(key).__name__} as its key in column {key_column!r}; a key is text or a whole number"
        )
    return str(key)


def _chat(item: object) -> list[Any]:
    if isinstance(item, str):
        if not item.strip():
            raise RowProblem("is an empty prompt")
        return [{"role": "user", "content": item}]
    if isinstance(item, Sequence) and item and all(isinstance(message, Mapping) for message in item):
        return list(item)
    if isinstance(item, Mapping):
        raise RowProblem(
            "is a table row, and no prompt says how to ask about it (pass prompt='... {column} ...'); a ready request "
            "would have custom_id, method, url and body"
        )
    raise RowProblem(f"is a {type(item).__name__}; an item is a prompt, a list of chat messages, a row or a request")


def _listed(row: Mapping[str, Any], most: int = 8) -> str:
    names = [repr(name) for name in row]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
