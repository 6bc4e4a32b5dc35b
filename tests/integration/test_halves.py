"""A shard that was halved is found, finished and landed like one that was not, and no row is paid twice."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_kimi.account.remote_files import files_of_landed
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.halves import halved, halved_by
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.rounds import (
    BROKEN,
    QUICK,
    YES,
    Model,
    asked_in,
    expire,
    job,
    manifest,
    tries,
)

ROWS = [f"r{n}" for n in range(11)]

#: Of 11 rows in two shards, 6 and 5.
CUT = ("1/2", "1/2 rows 1-3 of 6", "2/2")

#: What differs between two runs of the same job.
OF_A_RUN = {
    "created_at",
    "completed_at",
    "batch_ids",
    "landed_by",
    "dead_letter_digest",
}  # letters name uploaded images


def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
    """A few rows fail at first, two always."""
    number = sum(map(int, filter(str.isdigit, custom_id)))
    return BROKEN if number in (4, 9) or (number % 3 == 1 and times == 1) else YES


def ask(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """A prompt that a template cannot make."""
    return [{"role": "user", "content": row["text"].upper()}]


def table(folder: Path, rows: int = 11, without_text: tuple[int, ...] = ()) -> str:
    """A table, in which some rows have no text to ask about."""
    lines = [
        json.dumps(
            {"id": f"r{n}", "text": "" if n in without_text else f"review {n}", "photo": f"{folder.parent}/{n % 3}.png"}
        )
        for n in range(rows)
    ]
    for n in range(3):
        (folder.parent / f"{n}.png").write_bytes(b"\x89PNG\r\n\x1a\n%d" % n)
    path = folder / "table.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


def content_of(folder: Path) -> dict[str, Any]:
    """All files of a result, without what differs between two runs; the lines of answers in any order."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "out").glob("*.jsonl")):
        text = re.sub(rb"file_[0-9a-z]{20}", b"an image", path.read_bytes())
        rows = [json.loads(line) for line in text.splitlines()]
        if path.name in ("output.jsonl", "error.jsonl"):
            found[path.name] = sorted(json.dumps([row["custom_id"], row.get("error")]) for row in rows)
        else:
            found[path.name] = [{key: value for key, value in row.items() if key != "batch_id"} for row in rows]
    named = {key: value for key, value in manifest(folder).items() if key not in OF_A_RUN}
    return found | {"manifest": {key: str(value).replace(str(folder), "") for key, value in named.items()}}


SKIPS = {"on_invalid_row": "skip"}
FUNCTION: dict[str, Any] = {"prompt": None, "messages": ask}

#: Skipped rows around every place at which these shards are cut.
AROUND_THE_CUTS = (0, 1, 5, 6, 9, 10, 13, 14, 17, 18)


@pytest.mark.parametrize(
    ("parameters", "rows", "without_text"),
    [
        pytest.param({}, 11, (), id="template"),
        pytest.param({"key_column": None}, 11, (), id="rows without a key"),
        pytest.param({"max_rounds": 1}, 11, (), id="no rounds"),
        pytest.param(FUNCTION, 11, (), id="function"),
        pytest.param({**FUNCTION, "key_column": None}, 11, (), id="function, rows without a key"),
        pytest.param({**FUNCTION, "metadata": {f"k{n}": "v" for n in range(7)}}, 11, (), id="notes in a file"),
        pytest.param({"image_column": "photo", "media": "upload"}, 11, (), id="images"),
        pytest.param(SKIPS, 21, AROUND_THE_CUTS, id="skipped rows"),
        pytest.param({**SKIPS, "key_column": None}, 21, AROUND_THE_CUTS, id="skipped rows without a key"),
        pytest.param({**SKIPS, **FUNCTION}, 21, AROUND_THE_CUTS, id="function, skipped rows"),
    ],
)
def test_the_result_is_that_of_a_job_that_was_not_halved(
    connect: Connect, tmp_path: Path, parameters: dict[str, Any], rows: int, without_text: tuple[int, ...]
) -> None:
    found = []
    for cut in ((), CUT):
        folder = tmp_path / ("halved" if cut else "whole")
        folder.mkdir()
        with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
            connect(sim)
            wanted = {"input": table(folder, rows, without_text), "max_rows_per_batch": 6, **parameters}
            task = job(folder, sim=sim, **wanted)
            first = halved_by(task, *cut)
            has_file = any(file.given_name.endswith("-note.jsonl") for file in KimiHook().list_files())
            assert has_file is ("metadata" in parameters)
            assert len(first) == (5 if cut else 2)
            value = tries(task, sim, 2).value
            assert value["batch_ids"] != first or task.max_rounds == 1
            asked = Counter(custom_id for ids in asked_in(sim)[: len(first)] for custom_id in ids)
            assert set(asked.values()) == {1}
        found.append(content_of(folder))
    whole, in_parts = found
    for name, content in whole.items():
        assert in_parts[name] == content, name
    assert in_parts.keys() == whole.keys()


def test_parts_that_wait_for_room_are_created_in_their_turn(connect: Connect, tmp_path: Path) -> None:
    """They are uploaded by the retry of a try that was refused, and created one after the other."""
    found = []
    for cut in ((), CUT):
        folder = tmp_path / ("halved" if cut else "whole")
        folder.mkdir()
        with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
            connect(sim)
            task = job(folder, sim=sim, input=table(folder), max_rows_per_batch=6, max_in_flight=1, **FUNCTION)
            sim.inject("create_batch", skip=1, status=400)
            with pytest.raises(AirflowException):
                halved_by(task, *cut)
            ids = tries(task, sim, 2).value["batch_ids"]
            names = [str(Tags.of(KimiHook().get_batch(each)).shard_name) for each in ids]
            if cut:
                parts = ["1/2 rows 1-2 of 6", "1/2 rows 3-3 of 6", "1/2 rows 4-6 of 6"]
                assert list(dict.fromkeys(names)) == [*parts, "2/2"], "the second shard was not halved yet"
        found.append(content_of(folder))
    whole, in_parts = found
    assert in_parts == whole


@pytest.mark.parametrize("try_number", [1, 2], ids=["same try", "retry"])
def test_a_further_round_asks_the_rest_of_a_part_that_expired(
    connect: Connect, tmp_path: Path, try_number: int
) -> None:
    model = Model(lambda custom_id, times, body: YES)
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, 20, sim=sim)
        parts = halved_by(task, "1/1")
        expire(sim)()
        if try_number == 2:
            sim.advance(100)
        manifest = tries(task, sim, try_number).value
        assert manifest["batch_ids"][:2] == parts
        assert manifest["counts"]["succeeded"] == 20
        assert manifest["by_round"][0]["requests"] == 20
        assert 0 < manifest["by_round"][1]["requests"] < 10
        assert set(model.asked.values()) == {1}, "no row was paid twice"
        assert Tags.of(KimiHook().get_batch(manifest["batch_ids"][2])).label == "1/1 rows 11-20 of 20 round 2"


def test_one_part_is_landed_alone_with_its_own_rows(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    """Rows that were left out between two parts are of one of them, and no row of the other is taken for added."""
    source = table(tmp_path, 21, AROUND_THE_CUTS)
    wanted = order(source, prompt="{text}", key_column="id", on_invalid_row="skip")
    ids = halved(hook, wanted, ATTEMPT, "1/1", "1/1 rows 7-11 of 11")
    sim.advance(60)
    found = [land(hook, tmp_path / str(at), [part], input=source) for at, part in enumerate(ids)]
    alone = [row for landed in found for row in landed.rows()]
    assert [row["id"] for row in alone] == [f"r{n}" for n in range(21)]
    assert [row["custom_id"] for row in alone if row["status"] == "invalid"] == [f"r{n}" for n in AROUND_THE_CUTS]
    assert {landed.manifest["input_changes"]["added"] for landed in found} == {0}
    fingerprints = {landed.manifest["input_fingerprint"] for landed in found}
    whole = land(hook, tmp_path / "all", ids, input=source)
    assert fingerprints == {whole.manifest["input_fingerprint"]}
    assert whole.rows() == alone


def test_a_row_that_came_to_the_input_is_known_as_added_once_all_parts_are_there(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    wanted = order(table(tmp_path, 5), prompt="{text}", key_column="id")
    ids = halved(hook, wanted, ATTEMPT, "1/1")
    sim.advance(60)
    landed = land(hook, tmp_path / "all", ids, input=table(tmp_path, 6))
    assert landed.manifest["input_changes"] == {"changed": 0, "removed": 0, "added": 1, "not_compared": 0}


def test_a_shard_and_its_parts_in_one_result_are_one_row_for_each_request(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """As where somebody gives all ids of a job by hand."""
    wanted = order([f"review {n}" for n in range(7)])
    parts = halved(hook, wanted, ATTEMPT, "1/1")
    (whole,) = submit(hook, replace(wanted, reuse="never"), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    landed = land(hook, tmp_path, [*parts, whole])
    assert [row["custom_id"] for row in landed.rows()] == [f"row-{n:08}" for n in range(1, 8)]
    assert landed.manifest["counts"]["total"] == 7


def test_what_a_job_shares_is_deleted_only_with_its_last_part(sim: KimiSimulator, hook: KimiHook) -> None:
    wanted = order(["a", "", "c", "d"], on_invalid_row="skip", max_rows_per_batch=2)
    ids = halved(hook, wanted, ATTEMPT, "2/2")
    batches = [hook.get_batch(batch_id) for batch_id in ids]
    skipped = Tags.of(batches[0]).skipped_file
    assert skipped not in files_of_landed(batches[:1] + batches[2:])
    assert skipped not in files_of_landed(batches[:2])
    assert skipped in files_of_landed(batches)
