"""What would make the platform refuse a request line, found before sending. Only what the rules need is decoded."""

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.batch.faults import RowProblem
from airflow_provider_kimi.batch.parameters import ParameterRules, Verdict

#: Roles of messages (chat reference).
ROLES = ("system", "user", "assistant", "tool")

_NO_ID = "has no custom_id; it must be a non-empty string"
_WRONG_METHOD = "must have method 'POST'"
_WRONG_URL = f"must have url {BATCH_ENDPOINT!r}"

_MEDIA = ("image_url", "video_url")
_MEDIA_SOURCES = ("data:", "ms://")

#: Different sets of parameters that one input is expected to hold; more are judged again and again.
_MAX_VERDICTS = 1000


class _Request(msgspec.Struct):
    """A request line as far as every one must have it; the values of its body stay bytes."""

    custom_id: str
    method: str
    url: str
    body: dict[str, msgspec.Raw]


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw(b"null")


_read_request = msgspec.json.Decoder(_Request).decode
_read_messages = msgspec.json.Decoder(list[_Message]).decode
_read_text = msgspec.json.Decoder(str).decode


class RequestCheck:
    """Watches request lines go by.

    :param model: The model that every line must name; None takes the first line's.
    :param rules: What a body may hold.
    """

    def __init__(self, model: str | None, rules: ParameterRules) -> None:
        self.model = model
        self.warnings: Counter[str] = Counter()
        self._rules = rules
        self._verdicts: dict[tuple[bytes, ...], Verdict] = {}

    def passed(self, line: bytes) -> tuple[str, bytes]:
        """Return a line's `custom_id`, and the line as it may be sent: other bytes only where keys are dropped.

        :raises RowProblem: It may not be sent.
        """
        request = _read(line)
        try:
            if not request.custom_id:
                raise RowProblem(_NO_ID)
            if request.method != "POST":
                raise RowProblem(_WRONG_METHOD)
            if request.url != BATCH_ENDPOINT:
                raise RowProblem(_WRONG_URL)
            self._check_model(request.body)
            check_messages(request.body.get("messages", msgspec.Raw(b"null")))
            verdict = self._verdict(request.body)
            self.warnings.update(verdict.warnings)
            if verdict.faults:
                raise RowProblem(" and ".join(verdict.faults))
        except RowProblem as problem:
            problem.custom_id = request.custom_id
            raise
        return request.custom_id, _without(line, verdict.dropped) if verdict.dropped else line

    def _check_model(self, body: Mapping[str, msgspec.Raw]) -> None:
        try:
            model = _read_text(body["model"])
        except (KeyError, msgspec.DecodeError):
            model = ""
        if not model:
            raise RowProblem("has no model in its body")
        self.names(model)

    def names(self, model: str) -> None:
        """Note the model that a request names.

        :raises RowProblem: It is not that of the others.
        """
        self.model = self.model or model
        if model != self.model:
            raise RowProblem(f"asks model {model!r}, but this batch uses {self.model!r}; one batch has one model")

    def _verdict(self, body: Mapping[str, msgspec.Raw]) -> Verdict:
        """Judge the parameters; an input repeats the same ones on most of its lines."""
        parameters = {key: raw for key, raw in body.items() if key not in ("model", "messages")}
        signature = tuple(part for key, raw in parameters.items() for part in (key.encode(), bytes(raw)))
        verdict = self._verdicts.get(signature)
        if verdict is None:
            decoded = {key: msgspec.json.decode(raw) for key, raw in parameters.items()}
            verdict = self._rules.judge(self.model or "", decoded)
            if len(self._verdicts) < _MAX_VERDICTS:
                self._verdicts[signature] = verdict
        return verdict


def _read(line: bytes) -> _Request:
    if problem := unreadable_text(line):
        raise RowProblem(problem)
    try:
        return _read_request(line)
    except msgspec.ValidationError:
        raise _wrong_shape(msgspec.json.decode(line)) from None
    except (msgspec.DecodeError, RecursionError):
        raise RowProblem(unreadable(line) or "cannot be read as a request") from None


def _wrong_shape(request: object) -> RowProblem:
    if not isinstance(request, Mapping):
        return RowProblem("is JSON, but not an object; a request is {custom_id, method, url, body}")
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str):
        return RowProblem(_NO_ID)
    if not isinstance(request.get("method"), str):
        return RowProblem(_WRONG_METHOD, custom_id)
    if not isinstance(request.get("url"), str):
        return RowProblem(_WRONG_URL, custom_id)
    return RowProblem("has no body; it must be a chat completion request", custom_id)


def _without(line: bytes, dropped: Sequence[str]) -> bytes:
    request = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    body = msgspec.json.decode(request["body"], type=dict[str, msgspec.Raw])
    kept = msgspec.Raw(msgspec.json.encode({key: raw for key, raw in body.items() if key not in dropped}))
    return msgspec.json.encode({**request, "body": kept})


def check_messages(raw: msgspec.Raw) -> None:
    """Refuse messages that the platform would refuse.

    :raises RowProblem: Says which message, and why.
    """
    try:
        messages = _read_messages(raw)
    except msgspec.DecodeError:
        raise RowProblem("has no messages in its body; they are a list of objects with role and content") from None
    if not messages:
        raise RowProblem("has no messages in its body")
    for number, message in enumerate(messages, 1):
        if message.role not in ROLES:
            raise RowProblem(f"has a message {number} whose role is none of {', '.join(ROLES)}")
        content = memoryview(message.content)
        first = bytes(content[:1])
        if first == b"[":
            _check_parts(number, message.content)
        elif message.role in ("system", "user") and (first != b'"' or len(content) == len(b'""')):
            raise RowProblem(f"has an empty content in message {number}; the platform refuses it")


def _check_parts(number: int, raw: msgspec.Raw) -> None:
    parts = msgspec.json.decode(raw)
    if not parts:
        raise RowProblem(f"has an empty content in message {number}; the platform refuses it")
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in _MEDIA:
            given = part.get(kind)
            url = given.get("url") if isinstance(given, Mapping) else given
            if fault := media_url_fault(url):
                raise RowProblem(f"has an {kind} in message {number} that {fault}")


def media_url_fault(url: object) -> str | None:
    """Say why the platform would refuse the address of an image or a video; None if it would not."""
    if not isinstance(url, str):
        return "has no url"
    if url.startswith(_MEDIA_SOURCES):
        return None
    if url.lower().startswith(("http://", "https://")):
        return (
            "is a public http(s) address, which Kimi does not fetch in a batch: the row would fail. Put the file into "
            "a column (image_column, video_column) as a path or bytes"
        )
    return "is neither a data: URL nor an ms:// file of the platform"


def unreadable(line: bytes) -> str | None:
    """Say why a line is not one of JSON in UTF-8; None if it is."""
    if problem := unreadable_text(line):
        return problem
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        return f"is not valid JSON ({error})"
    except RecursionError:
        return "is nested too deeply"
    return None


def unreadable_text(line: bytes) -> str | None:
    """Say why a line is no text in UTF-8 that could be JSON, without reading the JSON; None if it may be."""
    if line.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark; save the file as UTF-8 without BOM"
    if not line or line.isspace():
        return "is blank"
    if not line.isascii():
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            return f"is not UTF-8 at byte {error.start}; save the file as UTF-8"
    if b"\\ud" in line or b"\\uD" in line:  # half a character is found by decoding only
        try:
            msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            return f"is not valid JSON ({error})" if isinstance(error, ValueError) else "is nested too deeply"
    return None
