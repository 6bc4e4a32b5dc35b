"""Ask rows by ordinary chat calls, and keep each answer as it comes."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Calls, Patience, is_rate_limit
from airflow_provider_kimi.exceptions import ApiErrorKind, KimiApiError, KimiError, KimiNoAnswerError, KimiStoppedError
from airflow_provider_kimi.hooks.kimi import CHAT_TIMEOUT_SECONDS
from airflow_provider_kimi.records.realtime import answer_line, refusal_line
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.results.realtime import AnswerParts
from airflow_provider_kimi.results.shards import batches_by_shard

#: How many rows are asked at a time, until the platform says that these are too many.
AT_ONCE = 8

#: How many rows in a row may get no answer before the others are not asked.
MOST_FAULTS = 5

#: Seconds between two lines of the log; a pause as long as this has a line of its own.
LOG_SECONDS = 60.0

#: Refusals that concern one row, if their type is named, which a gateway in between does not do. Any other that does
#: not pass concerns every row.
_OF_ROW: Sequence[ApiErrorKind] = ("input", "content_filter")


class AskedRow(NamedTuple):
    """A row to ask.

    :param batch_id: The first batch of its shard.
    """

    custom_id: str
    batch_id: str
    body: Mapping[str, Any]


def rows_to_ask(requests: Mapping[ShardName, Slice], batches: Sequence[Batch]) -> Iterator[AskedRow]:
    """The rows of requests.

    :param requests: By the name of their shard.
    :param batches: Those of the rounds before.
    """
    shards = batches_by_shard(batches)
    firsts = {Tags.of(of_shard[0]).shard_name or ShardName(1, 1): of_shard[0].id for of_shard in shards}
    for shard, content in requests.items():
        for line in content.lines():
            request = msgspec.json.decode(line)
            yield AskedRow(request["custom_id"], firsts[shard], request["body"])


def _is_one_too_many(error: KimiError) -> bool:
    """Whether fewer calls would not be refused; a platform that is overloaded refuses any."""
    return is_rate_limit(error) and getattr(error, "error_type", None) != "engine_overloaded_error"


class _OneTooManyError(Exception):
    """The platform refuses a call, because others are under way."""


@dataclass
class RealtimeRound:
    """Asks rows, some at a time. A call that is refused as one too many is left to the others.

    A row that the platform refuses is done. One that gets no answer is not, and a later try may ask it again.

    :param parts: Keeps the answers.
    :param is_killed: Whether Airflow is ending the task.
    :param at_once: How many rows are asked at a time.
    :param seconds: How long one answer may take.
    :param end: Why the other rows were not asked; None if all were.
    """

    calls: Calls
    parts: AnswerParts
    is_killed: Callable[[], bool]
    at_once: int = AT_ONCE
    seconds: float = CHAT_TIMEOUT_SECONDS
    answered: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    unanswered: int = field(default=0, init=False)
    end: KimiError | None = field(default=None, init=False)
    _workers: int = field(default=0, init=False)
    _has_begun: bool = field(default=False, init=False)
    _faults: int = field(default=0, init=False)
    _unforeseen: Exception | None = field(default=None, init=False)
    _told_at: float = field(default=-math.inf, init=False)
    _again: list[AskedRow] = field(default_factory=list, init=False)
    _unwritten: list[bytes] = field(default_factory=list, init=False)

    def ask(self, rows: Iterator[AskedRow]) -> None:
        """Ask rows until all are done, or it is of no use.

        :raises KimiStoppedError: Airflow is ending the task.
        """
        _ = self.calls.hook.settings  # looked up here, where it may block
        try:
            asyncio.run(self._ask(rows))
        finally:
            self._write()  # whatever has ended it
        if self.is_killed():
            raise KimiStoppedError(
                f"The task is being ended: Airflow has killed it. {self.done} They are kept beside the result. A retry "
                "or a clear of this task asks only the others."
            )

    @property
    def done(self) -> str:
        """What was done, in words."""
        return f"Rows that chat calls have answered, and that are billed: {self.answered:,}; refused: {self.refused:,}."

    @property
    def unfinished(self) -> str:
        """Why rows are left without an answer, and what to do; empty if none is."""
        if self.end is not None:
            return f"The other rows were not asked, and a clear of this task asks only for them. {self.end}"
        if self.unanswered:
            return f"{self.unanswered:,} rows got no answer, and a clear of this task asks only for them."
        return ""

    async def _ask(self, rows: Iterator[AskedRow]) -> None:
        self._writing, self._turn = asyncio.Lock(), asyncio.Lock()
        self._workers = self.at_once
        try:
            await asyncio.gather(*(self._work(rows) for _ in range(self.at_once)))
        finally:
            await self.calls.hook.aclose()
        if self._unforeseen is not None:
            raise self._unforeseen

    @property
    def _is_over(self) -> bool:
        return self.end is not None or self._unforeseen is not None or self.is_killed()

    async def _work(self, rows: Iterator[AskedRow]) -> None:
        try:
            while not self._is_over and (row := self._again.pop() if self._again else next(rows, None)) is not None:
                try:
                    await self._wait_for_turn()
                    await self._keep(await self._line(row))
                except _OneTooManyError:
                    self._again.append(row)
                    return
                except KimiError as error:
                    self._note(error)
                except Exception as error:  # raised once the calls under way have ended, since they are paid
                    self._unforeseen = self._unforeseen or error
        finally:
            self._workers -= 1

    async def _line(self, row: AskedRow) -> bytes:
        """Ask a row, patiently.

        :raises KimiError: It got no answer.
        """
        patience = Patience(self.calls.hook, self.calls.jitter, trusts_retry_after=True)
        while True:
            try:
                completion = await self._completion(row)
            except KimiError as error:
                if isinstance(error, KimiApiError) and error.kind in _OF_ROW and error.error_type:
                    return self._refused(row, error)
                if _is_one_too_many(error) and self._workers > 1:
                    raise _OneTooManyError from None
                pause = patience.pause_after(error)
                if pause is None or self._is_over:
                    raise
                self._tell(f"{error} Trying again in {pause:,.0f} s.", pause)
                await self._sleep(pause)
            else:
                self.answered += 1
                self._faults = 0
                return answer_line(row.custom_id, row.batch_id, completion)

    async def _completion(self, row: AskedRow) -> Mapping[str, Any]:
        seconds = max(self.seconds, self.calls.hook.settings.timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                return (await self.calls.hook.achat(row.body, seconds)).body
        except TimeoutError:
            raise KimiNoAnswerError(
                f"A chat call took longer than {seconds:g} s as a whole. Whether the row was answered, and is billed, "
                "is unknown."
            ) from None

    def _refused(self, row: AskedRow, error: KimiApiError) -> bytes:
        self.refused += 1
        self._faults = 0
        said = {"type": error.error_type or error.kind, "message": str(error)}
        return refusal_line(row.custom_id, row.batch_id, error.status_code or 400, said)

    def _note(self, error: KimiError) -> None:
        """Note that a row got no answer; end the round if the next ones would not get one either."""
        self.unanswered += 1
        self._faults += 1
        if not error.retryable or is_rate_limit(error) or self._faults >= MOST_FAULTS:
            self.end = self.end or error

    async def _wait_for_turn(self) -> None:
        """Keep to the requests a minute that the connection allows, if it says so."""
        if rate := self.calls.hook.requests_per_minute:
            async with self._turn:
                if self._has_begun:
                    await self._sleep(60 / rate)
                self._has_begun = True

    async def _sleep(self, seconds: float) -> None:
        """Pause, but not longer than the task lives."""
        while seconds > 0 and not self._is_over:
            await asyncio.to_thread(self.calls.sleep, min(seconds, 1.0))
            seconds -= 1.0

    def _tell(self, what: str = "", pause: float = 0.0) -> None:
        """Log how far the round is and what it waits for, once in a while."""
        if (now := time.monotonic()) - self._told_at >= LOG_SECONDS or pause >= LOG_SECONDS:
            self._told_at = now
            self.calls.log.info("%s %s", self.done, what)

    async def _keep(self, line: bytes) -> None:
        """Write a line before the next row is asked; lines that come meanwhile are written together."""
        self._unwritten.append(line)
        async with self._writing:
            await asyncio.to_thread(self._write)
        self._tell()

    def _write(self) -> None:
        lines = self._unwritten[:]
        if lines:
            self.parts.write(lines)
            del self._unwritten[: len(lines)]
