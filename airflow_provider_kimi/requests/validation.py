"""What would make the platform refuse a request line, found before it is sent. Only what the rules need is decoded."""

import codecs
import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.records.dead_letters import is_unsent, request_of
from airflow_provider_kimi.requests.histories import (
    NOTHING,
    Message,
    Role,
    check_calls,
    check_reasoning,
    says_nothing,
)
from airflow_provider_kimi.requests.parameters import ParameterRules, Verdict
from airflow_provider_kimi.requests.problems import NeverSent, RowProblem, listed
from airflow_provider_kimi.requests.text_forms import likely_encoding

#: Sets of parameters whose verdict is remembered, and their bytes.
_MAX_VERDICTS = 1000
_MAX_REMEMBERED_BYTES = 4 << 20

#: Bytes that are decoded at once.
_DECODED_BYTES = 1 << 15

#: What may be half a character: an escaped surrogate.
_HALF_CHARACTER = re.compile(rb"\\u[dD]")

_NOT_A_NUMBER = re.compile(rb":\s*-?(?:NaN|Infinity)\b")

_QUOTE, _OPENING_BRACKET = b'"['

#: The keys of a request, none of which a table row has.
REQUEST_KEYS = {"custom_id", "method", "url", "body"}


class _Request(msgspec.Struct):
    """What every request line must have. The values of its body stay bytes.

    :param row: What a dead letter was made from.
    :param error: Why a dead letter has no answer.
    """

    custom_id: Annotated[str, msgspec.Meta(min_length=1)]
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: dict[str, msgspec.Raw]
    row: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_read_request = msgspec.json.Decoder(_Request).decode
_read_messages = msgspec.json.Decoder(list[Message]).decode
_read_text = msgspec.json.Decoder(str).decode


class RequestCheck:
    """Checks the request lines of one input.

    :param model: The model that every line must name; None for that of the first line.
    """

    def __init__(self, model: str | None, rules: ParameterRules) -> None:
        self.model = model
        self._rows: Counter[Verdict] = Counter()
        self._rules = rules
        self._named: bytes | None = None
        self._remembered_bytes = 0
        self._verdicts: dict[tuple[object, ...], Verdict] = {}

    def passed(self, line: bytes) -> tuple[str, bytes]:
        """Return a line's `custom_id`, and the line as it may be sent.

        Its bytes stay the same, unless keys are dropped, a JSON Schema is written in another form, or it is a dead
        letter: its notes are not sent.

        :param line: UTF-8 without half characters, which `is_sound` checks for many lines at once.
        :raises RowProblem: It may not be sent.
        """
        request = _read(line)
        body = request.body
        try:
            model = bytes(body.pop("model", NOTHING))
            messages = check_messages(body.pop("messages", NOTHING))
            verdict = self.verdict(model, body)
            if verdict.problems:
                raise RowProblem(" and ".join(verdict.problems))
            if verdict.without_reasoning is not None:
                check_reasoning(messages, verdict.without_reasoning)
            if model != self._named:
                self.names(_text(model))
                self._named = model
        except RowProblem as problem:
            problem.custom_id = request.custom_id
            raise
        except msgspec.DecodeError as error:  # a number of too many digits
            raise RowProblem(f"is not valid JSON ({error})", request.custom_id) from None
        self.count(verdict)
        if request.row is not msgspec.UNSET or request.error is not msgspec.UNSET:
            line = request_of(line)
        return request.custom_id, _changed(line, verdict) if verdict.dropped or verdict.changed else line

    def count(self, verdict: Verdict, rows: int = 1) -> None:
        """Count rows that a verdict holds for."""
        if verdict.warnings or verdict.dropped:
            self._rows[verdict] += rows

    @property
    def warnings(self) -> Counter[str]:
        """What is allowed, but likely to be a mistake, and the number of its lines."""
        warnings: Counter[str] = Counter()
        for verdict, rows in self._rows.items():
            taken_out = (f"{key!r} is taken out, because the model does not take it" for key in verdict.dropped)
            for warning in (*verdict.warnings, *taken_out):
                warnings[warning] += rows
        return warnings

    def names(self, model: str) -> None:
        """Note the model that a request names; refuse none, and another one than the other requests name."""
        if not model:
            raise RowProblem("has no model in its body")
        self.model = self.model or model
        if model != self.model:
            raise RowProblem(f"asks model {model!r}, but this batch uses {self.model!r}; one batch has one model")

    def verdict(self, model: bytes, parameters: Mapping[str, msgspec.Raw]) -> Verdict:
        """Judge the parameters, which most inputs repeat on every line."""
        values = tuple(map(bytes, parameters.values()))
        signature = (model, *parameters, *values)
        verdict = self._verdicts.get(signature)
        if verdict is None:
            decoded = {key: msgspec.json.decode(value) for key, value in zip(parameters, values, strict=True)}
            verdict = self._rules.judge(_text(model), decoded)
            self._remembered_bytes += sum(map(len, values))
            if len(self._verdicts) < _MAX_VERDICTS and self._remembered_bytes < _MAX_REMEMBERED_BYTES:
                self._verdicts[signature] = verdict
        return verdict


def _read(line: bytes) -> _Request:
    try:
        return _read_request(line)
    except UNREADABLE:
        if problem := unreadable(line):
            raise RowProblem(problem) from None
        raise _wrong_shape(msgspec.json.decode(line)) from None


def _wrong_shape(request: object) -> RowProblem:
    if not isinstance(request, Mapping):
        return RowProblem("is JSON, but not an object; a request is {custom_id, method, url, body}")
    if request and not REQUEST_KEYS & request.keys():
        return RowProblem(
            f"is a table row (it has {listed(request)}), and nothing says how to ask about it: pass "
            "prompt='... {column} ...', messages or body"
        )
    if is_unsent(request):
        return NeverSent(
            "is a row that was never sent, as dead_letter.jsonl keeps it with the reason: correct it in the table that "
            "it is from, and give that",
            str(request.get("custom_id") or "") or None,
        )
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return RowProblem("has no custom_id; it must be a non-empty string")
    if request.get("method") != "POST":
        return RowProblem("must have method 'POST'", custom_id)
    if request.get("url") != BATCH_ENDPOINT:
        return RowProblem(f"must have url {BATCH_ENDPOINT!r}", custom_id)
    return RowProblem("has no body; it must be a chat completion request", custom_id)


def _changed(line: bytes, verdict: Verdict) -> bytes:
    request = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    body = msgspec.json.decode(request["body"], type=dict[str, msgspec.Raw])
    body |= {key: msgspec.Raw(value) for key, value in verdict.changed}
    kept = msgspec.Raw(msgspec.json.encode({key: raw for key, raw in body.items() if key not in verdict.dropped}))
    return msgspec.json.encode({**request, "body": kept})


def check_messages(raw: msgspec.Raw) -> list[Message]:
    """Refuse messages that the platform would refuse, whatever the model and its parameters; return the others."""
    try:
        messages = _read_messages(raw)
    except msgspec.DecodeError:
        raise _wrong_messages(raw) from None
    if not messages:
        raise RowProblem("has no messages in its body")
    for number, message in enumerate(messages, 1):
        content = memoryview(message.content)
        first = content[0]
        is_empty = first != _QUOTE or len(content) == len('""')
        if first == _OPENING_BRACKET:
            _check_parts(number, message.content)
        elif is_empty and (message.role in ("system", "user") or says_nothing(message)):
            raise RowProblem(f"has an empty content in message {number}; the platform refuses it")
    check_calls(messages)
    return messages


def _wrong_messages(raw: msgspec.Raw) -> RowProblem:
    messages = msgspec.json.decode(raw)
    for number, message in enumerate(messages if isinstance(messages, list) else (), 1):
        if isinstance(message, dict) and message.get("role") not in get_args(Role):
            return RowProblem(f"has a message {number} whose role is none of {', '.join(get_args(Role))}")
    return RowProblem("has no messages in its body; they are a list of objects with role and content")


def _text(raw: bytes) -> str:
    try:
        return _read_text(raw)
    except msgspec.DecodeError:
        return ""


def _check_parts(number: int, raw: msgspec.Raw) -> None:
    parts = msgspec.json.decode(raw)
    if not parts:
        raise RowProblem(f"has an empty content in message {number}; the platform refuses it")
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("image_url", "video_url"):
            continue
        given = part.get(kind)
        if problem := media_url_problem(given.get("url") if isinstance(given, Mapping) else given):
            raise RowProblem(f"has an {kind} in message {number} that {problem}")


def media_url_problem(url: object) -> str | None:
    """Say why the platform would refuse the address of an image or a video; None if it would not."""
    if not isinstance(url, str):
        return "has no url"
    if url.startswith(("data:", "ms://")):
        return None
    if url.lower().startswith(("http://", "https://")):
        return (
            "is a public http(s) address, which Kimi does not fetch in a batch: the row would fail. Put the file into "
            "a column (image_column, video_column) as a path or bytes"
        )
    return "is neither a data: URL nor an ms:// file of the platform"


def unreadable(line: bytes) -> str | None:
    """Say why a line is not JSON in UTF-8; None if it is."""
    return unreadable_text(line) or _decoding_problem(line)


def _decoding_problem(line: bytes) -> str | None:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        hint = "; NaN and Infinity are no JSON, write null" if _NOT_A_NUMBER.search(line) else ""
        return f"is not valid JSON ({error}{hint})"
    except RecursionError:
        return "is nested too deeply"
    return None


def unreadable_text(line: bytes) -> str | None:
    """Say why a line cannot be JSON, as far as its text shows; None if it may be."""
    if line.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark; save the file as UTF-8 without BOM, or pass encoding='utf-8-sig'"
    if not line or line.isspace():
        return "is blank"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        likely = likely_encoding(line)
        hint = f"; it looks like {likely.upper()}: pass encoding={likely!r}" if likely else "; save the file as UTF-8"
        return f"is not UTF-8 at byte {error.start}{hint}"
    return _decoding_problem(line) if _HALF_CHARACTER.search(line) else None


def is_sound(block: bytes) -> bool:
    """Whether many lines are UTF-8 without half characters, which decoding only some keys of them would not find."""
    return (block.isascii() or _is_utf8(block)) and not _HALF_CHARACTER.search(block)


def _is_utf8(block: bytes) -> bool:
    """Decode in pieces that are small enough to reuse the same memory."""
    view = memoryview(block)
    done = 0
    try:
        while done < len(block):
            end = done + _DECODED_BYTES
            done += codecs.utf_8_decode(view[done:end], "strict", end >= len(block))[1]
    except UnicodeDecodeError:
        return False
    return True
