"""A cancel is asked for where it can help, and a batch that ended first is a result."""

import json
from dataclasses import dataclass, field

import pytest

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import acancel_batch, cancel_batch, cancel_batches
from airflow_provider_kimi.calls.patience import PAUSES_SECONDS, Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.raw_server import connect_to, raw_server, reply
from tests.support.requests import no_pause
from tests.support.samples import TERMINAL, UNKNOWN, make_batch
from tests.support.triggers import created

CANCELLABLE = ("validating", "in_progress", *UNKNOWN)
LEFT_ALONE = ("finalizing", "cancelling", *TERMINAL)


@dataclass
class Platform:
    """Answers reads and cancels with these batches in turn, or raises these faults, and keeps what was asked."""

    answers: list[Batch | KimiError]
    asked: list[str] = field(default_factory=list)

    async def aget_batch(self, batch_id: str) -> Batch:
        return self._answer("get_batch")

    async def acancel_batch(self, batch_id: str) -> Batch:
        return self._answer("cancel_batch")

    def _answer(self, call: str) -> Batch:
        self.asked.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, KimiError):
            raise answer
        return answer


def too_late(status_code: int = 400) -> KimiApiError:
    return KimiApiError("too late.", status_code=status_code, retryable=status_code == 409)


@pytest.mark.parametrize("status", CANCELLABLE, ids=repr)
async def test_a_batch_that_can_be_cancelled_is_read_and_then_cancelled(status: str) -> None:
    platform = Platform([make_batch(status), make_batch("cancelling")])
    assert (await acancel_batch(platform, "b")).status == "cancelling"
    assert platform.asked == ["get_batch", "cancel_batch"]


@pytest.mark.parametrize("status", LEFT_ALONE)
async def test_a_batch_that_a_cancel_cannot_help_is_read_only(status: str) -> None:
    platform = Platform([make_batch(status)])
    assert (await acancel_batch(platform, "b")).status == status
    assert platform.asked == ["get_batch"]


@pytest.mark.parametrize("status", CANCELLABLE, ids=repr)
async def test_a_batch_that_was_just_read_is_cancelled_without_a_read(status: str) -> None:
    platform = Platform([make_batch("cancelling")])
    assert (await acancel_batch(platform, "b", make_batch(status))).status == "cancelling"
    assert platform.asked == ["cancel_batch"]


@pytest.mark.parametrize("status", LEFT_ALONE)
async def test_a_batch_that_was_just_read_and_cannot_be_cancelled_needs_no_call(status: str) -> None:
    platform, seen = Platform([]), make_batch(status)
    assert await acancel_batch(platform, "b", seen) is seen
    assert platform.asked == []


@pytest.mark.parametrize("refused_by", [400, 409])
@pytest.mark.parametrize("status", LEFT_ALONE)
async def test_a_refused_cancel_is_believed_where_the_batch_stands_so_that_none_can_help(
    status: str, refused_by: int
) -> None:
    platform = Platform([too_late(refused_by), make_batch(status)])
    assert (await acancel_batch(platform, "b", make_batch())).status == status
    assert platform.asked == ["cancel_batch", "get_batch"]


@pytest.mark.parametrize("status", CANCELLABLE, ids=repr)
async def test_a_refused_cancel_of_a_batch_that_runs_is_a_fault_that_passes(status: str) -> None:
    platform = Platform([too_late(), make_batch(status)])
    with pytest.raises(KimiBatchError, match="goes on and is billed") as caught:
        await acancel_batch(platform, "b", make_batch())
    assert caught.value.retryable
    assert platform.asked == ["cancel_batch", "get_batch"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(KimiApiError("no.", status_code=401), id="HTTP 401"),
        pytest.param(KimiApiError("no.", status_code=404), id="HTTP 404"),
        pytest.param(KimiApiError("no.", status_code=429, retryable=True), id="HTTP 429"),
        pytest.param(KimiApiError("no.", status_code=500, retryable=True), id="HTTP 500"),
        pytest.param(KimiApiError("no.", status_code=None), id="an answer that is not the platform's"),
        pytest.param(KimiNoAnswerError("no."), id="no answer"),
    ],
)
async def test_another_fault_of_a_cancel_is_raised(fault: KimiError) -> None:
    platform = Platform([fault])
    with pytest.raises(type(fault)) as caught:
        await acancel_batch(platform, "b", make_batch())
    assert caught.value is fault
    assert platform.asked == ["cancel_batch"]


@pytest.mark.parametrize("fault", [too_late(), KimiNoAnswerError("no.")], ids=["HTTP 400", "no answer"])
async def test_a_fault_of_the_read_before_a_cancel_is_raised(fault: KimiError) -> None:
    with pytest.raises(type(fault)) as caught:
        await acancel_batch(Platform([fault]), "b")
    assert caught.value is fault


async def test_a_fault_of_the_read_after_a_refused_cancel_is_raised() -> None:
    platform = Platform([too_late(), KimiNoAnswerError("no answer")])
    with pytest.raises(KimiNoAnswerError, match="no answer"):
        await acancel_batch(platform, "b", make_batch())


def asked(sim: KimiSimulator) -> list[str]:
    """The calls about single batches, in order."""
    return [call.name for call in sim.journal if call.name in ("get_batch", "cancel_batch")]


def refuse(sim: KimiSimulator, times: int | None = 1) -> None:
    sim.inject("cancel_batch", status=400, error_type="invalid_request_error", message="not now", times=times)


class Ending(KimiHook):
    """A hook under whose cancels the batches go on."""

    def __init__(self, sim: KimiSimulator) -> None:
        super().__init__()
        self._sim = sim

    def cancel_batch(self, batch_id: str) -> Batch:
        try:
            return super().cancel_batch(batch_id)
        finally:
            self._sim.advance(60)


def test_cancel_batch_cancels_a_batch_that_runs(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    log = LogRecord()
    assert cancel_batch(Calls(hook, log), batch_id).status == "cancelling"
    assert (asked(sim), sim.status(batch_id)) == (["get_batch", "cancel_batch"], "cancelling")
    assert log.infos == []


@pytest.mark.parametrize("seconds", [0, 60], ids=["cancelling", "cancelled"])
def test_cancel_batch_asks_for_nothing_where_a_cancel_was_asked_for_before(
    sim: KimiSimulator, hook: KimiHook, seconds: float
) -> None:
    (batch_id,) = created(hook, 1)
    hook.cancel_batch(batch_id)
    sim.advance(seconds)
    log = LogRecord()
    assert cancel_batch(Calls(hook, log), batch_id).status == sim.status(batch_id)
    assert (asked(sim), log.infos) == (["cancel_batch", "get_batch"], [])


def test_cancel_batch_logs_that_an_ended_batch_cannot_be_cancelled(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    sim.advance(60)
    log = LogRecord()
    status = cancel_batch(Calls(hook, log), batch_id).status
    assert (status, asked(sim)) == (sim.status(batch_id), ["get_batch"])
    assert log.infos == [f"Batch {batch_id} is {status}: there is nothing to cancel."]


def test_cancel_batch_does_not_touch_a_batch_that_assembles_its_results(connect: Connect) -> None:
    """A cancel at that time was seen to lose rows that are billed."""
    timing = Timing(validating_seconds=0, working_seconds=0, finalizing_seconds=600)
    with KimiSimulator(speed=0, timing=timing, behaviour=Behaviour(cancel_in_finalizing=True)) as sim:
        hook = connect(sim)
        (batch_id,) = created(hook, 1)
        assert cancel_batch(Calls(hook, LogRecord()), batch_id).status == "finalizing"
        assert asked(sim) == ["get_batch"]


def test_cancel_batch_returns_a_batch_that_ended_between_the_read_and_the_cancel(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    (batch_id,) = created(hook, 1)
    refuse(sim)
    assert cancel_batch(Calls(Ending(sim), LogRecord()), batch_id).is_terminal
    assert asked(sim) == ["get_batch", "cancel_batch", "get_batch"]


def test_cancel_batch_asks_again_where_a_batch_that_is_validating_refuses_it(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    (batch_id,) = created(hook, 1)
    refuse(sim, times=2)
    assert cancel_batch(Calls(hook, LogRecord(), no_pause), batch_id).status == "cancelling"
    assert asked(sim) == ["get_batch", *["cancel_batch", "get_batch"] * 2, "cancel_batch"]


def test_cancel_batch_fails_retryably_where_a_batch_that_runs_refuses_it_for_ever(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    (batch_id,) = created(hook, 1)
    sim.advance(10)
    refuse(sim, times=None)
    with pytest.raises(KimiBatchError, match=f"although {batch_id} is in_progress") as caught:
        cancel_batch(Calls(hook, LogRecord(), no_pause), batch_id)
    assert caught.value.retryable


def test_the_cancel_operator_does_not_end_green_where_a_batch_that_runs_refuses_it(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    """The wait for the end would end with a batch that is completed, and paid."""
    batch_ids = created(hook, 2)
    refuse(sim, times=None)
    with pytest.raises(KimiBatchError, match="2 of 2 batches could not be cancelled") as caught:
        cancel_batches(Calls(hook, LogRecord(), no_pause), batch_ids)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("call", "status"),
    [("get_batch", 400), ("get_batch", 404), ("cancel_batch", 401), ("cancel_batch", 404), ("cancel_batch", 422)],
)
def test_cancel_batch_raises_any_other_refusal(sim: KimiSimulator, hook: KimiHook, call: str, status: int) -> None:
    (batch_id,) = created(hook, 1)
    sim.inject(call, status=status)  # type: ignore[arg-type]
    with pytest.raises(KimiApiError) as caught:
        cancel_batch(Calls(hook, LogRecord(), no_pause), batch_id)
    assert caught.value.status_code == status
    assert asked(sim)[-1] == call


@pytest.mark.parametrize("call", ["get_batch", "cancel_batch"])
def test_cancel_batch_repeats_a_call_that_meets_a_passing_fault(sim: KimiSimulator, hook: KimiHook, call: str) -> None:
    (batch_id,) = created(hook, 1)
    sim.inject(call, status=502, times=2)  # type: ignore[arg-type]
    slept: list[float] = []
    assert cancel_batch(Calls(hook, LogRecord(), slept.append), batch_id).status == "cancelling"
    assert asked(sim).count(call) == 3
    assert slept == list(PAUSES_SECONDS[:2])


def test_cancel_batch_returns_a_batch_whose_first_cancel_was_not_answered(sim: KimiSimulator, hook: KimiHook) -> None:
    """The second cancel is refused with 400, because the first one was accepted."""
    (batch_id,) = created(hook, 1)
    sim.inject("cancel_batch", drop=True, accepted=True)
    assert cancel_batch(Calls(hook, LogRecord(), no_pause), batch_id).status == "cancelling"
    assert asked(sim) == ["get_batch", "cancel_batch", "cancel_batch", "get_batch"]


def test_cancel_batch_raises_the_last_of_too_many_faults(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    sim.inject("cancel_batch", status=502, times=None)
    with pytest.raises(KimiApiError, match=batch_id) as caught:
        cancel_batch(Calls(hook, LogRecord(), no_pause), batch_id)
    assert caught.value.retryable
    assert asked(sim).count("cancel_batch") == len(PAUSES_SECONDS) + 1


def test_cancel_batches_returns_every_batch_in_the_order_of_the_ids(sim: KimiSimulator, hook: KimiHook) -> None:
    first, second = created(hook, 2)
    batches = cancel_batches(Calls(hook, LogRecord()), [second, first])
    assert [(batch.id, batch.status) for batch in batches] == [(second, "cancelling"), (first, "cancelling")]
    assert cancel_batches(Calls(hook, LogRecord()), []) == []


def test_cancel_batches_cancels_the_others_where_one_is_unknown_and_says_how_they_stand(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    first, second = created(hook, 2)
    with pytest.raises(KimiBatchError) as caught:
        cancel_batches(Calls(hook, LogRecord(), no_pause), [first, "batch_gone", second])
    assert [sim.status(batch_id) for batch_id in (first, second)] == ["cancelling", "cancelling"]
    message = str(caught.value)
    assert message.startswith("1 of 3 batches could not be cancelled.")
    assert "'batch_gone'" in message
    assert f"The others: {first} is cancelling, {second} is cancelling." in message
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("statuses", "retryable"),
    [
        pytest.param([404, 502], True, id="one fault may pass"),
        pytest.param([404, 401], False, id="no fault may pass"),
    ],
)
def test_cancel_batches_may_be_retried_if_one_of_its_faults_may_pass(
    sim: KimiSimulator, hook: KimiHook, statuses: list[int], retryable: bool
) -> None:
    batch_ids = created(hook, 2)
    for status in statuses:
        repeated = 1 + (len(PAUSES_SECONDS) if status >= 500 else 0)
        sim.inject("cancel_batch", status=status, times=repeated)
    with pytest.raises(KimiBatchError, match="2 of 2 batches could not be cancelled") as caught:
        cancel_batches(Calls(hook, LogRecord(), no_pause), batch_ids)
    assert caught.value.retryable is retryable
    assert "The others" not in str(caught.value)


async def test_acancel_batch_reads_a_batch_and_cancels_it(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    assert (await acancel_batch(hook, batch_id)).status == "cancelling"
    await hook.aclose()
    assert asked(sim) == ["get_batch", "cancel_batch"]


async def test_acancel_batch_cancels_a_batch_that_was_just_read_in_one_call(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    assert (await acancel_batch(hook, batch_id, make_batch("in_progress", batch_id))).status == "cancelling"
    await hook.aclose()
    assert asked(sim) == ["cancel_batch"]


async def test_acancel_batch_reads_a_batch_again_whose_cancel_came_too_late(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    sim.advance(60)
    ended = await acancel_batch(hook, batch_id, make_batch("in_progress", batch_id))
    await hook.aclose()
    assert (ended.status, asked(sim)) == (sim.status(batch_id), ["cancel_batch", "get_batch"])


async def test_acancel_batch_sends_each_call_once(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = created(hook, 1)
    sim.inject("cancel_batch", status=502)
    with pytest.raises(KimiApiError, match=batch_id):
        await acancel_batch(hook, batch_id)
    await hook.aclose()
    assert asked(sim) == ["get_batch", "cancel_batch"]


def test_a_cancel_that_another_server_refuses_because_it_came_too_late_is_a_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers that others wrote say 409 where Kimi says 400."""
    running, ended = (json.dumps({"id": "b", "status": status}).encode() for status in ("in_progress", "completed"))
    refused = False

    def answer(request: bytes) -> list[bytes]:
        nonlocal refused
        if request.startswith(b"POST"):
            refused = True
            return [reply(b"{}", "409 Conflict")]
        return [reply(ended if refused else running)]

    with raw_server(answer) as server:
        calls = Calls(connect_to(monkeypatch, server.base_url), LogRecord(), no_pause)
        assert cancel_batch(calls, "b").status == "completed"
        assert len(server.requests) == 3
