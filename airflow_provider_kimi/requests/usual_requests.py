"""The lines of a Kimi-ready file, many at once, where they are usual: texts, and the same parameters on each."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from airflow_provider_kimi.api.catalogue import PARAMETER_TYPES
from airflow_provider_kimi.requests.parameters import Verdict
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.validation import RequestCheck, Role

_PARAMETERS = tuple(PARAMETER_TYPES)
_QUOTE = ord('"')


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Role
    content: msgspec.Raw


_Body = msgspec.defstruct(
    "_Body",
    [
        ("model", msgspec.Raw),
        ("messages", Annotated[list[_Message], msgspec.Meta(min_length=1)]),
        *((name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in _PARAMETERS),
    ],
    forbid_unknown_fields=True,
    gc=False,
)


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    custom_id: Annotated[str, msgspec.Meta(min_length=1)]
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: _Body  # type: ignore[valid-type]


_read = msgspec.json.Decoder(_Request).decode
_parameters_of = attrgetter("model", *_PARAMETERS)


class UsualRequests:
    """Passes lines that need no change and no look at each.

    :param check: What judges the model and the parameters that they share.
    """

    def __init__(self, check: RequestCheck) -> None:
        self._check = check
        self._shared: tuple[Any, ...] = ()
        self._verdict: Verdict | None = None

    def passed(self, lines: Sequence[bytes]) -> list[str] | None:
        """Return the ids of lines that may be sent as they are; None if each has to be looked at.

        :param lines: UTF-8 without half characters.
        """
        try:
            requests = list(map(_read, lines))
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return None
        bodies: list[Any] = [request.body for request in requests]
        verdict = self._judged(_parameters_of(bodies[0]))
        if verdict is None or any(_parameters_of(body) != self._shared for body in bodies):
            return None
        if not all(_is_text(message.content) for body in bodies for message in body.messages):
            return None
        self._check.count(verdict, len(lines))
        return [request.custom_id for request in requests]

    def _judged(self, parameters: tuple[Any, ...]) -> Verdict | None:
        """Judge the model and the parameters of a body; None if they may not be sent as they are."""
        if parameters == self._shared:
            return self._verdict
        model, *values = parameters
        given = {name: raw for name, raw in zip(_PARAMETERS, values, strict=True) if raw is not msgspec.UNSET}
        try:
            verdict = self._check.verdict(bytes(model), given)
            self._check.names(msgspec.json.decode(model, type=str))
        except (RowProblem, ValueError, msgspec.MsgspecError):
            return None
        if verdict.problems or verdict.dropped:
            return None
        self._shared, self._verdict = parameters, verdict
        return verdict


def _is_text(content: msgspec.Raw) -> bool:
    """Whether a content is a text that is not empty."""
    view = memoryview(content)
    return view[0] == _QUOTE and view.nbytes > len('""')
