"""Killed or failing at any moment of its landing, a result is whole, old or new, and a retry completes it."""

import json
from itertools import count
from random import Random

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.outside import plain_location
from airflow_provider_kimi.results.output_directory import OutputDirectory
from tests.crash.conftest import Rewriting, Scene
from tests.crash.lander import Fate, FateKind
from tests.crash.places import result_in, staged_in
from tests.crash.s3_gate import GateKind

#: Each test lands dozens of times, which takes minutes beside others; the limit only ends one that hangs.
pytestmark = pytest.mark.timeout(1200)

KILLS = 6


def test_a_result_is_whole_whenever_its_landing_is_killed(scene: Scene) -> None:
    """At random moments, half of which lie where the files appear; every other time over another batch's result."""
    used = scene.place("used")
    whole, seconds = {}, 0.0
    for batch_id in scene.platform.many:
        status, seconds, _ = scene.lander.land([batch_id], used.output, scene.work)
        whole[batch_id] = used.files()
        assert (status, len(whole[batch_id])) == (0, 5)
    moments = Random(20261127)
    for number in range(KILLS):
        batch_id, other = scene.platform.many[:: 1 if number % 4 < 2 else -1]
        place = used if number % 2 else scene.place(f"new-{number}")
        expected = {name: _moved(content, used.output, place.output) for name, content in whole[batch_id].items()}
        after = moments.uniform(0 if number % 8 < 4 else 0.7 * seconds, seconds)
        scene.lander.land([batch_id], place.output, scene.work, kill_after=after)
        found = place.files()
        seen = f"kill {number}, after {after:.3f} of {seconds:.3f} s, left {sorted(found)}"
        nothing = None if place is not used else result_in(whole[other])
        assert result_in(found) in (result_in(expected), nothing), seen
        assert scene.lander.land([batch_id], place.output, scene.work).status == 0, seen
        assert place.files() == expected, seen


def _moved(content: bytes, before: str, after: str) -> bytes:
    """A file that names its directory, as Airflow does and as any program does, in another one."""
    for written in (str, plain_location):
        content = content.replace(written(before).encode(), written(after).encode())
    return content


@pytest.mark.parametrize(
    ("scene", "rewriting"),
    [
        ("local", "csv"),
        ("local", "jsonl"),
        ("s3", "csv"),
        pytest.param("s3", "jsonl", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_killed_at_each_change_of_the_directory_the_result_is_the_old_or_the_new_one(rewriting: Rewriting) -> None:
    scene = rewriting.scene
    for at in count(1):
        rewriting.begin()
        if scene.gate:
            scene.gate.set("killed", at, scene.kill)
        fate: Fate = None if scene.gate else ("killed", at)
        run = scene.lander.land(scene.platform.few, rewriting.place.output, scene.work, fate=fate)
        seen = f"killed at {at}{scene.gate.seen[-1:] if scene.gate else ''}"
        if scene.gate:
            scene.gate.open()
        assert run.status in (0, -9), f"{seen}: {run.told}"
        rewriting.check(seen)
        if run.status == 0:
            break
    assert at > 10
    rewriting.assert_both_were_seen()


@pytest.mark.parametrize("scene", ["local", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_killed_at_each_change_a_merge_leaves_the_earlier_result_or_the_whole_one(scene: Scene) -> None:
    place, shown = scene.place("merged"), []
    first, again = scene.platform.few[0], scene.platform.asked_again()
    assert scene.lander.land([first], place.output, scene.work).status == 0
    old = place.files()
    assert scene.lander.land([again], place.output, scene.work, merge_with=place.output).status == 0
    new = place.files()
    assert json.loads(new["manifest.json"])["batch_ids"] == [first, again]
    for at in count(1):
        place.restore(old)
        if scene.gate:
            scene.gate.set("killed", at, scene.kill)
        fate: Fate = None if scene.gate else ("killed", at)
        run = scene.lander.land([again], place.output, scene.work, fate=fate, merge_with=place.output)
        if scene.gate:
            scene.gate.open()
        found = result_in(place.files())
        assert found in (result_in(old), result_in(new)), f"killed at {at}"
        shown.append(found == result_in(new))
        assert scene.lander.land([again], place.output, scene.work, merge_with=place.output).status == 0
        assert place.files() == new, f"killed at {at}"
        if run.status == 0:
            break
    assert at > 10
    assert shown == sorted(shown), "once it is the new one, it stays so"
    assert not shown[0]


@pytest.mark.parametrize("rewriting", ["csv"], indirect=True)
@pytest.mark.parametrize("scene", ["local"], indirect=True)
def test_killed_again_while_it_finishes_what_a_killed_landing_has_begun_the_result_is_the_new_one(
    rewriting: Rewriting,
) -> None:
    scene, place = rewriting.scene, rewriting.place

    def land(at: int) -> int:
        return scene.lander.land(scene.platform.few, place.output, scene.work, fate=("killed", at)).status

    for first in count(1):
        rewriting.begin()
        assert land(first) == -9
        begun = place.files()
        if result_in(begun) == result_in(rewriting.new):
            break
    for at in count(1):
        place.restore(begun)
        status = land(at)
        assert result_in(place.files()) == result_in(rewriting.new), f"killed at {first}, then at {at}"
        scene.land(place)
        assert place.files() == rewriting.new, f"killed at {first}, then at {at}"
        if status == 0:
            break
    assert at > 30, "it finishes the first landing, and lands again"


@pytest.mark.parametrize("rewriting", ["csv"], indirect=True)
@pytest.mark.parametrize("scene", ["local"], indirect=True)
@pytest.mark.parametrize("kind", ["fails", "full", "short"])
def test_a_disk_that_fails_at_any_change_leaves_the_old_result_or_the_new_one(
    rewriting: Rewriting, kind: FateKind
) -> None:
    scene, faults = rewriting.scene, 0
    for at in count(1):
        rewriting.begin()
        run = scene.lander.land(scene.platform.few, rewriting.place.output, scene.work, fate=(kind, at))
        changes, fault = run.told["changes"], run.told["fault"]
        seen = f"{kind} at {changes[at - 1 : at]}: {fault}"
        assert not fault.startswith("Kimi"), f"{seen}; a retry may help"
        faults += bool(fault)
        rewriting.check(seen, is_tidy=True)
        if len(changes) < at:
            break
    assert faults > 5
    rewriting.assert_both_were_seen()


@pytest.mark.parametrize("rewriting", ["csv"], indirect=True)
@pytest.mark.parametrize("scene", ["s3"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        pytest.param("refused", False, id="a change is refused"),
        pytest.param("lost", False, id="a change is carried out"),
        pytest.param("down", False, id="down from a change on", marks=pytest.mark.slow),
        pytest.param("refused", True, id="a read is refused", marks=pytest.mark.slow),
        pytest.param("down", True, id="down from a read on", marks=pytest.mark.slow),
    ],
)
def test_a_storage_that_answers_500_at_any_request_leaves_the_old_result_or_the_new_one(
    rewriting: Rewriting, kind: GateKind, reads: bool
) -> None:
    gate = rewriting.scene.gate
    assert gate is not None
    faults = removals = 0
    for at in count(1):
        rewriting.begin()
        gate.set(kind, at, reads=reads)
        fault: Exception | None = None
        try:
            rewriting.scene.land(rewriting.place)
        except OSError as error:
            fault = error
        except KimiInputError as error:
            pytest.fail(f"{kind} at {gate.seen[at - 1 : at]}: {error}; a retry may help")
        seen = f"{kind} at {gate.seen[at - 1 : at]}: {fault!r}"
        if kind != "down" and any(request.startswith("DELETE") for request in gate.seen[at - 1 : at]):
            removals += 1
            assert fault is None, f"{seen}; what cannot be removed fails no landing"
        is_over = len(gate.seen) < at
        gate.open()
        faults += fault is not None
        rewriting.check(seen, is_tidy=kind != "down")
        if is_over:
            break
    assert faults > 5
    assert removals or reads or kind == "down"
    rewriting.assert_both_were_seen()


@pytest.mark.parametrize("scene", ["local", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_of_two_mapped_tasks_that_land_in_one_directory_at_once_one_lands_whole_and_the_other_says_so(
    scene: Scene,
) -> None:
    batches, faults = scene.platform.few, set()
    for number in range(20):
        place = scene.place(f"both-{number}")
        runs = scene.lander.land_at_once(batches, place.output, scene.work)
        found = place.files()
        seen = f"round {number}: {[run.told for run in runs]}, left {sorted(found)}"
        assert sorted(run.status for run in runs) == [0, 1], seen
        winner = [run.status for run in runs].index(0)
        result = result_in(found)
        assert result is not None, seen
        assert result.manifest["batch_ids"] == [batches[winner]], seen
        assert not staged_in(found), seen
        assert {*found} == {*result.files, "manifest.json"}, seen
        faults.add(runs[1 - winner].told["fault"].partition(":")[0])
    assert faults <= {"OvertakenError", "KimiInputError"}


@pytest.mark.parametrize("scene", ["s3"], indirect=True)
def test_a_manifest_that_another_landing_replaces_while_it_is_read_is_read_whole(scene: Scene) -> None:
    place = scene.place("read")
    place.restore({"manifest.json": b"old"})
    assert scene.gate is not None
    directory = OutputDirectory(place.output)
    scene.gate.set("late", 2, lambda: place.put("manifest.json", b"another"), reads=True)
    found = directory.manifest_bytes()
    scene.gate.open()
    assert found == b"another"


@pytest.mark.parametrize("scene", ["local", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_killed_at_each_change_a_landing_keeps_the_rows_that_were_not_sent(scene: Scene) -> None:
    place, left = scene.place("saved"), set()
    batch_id = scene.platform.repeating(place.output)
    before = place.files()
    (hidden,) = before
    assert scene.lander.land([batch_id], place.output, scene.work).status == 0
    new = place.files()
    assert new["saved.jsonl"] == before[hidden]
    assert [json.loads(line)["source"] for line in new["results.jsonl"].splitlines()] == ["batch", "duplicate"] * 5
    for at in count(1):
        place.restore(before)
        if scene.gate:
            scene.gate.set("killed", at, scene.kill)
        fate: Fate = None if scene.gate else ("killed", at)
        run = scene.lander.land([batch_id], place.output, scene.work, fate=fate)
        if scene.gate:
            scene.gate.open()
        found = place.files()
        assert result_in(found) in (None, result_in(new)), f"killed at {at}"
        assert hidden in found or result_in(found) == result_in(new), f"killed at {at}"
        left.add((hidden in found, "saved.jsonl" in found))
        assert scene.lander.land([batch_id], place.output, scene.work).status == 0
        assert place.files() == new, f"killed at {at}"
        if run.status == 0:
            break
    assert at > 10
    assert left == {(True, False), (True, True), (False, True)}
