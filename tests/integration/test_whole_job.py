"""The one task does what the chain of operators does: the same batches, files and manifest, in every mode."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, task

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.s3 import Storage
from tests.support.tasks import run_task, run_to_end

LABELS = ["positive", "negative"]
ASKED: dict[str, Any] = {
    "prompt": "Is this review positive or negative? {text}",
    "key_column": "id",
    "output_schema": LABELS,
    "max_rows_per_batch": 4,
}
#: What differs between two runs of the same job.
OF_A_RUN = {"created_at", "completed_at", "batch_ids", "landed_by"}


def table(place: str, rows: int = 10) -> str:
    texts = ("很好，喜欢", "太差，失望")
    lines = [json.dumps({"id": f"r{n}", "text": texts[n % 2], "source": n}) + "\n" for n in range(rows)]
    path = ObjectStoragePath(f"{place}/reviews.jsonl")
    path.write_text("".join(lines))
    return str(path)


def job(place: str, **parameters: Any) -> KimiBatchOperator:
    own = {"task_id": "job", "poke_interval": 0.2, "input": table(place), "output": f"{place}/job"}
    return KimiBatchOperator(**{**own, **ASKED, **parameters})


def by_chain(place: str) -> dict[str, Any]:
    source = table(place)
    create = KimiCreateBatchOperator(task_id="label", input=source, **ASKED)
    ids = run_task(create).value
    ids = run_to_end(KimiBatchSensor(task_id="wait", batch_id=ids)).value
    results = KimiBatchResultsOperator(
        task_id="label", batch_id=ids, output=f"{place}/chain", input=source, output_schema=LABELS
    )
    manifest: dict[str, Any] = run_task(results).value
    return manifest


def content_of(place: str, ids: list[str]) -> dict[str, list[str]]:
    """The lines of a result, in any order, without what differs between two runs."""
    found = {}
    for path in ObjectStoragePath(place).iterdir():
        text = re.sub(r'"created":\d+', '"created":0', path.read_text())
        for number, batch_id in enumerate(ids):
            text = text.replace(batch_id, f"<{number}>")
        found[path.name] = text.splitlines() if path.name == "results.jsonl" else sorted(text.splitlines())
    del found["manifest.json"], found["report.html"]  # name the run, and its times
    return found


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an empty directory."""
    if request.param == "disk":
        return f"file://{tmp_path}"
    storage: Storage = request.getfixturevalue("s3")
    return storage.uri("jobs")


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_one_task_lands_the_files_and_the_manifest_of_the_chain(
    connect: Connect, place: str, deferrable: bool
) -> None:
    with KimiSimulator(speed=10) as sim:
        connect(sim)
        chain = by_chain(place)
        attempt = run_to_end(job(place, deferrable=deferrable))
    manifest = attempt.value
    assert len(manifest["batch_ids"]) == 3
    assert content_of(f"{place}/job", manifest["batch_ids"]) == content_of(f"{place}/chain", chain["batch_ids"])
    same = {name: str(value).replace("/job/", "/chain/") for name, value in manifest.items() if name not in OF_A_RUN}
    assert same == {name: str(value) for name, value in chain.items() if name not in OF_A_RUN}
    pushed = attempt.ti.xcoms
    assert (pushed["batch_ids"], pushed["output_file"]) == (manifest["batch_ids"], manifest["output_file"])
    assert pushed["request_count"] == 10
    assert pushed["progress"]["completed"] == 10


def test_a_retry_of_the_one_task_attaches_to_its_batches(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=10) as sim:
        connect(sim)
        first = run_task(job(str(tmp_path)))
        assert first.deferred is not None
        again = run_to_end(job(str(tmp_path)))
        assert sorted(sim.batches) == sorted(again.value["batch_ids"])
    assert again.value["status"] == "completed"


def rows_of(day: str, source: str = "app", **context: Any) -> Any:
    yield from ({"id": f"{day}-{n}", "text": "很好", "source": f"{source} {context['ti'].task_id}"} for n in range(3))


def test_the_decorator_labels_what_a_function_yields(connect: Connect, tmp_path: Path) -> None:
    with DAG("reviews", schedule=None), KimiSimulator(speed=10) as sim:
        connect(sim)
        label: Any = task.kimi_batch(output=str(tmp_path), poke_interval=0.2, **ASKED)(rows_of)
        attempt = run_to_end(label("2026-11-30", source="web").operator)
    assert attempt.value["counts"]["succeeded"] == 3
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(row["custom_id"], row["source"]) for row in rows] == [(f"2026-11-30-{n}", "web rows_of") for n in range(3)]
    assert attempt.value["input_changes"] == dict.fromkeys(("changed", "removed", "added", "not_compared"), 0)


@pytest.mark.parametrize(
    ("output", "problem"), [("", "holds the input"), ("/taken", "holds the file results.jsonl, which no result")]
)
def test_the_one_task_refuses_an_output_before_it_pays(
    connect: Connect, tmp_path: Path, output: str, problem: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "results.jsonl").write_text("of somebody else")
    table = tmp_path / "reviews.jsonl"
    table.write_text('{"id": "a", "text": "good"}\n')
    with KimiSimulator() as sim:
        connect(sim)
        task = KimiBatchOperator(
            task_id="label", input=str(table), output=f"{tmp_path}{output}", prompt="{text}", key_column="id"
        )
        with pytest.raises(KimiInputError, match=rf"{problem}.*\. Nothing was sent\. Choose"):
            run_task(task)
        assert not sim.batches
