"""The requests of a job before it is submitted: what is in all of them, and what the platform counts in a few."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import msgspec

from airflow_provider_kimi.api.catalogue import DEFAULT_OUTPUT_CAP, OUTPUT_CAP_KEYS
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.jobs.estimate import Asked, Counted, sample_size
from airflow_provider_kimi.jobs.survey import Survey
from airflow_provider_kimi.requests.media import PLACEHOLDER
from airflow_provider_kimi.requests.parameters import thinks
from airflow_provider_kimi.requests.spool import Slice

#: What a message weighs beside its text: its role and its ends are tokens too.
_BYTES_OF_MESSAGE = 16

_UPLOADED_LATER = f"ms://{PLACEHOLDER}"


class _Body(msgspec.Struct):
    messages: Any = ()
    max_completion_tokens: Any = None
    max_tokens: Any = None
    thinking: Any = None
    tools: msgspec.Raw = msgspec.Raw(b"")
    response_format: msgspec.Raw = msgspec.Raw(b"")


class _Request(msgspec.Struct):
    body: _Body


_read = msgspec.json.Decoder(_Request).decode


def survey(contents: Sequence[Slice]) -> Survey:
    """Look at every request."""
    found = Survey()
    weight = 0
    for line in _lines(contents):
        body = _read(line).body
        weight += _weight(body.messages)
        found.ends.append(weight)
        found.uncounted_bytes += len(bytes(body.tools)) + len(bytes(body.response_format))
        found.asked[Asked(_cap(body), thinks({"thinking": body.thinking}))] += 1
        found.has_uploads |= _UPLOADED_LATER.encode() in line
    return found


def count_sample(calls: Calls, contents: Sequence[Slice], found: Survey, model: str) -> list[Counted]:
    """Let the platform count the prompt tokens of a random sample, which is the same for the same requests.

    A prompt that is twice as long is twice as likely to be drawn, and may be drawn again: it is counted once.

    :raises KimiError: The platform refused, or did not answer.
    """
    rate = calls.hook.requests_per_minute
    drawn = _drawn(found, sample_size(found.rows, rate), "".join(content.fingerprint() for content in contents))
    counted: list[Counted] = []
    for place, line in enumerate(_lines(contents)):
        if not drawn[place]:
            continue
        if counted and rate:
            calls.sleep(60 / rate)
        calls.stop.check()
        messages = _read(line).body.messages
        counted += [Counted(_weight(messages), _tokens(calls, messages, model))] * drawn[place]
    return counted


def first_prompts(contents: Sequence[Slice], most: int) -> list[str]:
    """Return the last message of each of the first requests, as text."""
    return [_text(_read(line).body.messages[-1].get("content")) for line in islice(_lines(contents), most)]


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return str(content or "")
    return "\n".join(str(part.get("text") or f"[{part.get('type')}]") for part in content if isinstance(part, Mapping))


def _drawn(found: Survey, size: int, seed: str) -> Counter[int]:
    """How often each place is drawn."""
    if size == found.rows:
        return Counter(range(size))
    chance = random.Random(seed)
    return Counter(bisect_right(found.ends, chance.randrange(found.weight)) for _ in range(size))


def _lines(contents: Sequence[Slice]) -> Iterator[bytes]:
    return chain.from_iterable(content.lines() for content in contents)


def _tokens(calls: Calls, messages: Any, model: str) -> int:
    known = [kept for message in messages if (kept := _without_uploads(message)) is not None]
    return calls.read(lambda: calls.hook.estimate_tokens(known, model)) if known else 0


def _without_uploads(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A message without images and videos that the platform does not have yet; None if nothing is left of it."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kept = [part for part in content if _UPLOADED_LATER.encode() not in msgspec.json.encode(part)]
    return {**message, "content": kept} if kept else None


def _weight(messages: Any) -> int:
    return sum(_BYTES_OF_MESSAGE + _text_bytes(message.get("content")) for message in messages) or 1


def _text_bytes(content: Any) -> int:
    if isinstance(content, str):
        return len(content.encode("utf-8", "replace"))
    parts = content if isinstance(content, list) else ()
    return sum(_text_bytes(part.get("text")) for part in parts if isinstance(part, Mapping))


def _cap(body: _Body) -> int:
    named = [cap for key in OUTPUT_CAP_KEYS if type(cap := getattr(body, key)) is int and cap > 0]
    return max(named, default=DEFAULT_OUTPUT_CAP)
