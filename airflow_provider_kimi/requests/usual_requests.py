"""The lines of a Kimi-ready file, many at once, where they are usual: texts, and the same parameters on each."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from airflow_provider_kimi.api.catalogue import PARAMETER_TYPES, Count
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.requests.parameters import Verdict
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.validation import RequestCheck, is_sound

_PARAMETERS = tuple(PARAMETER_TYPES)

#: Parameters that are read: equal values of these types are the same JSON. The values of the others stay bytes.
_READ_TYPES = {name: kind for name, (kind, _) in PARAMETER_TYPES.items() if kind in (Count, str, bool, str | list[str])}
_READ_TYPES["thinking"] = dict[str, str]

#: A longer line is looked at alone, where its texts need no memory.
_LONGEST = 1 << 22


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, msgspec.Meta(min_length=1)]


def _field(name: str) -> tuple[str, Any, Any]:
    kind = _READ_TYPES.get(name)
    return name, (msgspec.Raw if kind is None else kind | None) | msgspec.UnsetType, msgspec.UNSET


_Body = msgspec.defstruct(
    "_Body",
    [
        ("model", str),
        ("messages", Annotated[list[_Message], msgspec.Meta(min_length=1)]),
        *map(_field, _PARAMETERS),
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
        self._holds_bytes = False

    def passed(self, lines: Sequence[bytes]) -> list[str] | None:
        """Return the ids of lines that may be sent as they are; None if each has to be looked at."""
        if max(map(len, lines)) > _LONGEST:
            return None
        try:
            requests = list(map(_read, lines))
        except UNREADABLE:
            return None
        parameters = [_parameters_of(request.body) for request in requests]
        verdict = self._judged(parameters[0])
        if verdict is None or parameters.count(self._shared) != len(lines):
            return None
        if self._holds_bytes and not is_sound(b"\n".join(lines)):
            return None
        self._check.count(verdict, len(lines))
        return [request.custom_id for request in requests]

    def _judged(self, parameters: tuple[Any, ...]) -> Verdict | None:
        """Judge the model and the parameters of a body; None if they may not be sent as they are."""
        if parameters == self._shared:
            return self._verdict
        model, *values = parameters
        given = {name: value for name, value in zip(_PARAMETERS, values, strict=True) if value is not msgspec.UNSET}
        raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in given.items()}
        try:
            verdict = self._check.verdict(msgspec.json.encode(model), raw)
            self._check.names(model)
        except (RowProblem, *UNREADABLE):
            return None
        if verdict.problems or verdict.dropped or verdict.changed:
            return None
        self._shared, self._verdict = parameters, verdict
        self._holds_bytes = not given.keys() <= _READ_TYPES.keys()
        return verdict
