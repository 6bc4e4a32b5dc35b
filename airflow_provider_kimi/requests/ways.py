"""The ways of asking: how a row becomes the body of a request. One small class for each way."""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.choices import RowFunction
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.line_template import LineTemplate, encode, line_template_of
from airflow_provider_kimi.requests.media import with_media
from airflow_provider_kimi.requests.problems import RowProblem, listed
from airflow_provider_kimi.requests.templates import Conversation, Template


@dataclass(frozen=True)
class Way(ABC):
    """A way of asking.

    :param shared: What every body holds: the model, and the parameters of the task.
    """

    shared: Mapping[str, Any]

    #: The parameter that chooses this way; empty where the rows themselves say what to ask.
    name: ClassVar[str] = ""

    #: The kinds of rows whose lines hold only what was checked once for all lines.
    trusted: ClassVar[type | tuple[()]] = ()

    @property
    def texts(self) -> Sequence[Template]:
        """All that it says, as texts over the columns of a row; nothing where a function or a row says it."""
        return ()

    @cached_property
    def columns(self) -> Sequence[str]:
        """The columns that its texts name, each once."""
        return list(dict.fromkeys(column for text in self.texts for column in text.columns))

    @cached_property
    def doubled(self) -> Mapping[str, str]:
        """What stands in doubled braces in its texts, and how."""
        return {name: written for text in self.texts for name, written in text.doubled.items()}

    def check_braces(self, row: object) -> None:
        """Refuse texts with a column of a row in doubled braces, which would send its name to the model."""
        names = row if isinstance(row, Mapping) else ()
        if (name := next((name for name in self.doubled if name in names), None)) is not None:
            raise KimiInputError(
                f"The prompt template has {self.doubled[name][:80]!r}, and the rows have a column {name!r}. Doubled "
                "braces are literal braces here, not Jinja, so that the model would read the name of the column. "
                f"Nothing was sent. Write {{{name}}}."
            )

    @abstractmethod
    def _body(self, row: object) -> Mapping[str, Any]: ...

    def line(self, row: object, custom_id: str, media: Sequence[Mapping[str, Any]] = ()) -> bytes:
        """Make the line of a request, without its newline.

        :param media: Parts to put before the text of the last user message.
        :raises RowProblem: The row cannot be made into a request.
        """
        body = self._body(row)
        if media:
            body = {**body, "messages": with_media(body.get("messages"), media)}
        elif self.texts:
            self._refuse_blank(_columns(row, self.name))
        return encode(_request(custom_id, body))

    def _refuse_blank(self, row: Mapping[str, Any]) -> None:
        """Refuse a row without media whose answer would say nothing about it."""
        for column in self.columns:
            value = row[column]
            if not isinstance(value, str) or (value and not value.isspace()):
                return
        named = f" ({listed(dict.fromkeys(self.columns))})" if self.columns else ", nor a picture or video"
        raise RowProblem(f"has no text in any column of the prompt{named}")

    def _asking(self, system: str | None, messages: list[Any]) -> dict[str, Any]:
        if system is not None:
            messages = [{"role": "system", "content": _not_empty(system)}, *messages]
        return {"model": self.shared["model"], "messages": messages, **self.shared}


@dataclass(frozen=True)
class AsGiven(Way):
    """The rows are prompts or chats."""

    system_prompt: str | None
    trusted = str

    def _body(self, row: object) -> Mapping[str, Any]:
        return self._asking(self.system_prompt, _chat(row))


@dataclass(frozen=True)
class Prompt(Way):
    """One text over the columns of a row, and a system prompt likewise."""

    user: Template
    system: Template | None
    name = "prompt"
    trusted = object

    @cached_property
    def texts(self) -> Sequence[Template]:
        """The system prompt where there is one, and the prompt: in the order in which a line has them."""
        return (self.user,) if self.system is None else (self.system, self.user)

    def _body(self, row: object) -> Mapping[str, Any]:
        return self._body_for(*self._filled(_columns(row, self.name)))

    def line(self, row: object, custom_id: str, media: Sequence[Mapping[str, Any]] = ()) -> bytes:
        """Fill the line that all rows share, where there is one."""
        if media:
            return super().line(row, custom_id, media)
        columns = _columns(row, self.name)
        texts = self._filled(columns)
        self._refuse_blank(columns)
        if self.shared_line is None:
            return encode(self._request_for(custom_id, *texts))
        return self.shared_line.fill(custom_id, *texts)

    def _filled(self, columns: Mapping[str, Any]) -> list[str]:
        user = self.user.fill(columns)
        if not user or user.isspace():
            raise RowProblem("makes an empty prompt")
        return [user] if self.system is None else [_not_empty(self.system.fill(columns)), user]

    def _body_for(self, *texts: str) -> dict[str, Any]:
        system = None if self.system is None else texts[0]
        return self._asking(system, [{"role": "user", "content": texts[-1]}])

    def _request_for(self, custom_id: str, *texts: str) -> dict[str, Any]:
        return _request(custom_id, self._body_for(*texts))

    @cached_property
    def shared_line(self) -> LineTemplate | None:
        """What the lines of all rows share; None if a mark of its holes stands in it."""
        return line_template_of(self._request_for, holes=1 + len(self.texts))


@dataclass(frozen=True)
class Messages(Way):
    """A conversation whose texts are templates, and a system prompt likewise."""

    conversation: Conversation
    system: Template | None
    name = "messages"

    @cached_property
    def texts(self) -> Sequence[Template]:
        """The system prompt where there is one, and the texts of the conversation."""
        return self.conversation.texts if self.system is None else [self.system, *self.conversation.texts]

    def _body(self, row: object) -> Mapping[str, Any]:
        columns = _columns(row, self.name)
        messages = self.conversation.fill(columns)
        return self._asking(None if self.system is None else self.system.fill(columns), messages)


@dataclass(frozen=True)
class MessagesFunction(Way):
    """A function from a row to messages, and a system prompt that stands as it is."""

    function: RowFunction
    system_prompt: str | None
    name = "messages"

    def _body(self, row: object) -> Mapping[str, Any]:
        made = _called(self.function, self.name, row)
        if not isinstance(made, str | Sequence):
            raise RowProblem(f"makes messages return a {type(made).__name__}; it must be a list of messages, or a text")
        return self._asking(self.system_prompt, _chat(made))


@dataclass(frozen=True)
class Body(Way):
    """A conversation whose texts are templates, and other keys of the body, which stand as they are."""

    conversation: Conversation
    keys: Mapping[str, Any]
    name = "body"

    @property
    def texts(self) -> Sequence[Template]:
        """The texts of the conversation."""
        return self.conversation.texts

    def _body(self, row: object) -> Mapping[str, Any]:
        return {**self.shared, **self.keys, "messages": self.conversation.fill(_columns(row, self.name))}


@dataclass(frozen=True)
class BodyFunction(Way):
    """A function from a row to a body."""

    function: RowFunction
    name = "body"

    def _body(self, row: object) -> Mapping[str, Any]:
        made = _called(self.function, self.name, row)
        if not isinstance(made, Mapping):
            raise RowProblem(f"makes body return a {type(made).__name__}; it must be a mapping")
        return {**self.shared, **made}


def _request(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": BATCH_ENDPOINT, "body": body}


def _columns(row: object, name: str) -> Mapping[str, Any]:
    if type(row) is dict or isinstance(row, Mapping):
        return row
    raise RowProblem(f"is a {type(row).__name__}, but {name} is a template over the columns of a row")


def _not_empty(system: str) -> str:
    if not system:
        raise RowProblem("makes an empty system message; the platform refuses it")
    return system


def _called(function: RowFunction, name: str, row: object) -> Any:
    """Call a user's function. Its error is the row's problem, named by type and line: its text may hold data."""
    try:
        return function(row)
    except RowProblem:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise RowProblem(
            f"makes {name} raise {type(error).__name__} in line {frame.lineno} of {frame.filename.rsplit('/', 1)[-1]}"
        ) from None


def _chat(given: object) -> list[Any]:
    if isinstance(given, str):
        if not given.strip():
            raise RowProblem("makes an empty prompt")
        return [{"role": "user", "content": given}]
    if isinstance(given, Sequence) and given and all(isinstance(message, Mapping) for message in given):
        return list(given)
    if isinstance(given, Mapping):
        raise RowProblem(
            "is a table row, and nothing says how to ask about it (pass prompt='... {column} ...', or messages or "
            "body); a ready request would have custom_id, method, url and body"
        )
    raise RowProblem(f"is a {type(given).__name__}; an item is a prompt, a list of chat messages, a row or a request")
