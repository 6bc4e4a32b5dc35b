"""Scripted faults: what goes wrong with the next calls of one kind, and how often."""

import threading
from dataclasses import dataclass, replace
from typing import Literal

#: The calls of the API, by the names of the hook's methods.
CallName = Literal[
    "upload_file",
    "list_files",
    "get_file",
    "download_file",
    "delete_file",
    "create_batch",
    "list_batches",
    "get_batch",
    "cancel_batch",
    "list_models",
    "get_balance",
    "estimate_tokens",
    "chat",
]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    :param status: HTTP status of the answer; None leaves the status alone.
    :param error_type: `error.type` of the answer.
    :param message: `error.message` of the answer.
    :param html: Answer an HTML page instead of JSON, as the platform's 504 does.
    :param retry_after: Value of the `retry-after` header, in seconds.
    :param accepted: The platform does the work before the fault hides it.
    :param done_after_seconds: The platform does the work this many simulated seconds after the call, when nobody waits
        for it: at the first call, `advance` or look at `batches` from then on. Needs a `status` or `drop`.
    :param drop: Close the connection without an answer.
    :param hang_seconds: Real seconds before anything is answered. If the client leaves earlier, nothing is done,
        unless the call was `accepted`.
    :param trickle_seconds: Real seconds between any two bytes of the answer, headers included, until the client leaves.
        The connection is closed behind it.
    :param cut_after_bytes: Break the body off after this number of bytes, with an error on the wire. A part of a file
        (`Range`) that is not longer comes whole.
    :param cut_silently: The cut answer looks complete.
    :param skip: How many calls pass before the fault begins.
    :param times: How many calls it spoils; None for every call.
    """

    status: int | None = None
    error_type: str = "server_error"
    message: str = "simulated fault"
    html: bool = False
    retry_after: float | None = None
    accepted: bool = False
    done_after_seconds: float | None = None
    drop: bool = False
    hang_seconds: float = 0.0
    trickle_seconds: float = 0.0
    cut_after_bytes: int | None = None
    cut_silently: bool = False
    skip: int = 0
    times: int | None = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be: to do the work late, and to answer with it."""
        if self.done_after_seconds is not None and (self.accepted or not self.hides_the_answer):
            raise ValueError("done_after_seconds needs a status or drop, and cannot be combined with accepted")

    @property
    def hides_the_answer(self) -> bool:
        """Whether the client gets something else than the answer."""
        return self.status is not None or self.drop


class Faults:
    """The faults still to come, by call."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()

    def add(self, call: str, fault: Fault) -> None:
        """Queue a fault behind the ones already waiting for this call."""
        with self._lock:
            self._waiting.setdefault(call, []).append(fault)

    def take(self, call: str) -> Fault | None:
        """Return the fault of the call that has just arrived, and count it down."""
        with self._lock:
            waiting = self._waiting.get(call, [])
            while waiting and waiting[0].times == 0:
                waiting.pop(0)
            if not waiting:
                return None
            fault = waiting[0]
            if fault.skip:
                waiting[0] = replace(fault, skip=fault.skip - 1)
                return None
            if fault.times is not None:
                waiting[0] = replace(fault, times=fault.times - 1)
            return fault
