"""Creates whose answer is lost, late or refused: which batch is theirs, and what becomes of their input."""

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiApiError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.odd_platform import odd_platform, refusal
from tests.support.requests import ATTEMPT, TASK, order, submit

SLOW = Timing(validating_seconds=600, working_seconds=3600)

QUOTA: dict[str, Any] = {"status": 429, "error_type": "exceeded_current_quota_error", "message": "no balance"}


def attempt(number: int = 1, map_index: int = -1, **fields: Any) -> Attempt:
    """One attempt; each has a mark of its own."""
    task = replace(TASK, map_index=map_index)
    return replace(ATTEMPT, task=task, number=number, mark=f"{map_index}:{number}", **fields)


def live(sim: KimiSimulator) -> list[str]:
    """The batches that are not cancelled."""
    return [batch_id for batch_id in sim.batches if not sim.status(batch_id).startswith("cancel")]


@pytest.mark.parametrize("is_done", [True, False], ids=["carried out", "not carried out"])
@pytest.mark.parametrize(("reuse", "status"), [("auto", "cancelled"), ("never", "cancelled"), ("never", "completed")])
def test_a_lost_create_is_searched_for_by_its_mark_and_never_by_its_input_file(
    connect: Connect, reuse: str, status: str, is_done: bool
) -> None:
    """An earlier attempt made a batch of the same file, which is over."""
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        wanted = order(["a"], reuse=reuse)
        (old,) = submit(hook, wanted, attempt(1), LogRecord()).batch_ids
        if status == "cancelled":
            hook.cancel_batch(old)
        sim.advance(3600)
        sim.inject("create_batch", status=504, html=True, accepted=is_done)
        (new,) = submit(hook, wanted, attempt(2), LogRecord(), sim.advance).batch_ids
        assert new != old
        assert len(sim.batches) == 2


def test_creates_that_something_else_answers_are_said_to_be(connect: Connect) -> None:
    """A login page stands before the platform."""
    with KimiSimulator(speed=0) as sim:
        sim.inject("create_batch", status=200, html=True, times=2)
        with pytest.raises(KimiError, match="was answered by what is not Kimi's, and no such batch was found"):
            submit(connect(sim), order(["a"]), attempt(), LogRecord(), sim.advance)


def test_a_lost_create_is_found_though_the_list_shows_no_metadata(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(list_metadata=False)) as sim:
        sim.inject("create_batch", drop=True, accepted=True)
        assert submit(connect(sim), order(["a"]), attempt(), LogRecord(), sim.advance).batch_ids == list(sim.batches)


def test_every_create_call_has_a_mark_of_its_own(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.inject("create_batch", status=504, html=True, done_after_seconds=60)
        submit(hook, order(["a"]), attempt(), LogRecord(), sim.advance)
        marks = [str(Tags.of(hook.get_batch(batch_id)).create) for batch_id in sim.batches]
    assert sorted(mark.rpartition(".")[0] for mark in marks) == ["1.1", "1.2"]


def test_a_create_that_is_carried_out_while_the_task_settles_leaves_one_batch(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        sim.inject("create_batch", status=504, html=True, done_after_seconds=60)
        ids = submit(connect(sim), order(["a"]), attempt(), LogRecord(), sim.advance).batch_ids
        assert live(sim) == ids


def test_a_stored_create_that_the_list_shows_after_fifty_seconds_leaves_one_batch(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(list_lag_seconds=50)) as sim:
        sim.inject("create_batch", status=504, html=True, accepted=True)
        ids = submit(connect(sim), order(["a"]), attempt(), LogRecord(), sim.advance).batch_ids
        assert live(sim) == ids


def test_metadata_without_room_for_a_mark_loses_no_create(connect: Connect) -> None:
    own = {f"key {number}": "x" for number in range(8)}
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        (old,) = submit(hook, order(["a"], metadata=own), attempt(1), LogRecord()).batch_ids
        hook.cancel_batch(old)
        sim.advance(60)
        sim.inject("create_batch", drop=True, accepted=True)
        (new,) = submit(hook, order(["a"], metadata=own), attempt(2), LogRecord(), sim.advance).batch_ids
        assert Tags.of(hook.get_batch(new)).create is None
        assert [old, new] == list(sim.batches)


@pytest.mark.parametrize("team", ["", " padded "], ids=["an empty value is dropped", "a value is stripped"])
def test_a_lost_create_is_found_though_the_platform_changes_other_pairs(connect: Connect, team: str) -> None:
    class Changing(KimiHook):
        def create_batch(self, input_file_id: str, *, metadata: Any = None, **rest: Any) -> Any:
            kept = {key: value.strip() for key, value in metadata.items() if value}
            return super().create_batch(input_file_id, metadata=kept, **rest)

    with KimiSimulator(speed=0) as sim:
        connect(sim)
        sim.inject("create_batch", status=502, accepted=True)
        ids = submit(Changing(), order(["a"], metadata={"team": team}), attempt(), LogRecord(), sim.advance).batch_ids
        assert ids == list(sim.batches)


def refused(sim: KimiSimulator, hook: KimiHook, number: int = 1, **wanted: Any) -> KimiError:
    """The error of an attempt."""
    with pytest.raises(KimiError) as caught:
        submit(hook, order(["a"], **wanted), attempt(number), LogRecord(), sim.advance)
    return caught.value


def test_a_refused_create_keeps_the_input_of_an_earlier_one_that_may_have_been_accepted(connect: Connect) -> None:
    """The first create was stored, and the list does not show it yet."""
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(list_lag_seconds=300)) as sim:
        hook = connect(sim)
        sim.inject("create_batch", status=504, html=True, accepted=True)
        sim.inject("create_batch", **QUOTA)
        error = refused(sim, hook)
        assert isinstance(error, KimiApiError)
        assert "may have been accepted" in str(error)
        (batch,) = sim.batches.values()
        assert sim.file_ids("batch") == [batch.input_file_id]
        sim.advance(600)
        assert submit(hook, order(["a"]), attempt(2), LogRecord(), sim.advance).batch_ids == list(sim.batches)


def test_a_refused_fresh_create_keeps_the_input_of_the_batch_that_runs(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        submit(hook, order(["a"], reuse="never"), attempt(1), LogRecord())
        sim.inject("create_batch", **QUOTA)
        refused(sim, hook, 2, reuse="never")
        (batch,) = sim.batches.values()
        assert batch.input_file_id in sim.file_ids("batch")


def test_a_refused_create_keeps_the_input_of_an_expired_batch_with_paid_rows(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=replace(SLOW, working_seconds=100 * 3600)) as sim:
        hook = connect(sim)
        (old,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
        sim.advance(25 * 3600)
        assert sim.status(old) == "expired"
        sim.inject("create_batch", **QUOTA)
        refused(sim, hook, 2)
        assert sim.batches[old].input_file_id in sim.file_ids("batch")


def test_a_refused_create_keeps_an_input_that_a_batch_names_which_the_attempt_did_not_make(connect: Connect) -> None:
    """A retry found the file by its name and made a batch of it, while this attempt was held up."""
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)

        class HeldUp(KimiHook):
            def create_batch(self, input_file_id: str, **rest: Any) -> Any:
                hook.create_batch(input_file_id, metadata={"of": "a retry"})
                return super().create_batch(input_file_id, **rest)

        sim.inject("create_batch", **QUOTA, skip=1)
        refused(sim, HeldUp())
        (batch,) = sim.batches.values()
        assert sim.file_ids("batch") == [batch.input_file_id]


def test_a_refused_create_leaves_no_input_that_only_it_could_name(connect: Connect) -> None:
    with KimiSimulator(speed=0) as sim:
        sim.inject("create_batch", **QUOTA)
        refused(sim, connect(sim))
        assert sim.file_ids("batch") == []


def test_an_input_that_another_key_has_uploaded_is_uploaded_again(connect: Connect) -> None:
    """The key was rotated within the organization, where files are readable by their uploader only."""
    behaviour = Behaviour(file_access="uploader")
    with KimiSimulator(speed=0, behaviour=behaviour, other_keys=["sk-new"]) as sim:
        hook = connect(sim)
        sim.inject("create_batch", status=503, times=2)
        refused(sim, hook)
        rotated = connect(sim, api_key="sk-new")
        ids = submit(rotated, order(["a"]), attempt(2), LogRecord(), sim.advance).batch_ids
        assert ids == list(sim.batches)
        assert len(sim.file_ids("batch")) == 2


@pytest.mark.parametrize("is_made", [True, False])
def test_an_answer_that_shows_the_batch_of_another_call_and_file_is_not_believed(
    connect: Connect, is_made: bool
) -> None:
    """A gateway answers the second create of an account as it has answered the first."""
    with odd_platform() as odd:
        hook = connect(odd)
        wanted = order(["b"], on_changed_input="fresh")
        submit(hook, order(["a"]), attempt(), LogRecord(), odd.advance)
        (old,), make = odd.batches.values(), odd.create

        def kept(sent: Any) -> tuple[int, Any]:
            if is_made:
                make(sent)
            return 200, old

        odd.create = kept
        if is_made:
            ids = submit(hook, wanted, attempt(), LogRecord(), odd.advance).batch_ids
            assert ids == list(odd.batches)[1:]
        else:
            with pytest.raises(KimiError, match="no such batch was found"):
                submit(hook, wanted, attempt(), LogRecord(), odd.advance)


def test_a_lost_create_is_found_by_its_input_file_where_no_metadata_is_kept(connect: Connect) -> None:
    with odd_platform(carries_out=True, refuse=lambda create: refusal("late", 504)) as odd:
        odd.shows = lambda batch: batch | {"metadata": None}
        odd.lists_metadata = False
        ids = submit(connect(odd), order(["a"]), attempt(), LogRecord(), odd.advance).batch_ids
        assert ids == list(odd.batches)
        assert len(ids) == 1
