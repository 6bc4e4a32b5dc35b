"""The process is killed at every point of submit, wait and land, and the retry finds its way."""

import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from tests.crash.chain import ROWS, ROWS_PER_BATCH, SPEED
from tests.crash.processes import Chain, told

SHARDS = -(-len(ROWS) // ROWS_PER_BATCH)


def test_a_death_at_any_point_costs_nothing_and_loses_no_row(chain: Chain, tmp_path: Path) -> None:
    """The points are counted as the chain passes them, so none can be forgotten."""
    for die_at in range(1, 1000):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        with KimiSimulator(speed=SPEED) as platform:
            status = chain.run(platform, folder, 1, die_at)
            if status == -signal.SIGKILL:
                assert chain.run(platform, folder, 2, None) == 0, f"the retry failed after a death at point {die_at}"
            check(platform, folder, die_at)
        if status == 0:
            break
    assert die_at > 60, "hardly any point was passed"


def check(platform: KimiSimulator, folder: Path, die_at: int) -> None:
    """One batch for each shard, each row once, and a whole result."""
    statuses = {batch_id: platform.status(batch_id) for batch_id in platform.batches}
    alive = [batch_id for batch_id, status in statuses.items() if status not in ("cancelled", "cancelling")]
    seen = f"died at point {die_at}; then {told(folder)['points']}; batches {statuses}"
    assert sorted(alive) == sorted(told(folder)["ids"]), seen
    assert len(alive) == SHARDS, seen
    out = folder / "out"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == len(ROWS), seen
    rows = [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]
    assert [row["custom_id"] for row in rows] == [f"row-{number:08}" for number in range(1, len(ROWS) + 1)], seen
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "output.jsonl", "results.jsonl"], seen


#: Rows that fail in the first round; the last one fails in the second, too.
FAIL_ONCE, FAIL_TWICE = ("row-00000001", "row-00000003"), "row-00000003"


def failing(asked: list[str]) -> Any:
    """A model with which three rounds are asked of the second shard, and two of the first; it notes usable answers."""
    times: dict[str, int] = {}

    def respond(request: Mapping[str, Any]) -> Answer | RowError:
        row = request["custom_id"]
        times[row] = times.get(row, 0) + 1
        if times[row] <= (row in FAIL_ONCE) + (row == FAIL_TWICE):
            return RowError("server_error", "try again", 500)
        asked.append(row)
        return Answer("positive")

    return respond


def asked_by_label(platform: KimiSimulator) -> list[tuple[str, list[str]]]:
    """What each batch that was not cancelled has asked for."""
    found = []
    for batch_id, batch in platform.batches.items():
        if not platform.status(batch_id).startswith("cancel"):
            tags = batch.metadata or {}
            lines = platform.file_content(batch.input_file_id).splitlines()
            label = f"{tags['kimi_shard']} {tags.get('kimi_round', 1)}"
            found.append((label, [json.loads(line)["custom_id"] for line in lines]))
    return sorted(found)


def result_of(folder: Path, ids: list[str]) -> dict[str, list[str]]:
    """The lines of the result, without what differs between two runs."""
    return lines_of_result({path.name: path.read_bytes() for path in (folder / "out").iterdir()}, ids)


def lines_of_result(files: Mapping[str, bytes], ids: list[str]) -> dict[str, list[str]]:
    """The same of a result that was read."""
    found = {}
    for name, content in files.items():
        text = re.sub(r'"created":\d+', "", content.decode())
        for place, batch_id in enumerate(ids):
            text = text.replace(batch_id, f"<{place}>")
        found[name] = sorted(text.splitlines())
    del found["manifest.json"]
    found.pop("report.html", None)  # names times
    return found


@pytest.mark.parametrize("step", [9, pytest.param(4, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_death_of_the_one_task_at_any_point_of_any_round_costs_nothing_and_loses_no_row(
    chain: Chain, tmp_path: Path, step: int
) -> None:
    clean: tuple[Any, Any] | None = None
    for die_at in range(0, 1000, step):  # not at all the first time
        folder = tmp_path / str(die_at)
        folder.mkdir()
        usable: list[str] = []
        with KimiSimulator(speed=SPEED, responder=failing(usable)) as platform:
            status = chain.run(platform, folder, 1, die_at or None, job={})
            if status == -signal.SIGKILL:
                seen = f"after a death at point {die_at}"
                assert chain.run(platform, folder, 2, None, job={}) == 0, f"the retry failed {seen}"
            found = asked_by_label(platform), result_of(folder, told(folder)["ids"])
            clean = clean or found
            seen = f"died at point {die_at} of {told(folder)['points']}"
            assert found == clean, seen
            assert sorted(usable) == [f"row-{number:08}" for number in range(1, len(ROWS) + 1)], seen
        if status == 0 and die_at:
            break
    assert die_at > 120, "hardly any point was passed"
    assert [label for label, _ in found[0]] == ["1/2 1", "1/2 2", "2/2 1", "2/2 2", "2/2 3"]


@pytest.mark.parametrize("step", [11, pytest.param(3, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_death_at_any_point_of_a_try_that_halves_a_shard_costs_nothing_and_loses_no_row(
    chain: Chain, tmp_path: Path, step: int
) -> None:
    """Its retry knows nothing of the halves but what is on the platform."""
    clean: Any = None
    labels = set()
    for die_at in range(0, 1000, step):  # not at all the first time
        folder = tmp_path / str(die_at)
        folder.mkdir()
        usable: list[str] = []
        with KimiSimulator(speed=SPEED, responder=failing(usable)) as platform:
            status = chain.run(platform, folder, 1, die_at or None, job={"halves": "2/2"})
            if status == -signal.SIGKILL:
                seen = f"after a death at point {die_at}"
                assert chain.run(platform, folder, 2, None, job={}) == 0, f"the retry failed {seen}"
            seen = f"died at point {die_at} of {told(folder)['points']}"
            assert sorted(usable) == [f"row-{number:08}" for number in range(1, len(ROWS) + 1)], seen
            labels.add(tuple(label for label, _ in asked_by_label(platform)))
        rows = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_bytes().splitlines()]
        found = [{key: value for key, value in row.items() if key != "batch_id"} for row in rows]
        clean = clean or found
        assert found == clean, seen
        if status == 0 and die_at:
            break
    assert die_at > 120, "hardly any point was passed"
    whole = ("1/2 1", "1/2 2", "2/2 1", "2/2 2", "2/2 3")
    second = "2/2 rows 2-2 of 2"
    halved = (*whole[:2], "2/2 rows 1-1 of 2 1", f"{second} 1", f"{second} 2", f"{second} 3")
    assert labels == {whole, halved}


@pytest.mark.parametrize("step", [7, pytest.param(2, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_death_of_a_task_with_a_cache_pays_for_each_new_request_once_and_puts_each_answer_on_its_rows(
    chain: Chain, tmp_path: Path, step: int
) -> None:
    """Rows of the day before are in the cache, and some rows repeat others."""
    clean: Any = None
    for die_at in range(0, 1000, step):  # not at all the first time
        folder = tmp_path / str(die_at)
        folder.mkdir()
        paid: list[str] = []

        def answer(request: Mapping[str, Any], paid: list[str] = paid) -> Answer:
            paid.append(request["body"]["messages"][-1]["content"])
            return Answer(f"about {paid[-1]}")

        shared = {"cache": f"{folder}/cache", "dedupe": True}
        before = {**shared, "run_id": "before", "input": ["a", "b"], "output": f"{folder}/before"}
        job: dict[str, Any] = {**shared, "run_id": "today", "input": ["c", "b", "c", "d", "a", "e", "d"]}
        with KimiSimulator(speed=SPEED, responder=answer) as platform:
            assert chain.run(platform, folder, 1, None, job=before) == 0
            status = chain.run(platform, folder, 1, die_at or None, job=job)
            if status == -signal.SIGKILL:
                assert chain.run(platform, folder, 2, None, job=job) == 0, f"the retry failed after a death at {die_at}"
            seen = f"died at point {die_at} of {told(folder)['points']}"
            tomorrow = {**job, "run_id": "tomorrow", "output": f"{folder}/tomorrow"}
            assert chain.run(platform, folder, 1, None, job=tomorrow) == 0
            assert sorted(paid) == ["a", "b", "c", "d", "e"], seen
        rows = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_bytes().splitlines()]
        assert [row["content"] for row in rows] == [f"about {asked}" for asked in job["input"]], seen
        found = [(row["custom_id"], row["source"], row["prompt_tokens"]) for row in rows]
        clean = clean or found
        assert found == clean, seen
        if status == 0 and die_at:
            break
    assert die_at > 60, "hardly any point was passed"
    assert [source for _, source, _ in clean] == ["batch", "cache", "duplicate", "batch", "cache", "batch", "duplicate"]
