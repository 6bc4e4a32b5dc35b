"""One pass over request lines: what would make the platform refuse the whole batch is found before sending."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT, FORBIDDEN_BODY_KEYS, MAX_FILE_BYTES
from airflow_provider_kimi.exceptions import KimiInputError

#: Faults that one message describes; the rest are counted.
MAX_REPORTED_PROBLEMS = 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass
class InputCheck:
    """Watches the lines of one input go by, and knows at the end whether they may be sent.

    :param model: The model that every line must name; None takes the first line's.
    """

    model: str | None = None
    lines: int = 0
    size_bytes: int = 0
    problem_count: int = 0
    _problems: dict[str, tuple[str, int]] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """The first faults, in words; those that differ in their place only are told once."""
        return [
            f"{place} {detail}{f' ({more:,} more alike)' if more else ''}"
            for detail, (place, more) in self._problems.items()
        ]

    def problem(self, place: str, detail: str) -> None:
        """Note a fault that was found before there was a line."""
        self.problem_count += 1
        if detail in self._problems or len(self._problems) < MAX_REPORTED_PROBLEMS:
            first, more = self._problems.get(detail, (place, -1))
            self._problems[detail] = (first, more + 1)

    def line(self, place: str, line: bytes) -> None:
        """Check one line, without its newline.

        :param place: Where it comes from, as in "line 12".
        """
        self.lines += 1
        self.size_bytes += len(line) + 1
        detail = unreadable(line, first=self.lines == 1)
        request: Any = None
        if detail is None:
            request = msgspec.json.decode(line)
            detail = self._wrong_request(place, request)
        if detail is not None:
            self.problem(place, detail)

    def _wrong_request(self, place: str, request: object) -> str | None:
        if not isinstance(request, dict):
            return "is JSON, but not an object; a request is {custom_id, method, url, body}"
        custom_id = request.get("custom_id")
        if not isinstance(custom_id, str) or not custom_id:
            return "has no custom_id; it must be a non-empty string"
        named = f"(custom_id {custom_id[:80]!r})"
        if custom_id in self._places:
            return f"{named} repeats the custom_id of {self._places[custom_id]}; each must be unique"
        self._places[custom_id] = place
        if request.get("method") != "POST":
            return f"{named} must have method 'POST'"
        if request.get("url") != BATCH_ENDPOINT:
            return f"{named} must have url {BATCH_ENDPOINT!r}"
        detail = self._wrong_body(request.get("body"))
        return f"{named} {detail}" if detail else None

    def _wrong_body(self, body: object) -> str | None:
        if not isinstance(body, dict):
            return "has no body; it must be a chat completion request"
        model = body.get("model")
        if not isinstance(model, str) or not model:
            return "has no model in its body"
        self.model = self.model or model
        if model != self.model:
            return f"asks model {model!r}, but this batch uses {self.model!r}; one batch has one model"
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return "has no messages in its body"
        if forbidden := next((key for key in FORBIDDEN_BODY_KEYS if key in body), None):
            return f"sets {forbidden!r}, which the models fix and Kimi refuses in a batch; leave it out"
        if body.get("stream"):
            return "sets 'stream', which a batch cannot do; leave it out"
        return None

    def finish(self, source: str) -> None:
        """Refuse the input if anything was wrong with it.

        :param source: What was read, as in "input 's3://bucket/rows.jsonl'".
        :raises KimiInputError: Names the faults, or the size over the limit, or that there is nothing to send.
        """
        if self.problem_count:
            hidden = self.problem_count - sum(more + 1 for _, more in self._problems.values())
            told = self.problems + ([f"and {hidden} more"] if hidden else [])
            raise KimiInputError(
                f"{source} has {self.problem_count} fault{'s' if self.problem_count > 1 else ''}: "
                f"{'; '.join(told)}. Nothing was sent. Correct the input or the task's parameters, then clear the task."
            )
        if self.lines == 0:
            raise KimiInputError(f"{source} is empty. Nothing was sent. A batch needs at least one row.")
        if self.size_bytes > MAX_FILE_BYTES:
            raise KimiInputError(
                f"{source} makes {self.lines:,} requests of {self.size_bytes:,} bytes together; one batch file may "
                f"have {MAX_FILE_BYTES:,} bytes. Nothing was sent. Give it in parts, for instance by expanding the "
                f"operator over {-(-self.size_bytes // MAX_FILE_BYTES)} or more inputs."
            )


def unreadable(line: bytes, *, first: bool) -> str | None:
    """Say why a line is not one of JSON in UTF-8; None if it is.

    :param first: Whether it is the file's first line, where a byte order mark may stand.
    """
    if first and line.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark; save the file as UTF-8 without BOM"
    if not line.strip():
        return "is blank"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at byte {error.start}; save the file as UTF-8"
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        return f"is not valid JSON ({error})"
    except RecursionError:
        return "is nested too deeply"
    return None
