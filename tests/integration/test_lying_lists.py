"""Lists of batches that are not whole: a later attempt finds its work, or sends nothing."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.submit import Submission
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

SLOW = Timing(validating_seconds=600, working_seconds=3600)

DAY = 86_400


def started(sim: KimiSimulator, hook: KimiHook, *, others: int = 0, **wanted: Any) -> str:
    """The batch of a first attempt that died before it could return it, below newer batches of somebody else."""
    submit(hook, order(["a"], **wanted), ATTEMPT, LogRecord())
    (batch_id,) = sim.batches
    if others:
        file_id = hook.upload_file(BytesIO(sim.file_content(str(sim.batches[batch_id].input_file_id))), "x.jsonl").id
    for _ in range(others):
        sim.advance(1)
        hook.create_batch(file_id, metadata={"team": "another"})
    return batch_id


def retried(sim: KimiSimulator, hook: KimiHook, **wanted: Any) -> Submission:
    """What the next attempt comes to."""
    attempt = replace(ATTEMPT, number=2, run_after=sim.now() - DAY)
    return submit(hook, order(["a"], **wanted), attempt, LogRecord(), sim.advance)


LIES = {
    "after is ignored": {"list_after": "ignored"},
    "after is ignored and has_more is absent": {"list_after": "ignored", "has_more": "absent"},
    "after is ignored and has_more is false": {"list_after": "ignored", "has_more": "false"},
    "every page behind the first is empty": {"list_after": "empty"},
    "has_more is false on a full page": {"list_after": "empty", "has_more": "false"},
    "has_more is absent and the second page empty": {"list_after": "empty", "has_more": "absent"},
    "after is ignored and there are no times": {
        "list_after": "ignored",
        "has_more": "absent",
        "list_created_at": False,
    },
    "after is ignored on pages of twenty": {"list_after": "ignored", "has_more": "false", "max_list_limit": 20},
}


@pytest.mark.parametrize("lie", LIES)
def test_where_the_list_is_not_whole_nothing_is_sent(connect: Connect, lie: str) -> None:
    behaviour = Behaviour(**LIES[lie])  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=SLOW, behaviour=behaviour) as sim:
        hook = connect(sim)
        started(sim, hook, others=150)
        count = len(sim.batches)
        with pytest.raises(KimiBatchError, match="Nothing was sent.*delete the files there and clear this task"):
            retried(sim, hook)
        assert len(sim.batches) == count


@pytest.mark.parametrize("others", [19, 99], ids=["20 batches", "100 batches"])
def test_a_list_that_ends_with_a_full_page_is_whole_if_it_goes_on_behind_its_middle(
    connect: Connect, others: int
) -> None:
    """The first attempt died between its upload and its create."""
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.inject("create_batch", status=503, times=2)
        with pytest.raises(KimiBatchError):
            submit(hook, order(["a"]), ATTEMPT, LogRecord(), sim.advance)
        (file_id,) = sim.file_ids("batch")
        for _ in range(others + 1):
            hook.create_batch(file_id, metadata={"team": "another"})
        (made,) = retried(sim, hook).batch_ids
        assert len(sim.batches) == others + 2
        assert sim.status(made) == "validating"


TRUTHS = {
    "has_more is false but pages go on": {"has_more": "false"},
    "has_more is absent": {"has_more": "absent"},
    "running batches come first": {"list_order": "running_first"},
    "there are no times": {"list_created_at": False},
    "there is no metadata": {"list_metadata": False},
    "the list is oldest first": {"list_order": "oldest_first"},
}


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_later_attempt_finds_its_batch_wherever_and_however_the_list_shows_it(connect: Connect, truth: str) -> None:
    behaviour = Behaviour(**TRUTHS[truth])  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=SLOW, behaviour=behaviour) as sim:
        hook = connect(sim)
        own = started(sim, hook, others=150)
        assert retried(sim, hook).batch_ids == [own]


def test_a_batch_that_the_list_shows_without_metadata_and_file_is_read_by_its_id(connect: Connect) -> None:
    behaviour = Behaviour(list_metadata=False, list_input_file=False)
    with KimiSimulator(speed=0, timing=SLOW, behaviour=behaviour) as sim:
        hook = connect(sim)
        own = started(sim, hook, others=5)
        assert retried(sim, hook).batch_ids == [own]


def test_too_many_batches_without_metadata_and_file_are_no_proof(connect: Connect) -> None:
    behaviour = Behaviour(list_metadata=False, list_input_file=False)
    with KimiSimulator(speed=0, timing=SLOW, behaviour=behaviour) as sim:
        hook = connect(sim)
        started(sim, hook, others=30)
        with pytest.raises(KimiBatchError, match="31 batches of this time without their metadata"):
            retried(sim, hook)


def test_a_batch_that_ended_is_found_behind_running_ones_of_long_ago(connect: Connect) -> None:
    """The list shows running and ended batches apart, so a time of long ago ends only one of its groups."""
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        own = started(sim, hook)
        sim.advance(3600)
        assert sim.status(own) == "completed"
        for age in range(120, 0, -1):
            made_at = int(sim.now()) - 5 * DAY - age
            sim.add_odd_batch({"id": f"batch_of_{age}", "status": "in_progress", "created_at": made_at})
        assert retried(sim, hook).batch_ids == [own]


def test_where_no_file_has_the_name_of_the_work_a_retry_submits_at_once(connect: Connect) -> None:
    """The first attempt died before its upload, and the list of batches is no proof of anything."""
    behaviour = Behaviour(list_after="ignored", has_more="absent")
    with KimiSimulator(speed=0, behaviour=behaviour) as sim:
        paused: list[float] = []
        attempt = replace(ATTEMPT, number=2)
        submit(connect(sim), order(["a"]), attempt, LogRecord(), paused.append)
        assert len(sim.batches) == 1
        assert 12.0 not in paused


def test_a_batch_of_a_later_attempt_is_withdrawn_where_the_list_does_not_show_it(connect: Connect) -> None:
    """The first batch is stored, and the list shows nothing that is younger than an hour."""
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(list_lag_seconds=3600)) as sim:
        hook = connect(sim)
        first = started(sim, hook)
        with pytest.raises(KimiBatchError, match="does not show even the batch that was made just now") as caught:
            retried(sim, hook)
        assert caught.value.retryable
        assert sim.status(first) == "validating"
        (second,) = set(sim.batches) - {first}
        assert sim.status(second) == "cancelling"
        sim.advance(3600)
        assert retried(sim, hook).batch_ids == [first]


def test_a_batch_of_a_later_attempt_stays_once_the_list_shows_it(connect: Connect) -> None:
    """The first attempt died between its upload and its create."""
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(list_lag_seconds=50)) as sim:
        hook = connect(sim)
        sim.inject("create_batch", status=503, times=2)
        with pytest.raises(KimiBatchError, match="no such batch was found"):
            submit(hook, order(["a"]), ATTEMPT, LogRecord(), sim.advance)
        assert retried(sim, hook).batch_ids == list(sim.batches)
        assert len(sim.file_ids("batch")) == 1


def test_a_list_of_files_that_is_not_whole_is_no_proof(connect: Connect) -> None:
    """The platform says that there are more files, and shows the same ones again."""

    class Cut(KimiHook):
        def list_all_files(self) -> Any:
            return replaced(super().list_all_files(), data=[], has_more=True)

    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(list_lag_seconds=40)) as sim:
        own = started(sim, connect(sim))
        assert retried(sim, Cut()).batch_ids == [own]
        others = [batch_id for batch_id in sim.batches if batch_id != own]
        assert all(sim.status(batch_id).startswith("cancel") for batch_id in others)


@pytest.mark.parametrize("shape", [{}, {"status": None}, {"metadata": []}, {"id": "x", "status": None, "data": None}])
def test_an_odd_batch_of_a_stranger_stops_no_create(connect: Connect, shape: dict[str, Any]) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.add_odd_batch(shape)
        own = started(sim, hook)
        assert retried(sim, hook).batch_ids == [own]


def test_a_refused_limit_of_the_list_stops_no_create(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(refused_limit=20)) as sim:
        hook = connect(sim)
        own = started(sim, hook, others=30)
        assert retried(sim, hook).batch_ids == [own]


def test_one_404_on_a_noted_batch_stops_no_retry(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        own = started(sim, hook)
        sim.inject("get_batch", status=404, error_type="resource_not_found_error")
        assert retried(sim, hook).batch_ids == [own]
