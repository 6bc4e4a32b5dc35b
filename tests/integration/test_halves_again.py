"""A retry, a clear and attempts at the same time find the parts of a shard, and pay for no row twice."""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.submit import checked_job
from tests.conftest import Connect
from tests.support.halves import cut, halved
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

ROWS = [f"review {number}" for number in range(10)]
ALL = [f"row-{number:08}" for number in range(1, 11)]

#: Ten rows in one shard of which the first half is halved once more: 3, 2 and 5 rows.
CUT = ("1/1", "1/1 rows 1-5 of 10")

SLOW = Timing(validating_seconds=600)


class KilledError(BaseException):
    """The process ends."""


def die(seconds: float) -> None:
    """Be killed in a pause."""
    raise KilledError


def attempt(number: int) -> Attempt:
    return replace(ATTEMPT, number=number, mark=str(number))


def shards(sim: KimiSimulator, ids: list[str]) -> list[str]:
    return [(sim.batches[batch_id].metadata or {})["kimi_shard"] for batch_id in ids]


def asked(sim: KimiSimulator) -> Counter[str]:
    """How often each row was asked by batches that were not cancelled."""
    return Counter(
        json.loads(line)["custom_id"]
        for batch_id, batch in sim.batches.items()
        if not sim.status(batch_id).startswith("cancel")
        for line in sim.file_content(str(batch.input_file_id)).splitlines()
    )


def calls(sim: KimiSimulator, name: str) -> int:
    return [call.name for call in sim.journal].count(name)


def again(sim: KimiSimulator, hook: KimiHook, number: int = 2, **wanted: Any) -> list[str]:
    """What an attempt returns that knows nothing of the halves."""
    return submit(hook, order(ROWS, **wanted), attempt(number), LogRecord(), sim.advance).batch_ids


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(list_metadata=False)], ids=["list", "list without tags"])
def test_a_retry_and_a_clear_attach_to_every_part(connect: Connect, tmp_path: Path, behaviour: Behaviour) -> None:
    with KimiSimulator(speed=0, behaviour=behaviour) as sim:
        hook = connect(sim)
        first = halved(hook, order(ROWS), ATTEMPT, *CUT)
        assert shards(sim, first) == ["1/1 rows 1-3 of 10", "1/1 rows 4-5 of 10", "1/1 rows 6-10 of 10"]
        assert again(sim, hook) == first
        sim.advance(3600)
        assert again(sim, hook, 3) == first
        assert asked(sim) == Counter(ALL)
        landed = land(hook, tmp_path, first[::-1])
        assert [row["custom_id"] for row in landed.rows()] == ALL
        assert landed.manifest["batch_ids"] == first


@pytest.mark.parametrize("made", [1, 2])
def test_a_retry_makes_only_the_parts_that_are_missing_and_uploads_no_file_twice(connect: Connect, made: int) -> None:
    """The first attempt is killed in the pause after a refusal, when the next part is uploaded."""
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.inject("create_batch", skip=made, status=429, error_type="engine_overloaded_error")
        with pytest.raises(KilledError):
            halved(hook, order(ROWS), ATTEMPT, *CUT, sleep=die)
        uploads = calls(sim, "upload_file")
        ids = again(sim, hook)
        assert asked(sim) == Counter(ALL)
        assert ids[:made] == list(sim.batches)[:made]
        assert shards(sim, ids) == ["1/1 rows 1-3 of 10", "1/1 rows 4-5 of 10", "1/1 rows 6-10 of 10"]
        assert uploads == made + 1
        assert calls(sim, "upload_file") - uploads == 2 - made


@pytest.mark.parametrize("is_done", [True, False], ids=["carried out", "not carried out"])
def test_a_part_whose_create_was_not_answered_is_made_once(connect: Connect, is_done: bool) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.inject("create_batch", skip=1, status=504, html=True, accepted=is_done)
        ids = halved(hook, order(ROWS), ATTEMPT, *CUT, sleep=sim.advance)
        assert again(sim, hook) == ids
        assert asked(sim) == Counter(ALL)


def test_the_rest_of_a_part_that_ended_early_is_asked_alone(connect: Connect, tmp_path: Path) -> None:
    timing = Timing(validating_seconds=0, working_seconds=200_000)
    with KimiSimulator(speed=0, timing=timing) as sim:
        hook = connect(sim)
        rows = [f"review {number}" for number in range(40)]
        first = halved(hook, order(rows), ATTEMPT, "1/1")
        sim.batches[first[0]].expires_at = sim.now() + 90_000
        sim.batches[first[1]].expires_at = sim.now() + 900_000
        sim.advance(300_000)
        assert [sim.status(batch_id) for batch_id in first] == ["expired", "completed"]
        done = hook.get_batch(first[0]).counts.completed
        assert 0 < done < 20
        wanted = order(rows)
        ids = submit(hook, wanted, attempt(2), LogRecord(), sim.advance).batch_ids
        assert [ids[0], ids[2]] == first
        assert shards(sim, ids) == ["1/1 rows 1-20 of 40", "1/1 rows 1-20 of 40", "1/1 rows 21-40 of 40"]
        sim.batches[ids[1]].expires_at = sim.now() + 900_000
        sim.advance(300_000)
        assert submit(hook, wanted, attempt(3), LogRecord(), sim.advance).batch_ids == ids
        landed = land(hook, tmp_path, ids)
        assert landed.statuses == {"succeeded": 40}
        assert asked(sim).total() == 40 + 20 - done


def test_parts_that_the_task_state_store_names_need_no_search(connect: Connect) -> None:
    class Store(dict[str, Any]):
        def set(self, key: str, value: Any) -> None:
            self[key] = json.loads(json.dumps(value))

    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook, store = connect(sim), Store()
        first = halved(hook, order(ROWS), ATTEMPT, *CUT, memory=store)
        searches = calls(sim, "list_batches")
        assert halved(hook, order(ROWS), attempt(2), memory=store) == first
        assert calls(sim, "list_batches") == searches


def test_fresh_work_is_one_batch_again_and_counts_from_then_on(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        first = halved(hook, order(ROWS), ATTEMPT, *CUT)
        sim.advance(60)
        (fresh,) = again(sim, hook, reuse="never")
        assert fresh not in first
        assert again(sim, hook, 3) == [fresh]
        assert {sim.status(batch_id) for batch_id in first} == {"validating"}, "it was passed over, and is no double"


def test_halves_of_a_file_on_the_platform_are_those_of_the_input(connect: Connect, tmp_path: Path) -> None:
    """So a create that is refused later needs no input: its file and its tags say all."""
    with KimiSimulator(speed=0) as sim, checked_job(Calls(connect(sim), LogRecord()), order(ROWS), ATTEMPT) as (job, _):
        (whole,) = job.shards
        (tmp_path / "file").write_bytes(b"".join(line + b"\n" for line in whole.content.lines()))
        content, origin = Slice(tmp_path / "file", 0, whole.content.size, 10), job.tags(whole).input_fingerprint
        read = Shard(1, content, content.fingerprint(), origin=origin)
        for label in CUT:
            job = cut(job, label)
            assert list(map(job.tags, read.halves)) == list(map(job.tags, job.shards[:2]))
            assert [half.fingerprint for half in read.halves] == [shard.fingerprint for shard in job.shards[:2]]
            read = read.halves[0]


def made_late(sim: KimiSimulator, hook: KimiHook) -> str:
    """A create of the whole shard is carried out that was not answered."""
    body: Mapping[str, Any] = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = b"".join(json.dumps({"custom_id": name, **line}).encode() + b"\n" for name in ALL)
    of_part = next(iter(sim.batches.values())).metadata or {}
    file = hook.upload_file(BytesIO(lines), "whole.jsonl")
    return hook.create_batch(file.id, metadata={**of_part, "kimi_shard": "1/1", "kimi_create": "1.1.late"}).id


def test_a_whole_batch_that_comes_after_all_parts_is_cancelled(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        first = halved(hook, order(ROWS), ATTEMPT, "1/1")
        sim.advance(60)
        late = made_late(sim, hook)
        assert again(sim, hook) == first
        assert sim.status(late).startswith("cancel")
        assert asked(sim) == Counter(ALL)


def test_a_whole_batch_that_comes_before_the_last_part_counts(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        sim.inject("create_batch", skip=1, status=400)
        with pytest.raises(KimiApiError):
            halved(hook, order(ROWS), ATTEMPT, "1/1")
        (part,) = sim.batches
        sim.advance(60)
        late = made_late(sim, hook)
        assert again(sim, hook) == [late]
        assert sim.status(part).startswith("cancel")
        assert asked(sim) == Counter(ALL)


#: How much faster than real time the platform runs in a race, and so do the pauses.
SPEED = 100.0


@pytest.mark.parametrize("labels", [("1/1",), CUT], ids=["halves", "halves of a half"])
@pytest.mark.parametrize(
    ("tries", "lag", "races"),
    [((1, 1), 0, 25), ((1, 2), 0, 15), ((2, 1), 0, 15), ((2, 3), 0, 15), ((2, 3), 10, 5)],
    ids=str,
)
def test_of_two_attempts_at_once_one_of_which_halves_each_row_is_paid_once(
    connect: Connect, tries: tuple[int, int], lag: int, races: int, labels: tuple[str, ...]
) -> None:
    with KimiSimulator(speed=SPEED, timing=SLOW, behaviour=Behaviour(list_lag_seconds=lag)) as sim:
        hook = connect(sim)
        for number in range(races):
            barrier, task = threading.Barrier(2), TaskIdentity("dag", f"run_{number}", "create")

            def pause(seconds: float) -> None:
                time.sleep(seconds / SPEED)

            def one(place: int, barrier: threading.Barrier = barrier, task: TaskIdentity = task) -> list[str]:
                barrier.wait()
                one_try = Attempt(task, number=tries[place], mark=str(place))
                return halved(hook, order(ROWS), one_try, *(labels if place else ()), sleep=pause)

            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(one, (0, 1))
            assert first == second, "both return the same batches"
            mine = [batch for batch in sim.batches.values() if f"run_{number}" in (batch.metadata or {}).values()]
            alive = [batch.id for batch in mine if not sim.status(batch.id).startswith("cancel")]
            assert sorted(alive) == sorted(first), "what runs is what is returned"
            names = [Tags.of(hook.get_batch(batch_id)).shard for batch_id in first]
            assert len(names) in (1, len(labels) + 1), names
