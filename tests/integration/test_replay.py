"""The replay of the examples asks the dead letters of any result again, and merges the answers into it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.ui.result_view import manifest_of, result_of
from tests.conftest import Connect
from tests.integration.test_merge_with import Platform
from tests.support.rounds import BROKEN, QUICK, YES, Model, check_sums, job, tries
from tests.support.tasks import TaskInstanceRecord

LABELS = ["positive", "negative"]


class Record(TaskInstanceRecord):
    """A task instance that can pull what the mapped `ask` has returned."""

    def xcom_pull(self, task_ids: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == ("ask", 0)
        return self.xcoms["asked"]


class Replay:
    """The DAG of the examples, run task by task as Airflow expands it."""

    def __init__(self, sim: KimiSimulator, **conf: Any) -> None:
        self.sim = sim
        self.dag = DagBag("example_dags/example_kimi_replay.py").dags["example_kimi_replay"]
        self.run_id = f"again_{len(sim.batches)}"
        self.params = {**self.dag.params.dump(), **conf}

    def call(self, task_id: str, *arguments: Any) -> Any:
        function: Any = self.dag.get_task(task_id)
        return function.python_callable(*arguments, params=self.params)

    def run(self) -> list[dict[str, Any]]:
        """Run it, and return the manifests of the tasks that were not skipped."""
        settings = self.call("as_before")
        asked = [self._land("ask", one) for one in settings]
        return [*asked, *(self._land("merge", one, asked[0]) for one in self.call("merges", settings))]

    def _land(self, task_id: str, settings: Mapping[str, Any], asked: Any = None) -> dict[str, Any]:
        mapped: Any = self.dag.get_task(task_id)
        operator = mapped.unmap(settings)
        operator._sleep = self.sim.advance
        ti = Record(task_id, self.dag.dag_id, self.run_id, map_index=0, xcoms={"asked": asked})
        manifest: dict[str, Any] = tries(operator, self.sim, ti=ti, params=self.params, run_id=self.run_id).value
        return manifest


def model(maybe: int = 0, **broken: int) -> Model:
    """Row 2 says no label so many times; these rows fail so many times."""

    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        if times <= broken.get(custom_id, 0):
            return BROKEN
        return Answer("maybe") if custom_id == "r2" and times <= maybe else YES

    return Model(say)


def shown(manifest: object) -> dict[str, Any]:
    """What the page shows of a result."""
    read = manifest_of(manifest)
    assert read is not None
    return result_of(read)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_dead_letters_of_the_one_task_are_asked_again_and_merged(
    connect: Connect, tmp_path: Path, output_format: str
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=model(maybe=2, r5=2, r7=99)) as sim:
        connect(sim)
        form: dict[str, Any] = {"output_schema": LABELS, "output_format": output_format}
        first = tries(job(tmp_path, sim=sim, max_rounds=2, **form), sim).value
        before = files_of(tmp_path / "out")
        conf = shown(first)["replay_conf"]
        assert conf is not None
        asked, merged = Replay(sim, **conf, output_schema=LABELS).run()
    assert [(one["reason"], one["sample"]) for one in shown(first)["failures"]] == [
        ("server_error", ["r5", "r7"]),
        ("schema_mismatch", ["r2"]),
    ]
    assert (asked["counts"]["total"], asked["counts"]["succeeded"]) == (3, 2)
    check_sums(merged, 10)
    assert shown(merged)["failures"] == [{"status": "failed", "reason": "server_error", "count": 1, "sample": ["r7"]}]
    assert merged["merged"] == {"taken": 3}
    assert merged["results_file"] == f"file://{tmp_path}/out/replay/again_2/merged/results.{output_format}"
    assert files_of(tmp_path / "out") == before


def test_dead_letters_of_the_chain_are_asked_again_and_merged_and_those_of_a_replay_too(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=model(r5=1, r6=2, r7=99)) as sim:
        first = Platform(sim, connect(sim), tmp_path).first().manifest
        for left in (["r6", "r7"], ["r7"]):
            conf = shown(first)["replay_conf"]
            assert conf is not None
            _, first = Replay(sim, **conf).run()
            assert [custom_id for one in shown(first)["failures"] for custom_id in one["sample"]] == left
    check_sums(first, 10)
    assert first["batch_ids"] == [*sim.batches]


def test_without_an_earlier_result_the_new_answers_stand_alone(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=model(r5=1, r7=99)) as sim:
        platform = Platform(sim, connect(sim), tmp_path)
        letters = platform.first().manifest["dead_letter_file"]
        (asked,) = Replay(sim, dead_letters=letters, output=str(tmp_path / "b")).run()
    assert (asked["counts"]["total"], asked["results_file"]) == (2, f"file://{tmp_path}/b/again_1/asked/results.jsonl")


@pytest.mark.parametrize("output_schema", [None, LABELS])
@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_what_could_not_be_merged_is_refused_before_anything_is_paid(
    connect: Connect, tmp_path: Path, output_schema: Any, output_format: str
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=model(r5=1, r7=99)) as sim:
        connect(sim)
        form: dict[str, Any] = {"output_schema": output_schema, "output_format": output_format}
        first = tries(job(tmp_path, sim=sim, max_rounds=1, **form), sim).value
        conf, batches = shown(first)["replay_conf"], len(sim.batches)
        assert conf is not None
        with pytest.raises(ValueError, match=r"Only one of .* has Answers to check\. Nothing was sent"):
            Replay(sim, **conf, output_schema=None if output_schema else LABELS).run()
        assert len(sim.batches) == batches


def test_dead_letters_of_another_result_are_refused_before_anything_is_paid(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=model(r5=99)) as sim:
        connect(sim)
        first = tries(job(tmp_path, sim=sim, max_rounds=1), sim).value
        asks_other: dict[str, Any] = {"output": f"{tmp_path}/other", "prompt": "Spam? {text}", "reuse": "never"}
        other = tries(job(tmp_path, sim=sim, max_rounds=1, task_id="other", **asks_other), sim).value
        conf, batches = shown(first)["replay_conf"], len(sim.batches)
        assert conf is not None
        with pytest.raises(
            ValueError, match=r"None of the dead letters is one of the earlier result\. Nothing was sent"
        ):
            Replay(sim, **(conf | {"dead_letters": other["dead_letter_file"]})).run()
        assert len(sim.batches) == batches


def test_dead_letters_that_were_copied_and_may_answer_longer_are_merged(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=model(r5=1, r7=1)) as sim:
        connect(sim)
        first = tries(job(tmp_path, sim=sim, max_rounds=1), sim).value
        conf = shown(first)["replay_conf"]
        assert conf is not None
        (tmp_path / "copy").mkdir()
        letters = [json.loads(line) for line in (tmp_path / "out/dead_letter.jsonl").read_text().splitlines()]
        for letter in letters:
            letter["body"]["max_completion_tokens"] = 4000
        copy = tmp_path / "copy/dead_letter.jsonl"
        copy.write_text("".join(json.dumps(letter) + "\n" for letter in letters))
        _, merged = Replay(sim, **(conf | {"dead_letters": str(copy)})).run()
    assert merged["counts"]["succeeded"] == 10
    assert merged["merged"] == {"taken": 2}
