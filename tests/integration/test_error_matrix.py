"""Every documented error, at every call of the chain: what is repeated, what stops, and what the message says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, RowError
from airflow_provider_kimi.simulator.faults import CallName
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, spoiling, submit
from tests.support.reviews import read_rows
from tests.support.tasks import run_task
from tests.support.waiting import waited

IDS = "<org-0123456789abcdef><ak-fedcba9876543210>"


@dataclass(frozen=True)
class Row:
    """A row of the platform's error table.

    :param says: What the message must tell.
    """

    status: int
    error_type: str
    retried: bool
    says: str
    message: str = "simulated fault"
    html: bool = False
    retry_after: float | None = None


ROWS = {
    "400 filter": Row(400, "content_filter", False, "content filter"),
    "400 parameters": Row(400, "invalid_request_error", False, "Correct what the platform names"),
    "401 wrong key": Row(401, "invalid_authentication_error", False, "region 'cn'|refused by http"),
    "401 no key": Row(401, "incorrect_api_key_error", False, "API key field"),
    "403 not open": Row(403, "permission_denied_error", False, "tier 1 or above"),
    "403 balance": Row(403, "permission_denied_error", False, "Top up", f"insufficient balance of {IDS}"),
    "404": Row(404, "resource_not_found_error", False, "another account or region"),
    "429 overloaded": Row(429, "engine_overloaded_error", True, "slow down"),
    "429 requests": Row(429, "rate_limit_reached_error", True, "slow down", f"RPM of {IDS}, wait 1 s", retry_after=1),
    "429 daily tokens": Row(429, "rate_limit_reached_error", False, "tomorrow", f"TPD limit of {IDS} reached"),
    "429 balance": Row(429, "exceeded_current_quota_error", False, "Top up", f"account {IDS} suspended"),
    "499": Row(499, "client_closed_request", True, "fault on the platform's side"),
    "500": Row(500, "server_error", True, "fault on the platform's side"),
    "500 unexpected": Row(500, "unexpected_output", True, "fault on the platform's side"),
    "503": Row(503, "server_unavailable", True, "fault on the platform's side"),
    "504 in HTML": Row(504, "", True, "fault on the platform's side", html=True),
}


@dataclass(frozen=True)
class Place:
    """A call of the chain, and the step that makes it."""

    call: CallName
    step: Callable[["Chain"], object]


@dataclass
class Chain:
    """A chain on a platform whose clock is moved by its pauses."""

    sim: KimiSimulator
    hook: KimiHook
    folder: Path

    def submit(self) -> list[str]:
        return submit(self.hook, order(["a", "b"]), ATTEMPT, LogRecord(), self.sim.advance).batch_ids

    def wait(self) -> None:
        (batch_id,) = self.hook.list_batches().data
        asyncio.run(self._wait(batch_id.id))

    async def _wait(self, batch_id: str) -> None:
        event = await waited(self.hook, self.sim, Watch((batch_id,), 30.0, self.sim.now() + 3600))
        if event.outcome != "ended":
            raise WaitOverError(event.outcome, event.message)

    def land(self) -> None:
        self.sim.advance(60)
        ids = list(self.sim.batches)
        collect(Calls(self.hook, LogRecord(), self.sim.advance), Landing(ids, str(self.folder)))


class WaitOverError(KimiError):
    """The wait ended without the batch: `failed` for good, or `timed_out` after waiting on."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.retryable = outcome == "timed_out"


PLACES = {
    "search": Place("list_batches", Chain.submit),
    "upload": Place("upload_file", Chain.submit),
    "create": Place("create_batch", Chain.submit),
    "poll": Place("get_batch", Chain.wait),
    "download": Place("download_file", Chain.land),
}


@pytest.fixture
def chain(sim: KimiSimulator, connect: Connect, tmp_path: Path) -> Chain:
    return Chain(sim, connect(sim), tmp_path / "out")


def begin(chain: Chain, place: Place) -> None:
    """Come to the step in question, and no further."""
    if place.step is not Chain.submit:
        chain.submit()


def inject(chain: Chain, place: Place, row: Row, times: int | None) -> None:
    fault: dict[str, Any] = {"status": row.status, "message": row.message, "html": row.html, "times": times}
    chain.sim.inject(place.call, error_type=row.error_type, retry_after=row.retry_after, **fault)


def calls(chain: Chain, place: Place) -> int:
    return [call.name for call in chain.sim.journal].count(place.call)


PASSING = {name: row for name, row in ROWS.items() if row.retried}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_an_error_that_lasts_is_reported_and_no_second_batch_is_created(chain: Chain, place: Place, row: Row) -> None:
    """What no retry heals stops at once; what may heal is tried a few times, and then by Airflow."""
    begin(chain, place)
    inject(chain, place, row, times=None)
    before = calls(chain, place)
    with pytest.raises((KimiError, AirflowFailException)) as caught, airflow_errors(None):
        place.step(chain)
    message = str(caught.value)
    is_retried = row.retried or (place.call == "download_file" and row.status in (401, 403, 404))  # it may come late
    assert isinstance(caught.value, AirflowFailException) is not is_retried
    assert "org-" not in message
    assert "ak-" not in message
    assert len([s for s in chain.sim.batches if not chain.sim.status(s).startswith("cancel")]) <= 1
    if is_retried:
        assert calls(chain, place) - before > 1
    else:
        # The input's content is read too, if it is still there; results can be landed without it. A wait doubts a
        # refusal for minutes, and a list is asked for once more without its limit.
        is_limit = place.call == "list_batches" and row is ROWS["400 parameters"]
        most = {"get_batch": 10, "download_file": 2}.get(place.call, 2 if is_limit else 1)
        assert calls(chain, place) - before <= most
        assert caught.match(row.says)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("row", PASSING.values(), ids=PASSING)
def test_a_task_gets_over_an_error_that_passes(chain: Chain, place: Place, row: Row) -> None:
    """One bad answer is not the end of paid work."""
    begin(chain, place)
    inject(chain, place, row, times=1)
    place.step(chain)
    assert len(chain.sim.batches) == 1
    assert calls(chain, place) >= 2


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_task_waits_until_a_rate_limit_lets_it_through(chain: Chain, place: Place) -> None:
    """At three requests a minute a call is refused more often than a fault may last."""
    begin(chain, place)
    inject(chain, place, ROWS["429 requests"], times=6)
    place.step(chain)
    assert len(chain.sim.batches) == 1


@pytest.mark.parametrize("shape", ["error", "type", "text", "response"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_an_error_of_one_row_fails_only_that_row(connect: Connect, tmp_path: Path, row: Row, shape: Any) -> None:
    """A row that the content filter refused has its own status; every one is in the dead letters."""
    code = row.error_type or "server_error"
    spoilt = spoiling({"row-00000002": RowError(code, f"{row.message} for a row", row.status)})
    with KimiSimulator(speed=0, behaviour=Behaviour(error_shape=shape), responder=spoilt) as sim:
        chain = Chain(sim, connect(sim), tmp_path / "out")
        chain.submit()
        chain.land()
    results = read_rows(tmp_path / "out" / "results.jsonl")
    assert results[0]["status"] == "succeeded"
    known = shape in ("error", "type", "response")
    assert results[1]["status"] == ("filtered" if known and code == "content_filter" else "failed")
    assert len(read_rows(tmp_path / "out" / "dead_letter.jsonl")) == 1


def test_rows_that_failed_for_lack_of_balance_fail_the_task_with_that_reason(connect: Connect, tmp_path: Path) -> None:
    """Every row tells the same, and the message repeats it."""
    error = RowError("exceeded_current_quota_error", "suspended due to insufficient balance", 429)
    with KimiSimulator(speed=0, responder=spoiling({f"row-0000000{n}": error for n in (1, 2)})) as sim:
        chain = Chain(sim, connect(sim), tmp_path / "out")
        ids = chain.submit()
        sim.advance(60)
        task = KimiBatchResultsOperator(task_id="results", batch_id=ids, output=str(tmp_path / "out"))
        with pytest.raises(AirflowFailException, match="exceeded_current_quota_error"):
            run_task(task)
