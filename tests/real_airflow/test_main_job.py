"""The main job on real scheduler, dag processor, triggerer and API server processes."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.real_airflow.conftest import FAILED_ROWS, MISSING_ROWS, ODD_ANSWER, ODD_ANSWER_ROWS, World
from tests.support.real_airflow import wait_for
from tests.support.reviews import COUNT, read_rows

pytestmark = pytest.mark.real_airflow

EXAMPLE, FAULTY = "example_kimi_batch", "label_reviews"
RUN = "main_job"


@pytest.fixture(scope="module")
def finished(world: World) -> dict[str, set[str]]:
    """Run both DAGs to their end, and return the states that their waiting tasks were seen in."""
    airflow = world.airflow
    for dag_id in (EXAMPLE, FAULTY):
        airflow.run_dag(dag_id, RUN, {"input": str(world.reviews), "output": str(world.folder / dag_id)})
    seen: dict[str, set[str]] = {EXAMPLE: set(), FAULTY: set()}

    def ended() -> bool:
        for dag_id in seen:
            seen[dag_id].add(airflow.task_states(dag_id, RUN).get("wait", "-"))
        return all(airflow.run_state(dag_id, RUN) in ("success", "failed") for dag_id in seen)

    try:
        wait_for(ended, "the runs did not end", seconds=1200)
    finally:
        print({dag_id: airflow.task_states(dag_id, RUN) for dag_id in seen}, airflow.task_logs()[-8000:])
    return seen


def result_folder(world: World, dag_id: str) -> Path:
    return world.folder / dag_id / RUN if dag_id == EXAMPLE else world.folder / dag_id


@pytest.mark.usefixtures("finished")
class TestTwoThousandReviews:
    def test_two_thousand_reviews_come_back_once_each_joined_by_id(self, world: World) -> None:
        rows = read_rows(result_folder(world, EXAMPLE) / "results.jsonl")
        reviews = read_rows(world.reviews)
        assert len(reviews) == COUNT
        assert [(row["custom_id"], row["text"]) for row in rows] == [(r["review_id"], r["text"]) for r in reviews]
        assert Counter(row["status"] for row in rows) == {"succeeded": COUNT}
        assert {row["content"] for row in rows} == {"positive", "negative"}

    def test_reviews_come_back_in_order_though_the_platform_shuffles_them(self, world: World) -> None:
        landed = [row["custom_id"] for row in read_rows(result_folder(world, EXAMPLE) / "output.jsonl")]
        asked = [row["review_id"] for row in read_rows(world.reviews)]
        assert landed != asked
        assert sorted(landed) == sorted(asked)

    def test_two_thousand_reviews_end_in_a_manifest_that_adds_up(self, world: World) -> None:
        manifest = world.airflow.xcom(EXAMPLE, RUN, "results")
        assert manifest == json.loads((result_folder(world, EXAMPLE) / "manifest.json").read_text())
        assert manifest["counts"]["total"] == manifest["counts"]["succeeded"] == COUNT
        assert world.airflow.xcom(EXAMPLE, RUN, "results", "output_file") == manifest["output_file"]

    def test_two_thousand_reviews_cost_one_batch_and_the_next_task_counts_them(self, world: World) -> None:
        tags = [batch.metadata for batch in world.platform.batches.values() if batch.metadata]
        assert [tag["airflow_run_id"] for tag in tags if tag["airflow_dag_id"] == EXAMPLE] == [RUN]
        assert sum(world.airflow.xcom(EXAMPLE, RUN, "count_labels").values()) == COUNT


class TestTheWait:
    @pytest.mark.parametrize("dag_id", [EXAMPLE, FAULTY])
    def test_the_wait_was_really_deferred(self, finished: dict[str, set[str]], dag_id: str) -> None:
        assert "deferred" in finished[dag_id]

    @pytest.mark.parametrize("dag_id", [EXAMPLE, FAULTY])
    @pytest.mark.usefixtures("finished")
    def test_the_wait_ran_in_the_triggerer_process(self, world: World, dag_id: str) -> None:
        """A trigger logs into a file of its own, named after the triggerer's job; the worker cannot write it."""
        logs = list((world.airflow.home / "logs").rglob(f"dag_id={dag_id}/**/*.trigger.*.log"))
        assert len(logs) == 1
        job = re.search(r"\.trigger\.(\d+)\.log$", logs[0].name)
        assert job is not None
        jobs = world.airflow.call("GET", "/api/v2/jobs?job_type=TriggererJob")["jobs"]
        assert int(job[1]) in [found["id"] for found in jobs]
        text = logs[0].read_text()
        assert re.search(r"[\d,]+ of 2,000 rows completed.*: batch batch_\w+ is completed", text)


@pytest.mark.usefixtures("finished")
class TestThroughFaults:
    def test_every_row_of_a_job_with_faults_has_the_right_status(self, world: World) -> None:
        rows = read_rows(result_folder(world, FAULTY) / "results.jsonl")
        assert [row["custom_id"] for row in rows] == [review["review_id"] for review in read_rows(world.reviews)]
        assert tuple(n for n, row in enumerate(rows) if row["status"] == "missing") == MISSING_ROWS
        assert tuple(n for n, row in enumerate(rows) if row["status"] == "failed") == FAILED_ROWS
        assert tuple(n for n, row in enumerate(rows) if row["content"] == ODD_ANSWER) == ODD_ANSWER_ROWS
        assert Counter(row["status"] for row in rows) == {"succeeded": COUNT - 5, "missing": 3, "failed": 2}

    def test_the_manifest_of_a_job_with_faults_is_partial(self, world: World) -> None:
        manifest = world.airflow.xcom(FAULTY, RUN, "results")
        assert manifest["status"] == "partial"
        assert {name: count for name, count in manifest["counts"].items() if count} == {
            **{"total": COUNT, "succeeded": COUNT - 5, "failed": 2, "missing": 3},
        }
        assert len(read_rows(result_folder(world, FAULTY) / "error.jsonl")) == 2
        assert len(read_rows(result_folder(world, FAULTY) / "dead_letter.jsonl")) == 5

    def test_all_faults_of_the_job_did_happen(self, world: World) -> None:
        polls = [call.status for call in world.faulty_platform.journal if call.name == "get_batch"]
        assert polls.count(500) == 12
        assert len(polls) >= 23
        downloads = [call for call in world.faulty_platform.journal if call.name == "download_file"]
        assert len(downloads) >= 4
        assert [call.name for call in world.faulty_platform.journal].count("create_batch") == 1

    def test_no_key_is_in_any_log(self, world: World) -> None:
        assert "sk-simulator" not in world.airflow.task_logs()
