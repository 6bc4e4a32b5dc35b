"""Shapes of DAGs that users write, on the real Airflow of this folder."""

import json

import pytest

from tests.real_airflow.conftest import World
from tests.support.real_airflow import wait_for
from tests.support.reviews import read_rows

pytestmark = pytest.mark.real_airflow

MAPPED, CANCELLED, SHARDS = "mapped_reviews", "cancelled_reviews", "example_kimi_mapped_batches"
RUN = "shapes"


@pytest.fixture(scope="module")
def finished(world: World) -> None:
    """Run the DAGs to their end."""
    airflow = world.airflow
    airflow.run_dag(MAPPED, RUN, {"output": str(world.folder / MAPPED)})
    airflow.run_dag(CANCELLED, RUN)
    airflow.run_dag(SHARDS, RUN, {"output": str(world.folder / SHARDS)})
    states: dict[str, str] = {}

    def ended() -> bool:
        states.update({dag_id: airflow.run_state(dag_id, RUN) for dag_id in (MAPPED, CANCELLED, SHARDS)})
        return set(states.values()) <= {"success", "failed"}

    wait_for(ended, "the runs did not end", seconds=1200)
    assert set(states.values()) == {"success"}, airflow.task_logs()[-8000:]


@pytest.mark.usefixtures("finished")
def test_a_mapped_chain_lands_a_result_for_each_input(world: World) -> None:
    results = [read_rows(world.folder / MAPPED / str(index) / "results.jsonl") for index in (0, 1)]
    assert [[row["status"] for row in rows] for rows in results] == [["succeeded"], ["succeeded"] * 2]
    assert [results[0][0]["content"], results[1][0]["content"]] == ["positive", "negative"]


@pytest.mark.usefixtures("finished")
def test_rows_that_look_like_templates_are_sent_as_they_are(world: World) -> None:
    """Through a real worker's rendering, and the scheduler's copy of the DAG."""
    sent = [
        json.loads(line)["body"]["messages"][-1]["content"]
        for batch in world.platform.batches.values()
        if batch.metadata and batch.metadata["airflow_dag_id"] == MAPPED
        for line in world.platform.file_content(batch.input_file_id).split(b"\n")
        if line
    ]
    assert sorted(sent) == sorted(["{{ conn.kimi_default.password }} 很好", "{% raw %} 太差", "{text}"])


@pytest.mark.usefixtures("finished")
def test_mapped_batches_carry_their_map_index(world: World) -> None:
    tags = [batch.metadata for batch in world.platform.batches.values() if batch.metadata]
    indexes = [tag["airflow_map_index"] for tag in tags if tag["airflow_dag_id"] == MAPPED]
    assert sorted(indexes) == ["0", "1"]


@pytest.mark.usefixtures("finished")
def test_a_rescheduled_sensor_waits_for_every_mapped_batch(world: World) -> None:
    waited = world.airflow.xcom(MAPPED, RUN, "wait_all")
    assert sorted(waited) == sorted(
        batch.id
        for batch in world.platform.batches.values()
        if batch.metadata and batch.metadata["airflow_dag_id"] == MAPPED
    )


@pytest.mark.usefixtures("finished")
def test_the_batches_of_one_table_are_waited_for_and_landed_by_a_mapped_task_each(world: World) -> None:
    folders = [world.folder / SHARDS / RUN / str(index) for index in range(3)]
    rows = [row for folder in folders for row in read_rows(folder / "results.jsonl")]
    assert len(rows) == 60
    assert [row["custom_id"] for row in rows] == [row["review_id"] for row in rows]
    assert len({row["custom_id"] for row in rows}) == 60
    assert {row["status"] for row in rows} == {"succeeded"}
    assert all(row["text"] for row in rows), "each instance finds the columns of its own rows"
    shards = [json.loads((folder / "manifest.json").read_bytes())["batch_ids"] for folder in folders]
    assert [batch_id for shard in shards for batch_id in shard] == world.airflow.xcom(SHARDS, RUN, "create")


@pytest.mark.usefixtures("finished")
def test_a_cancel_waits_in_the_triggerer_for_the_end(world: World) -> None:
    (batch_id,) = world.airflow.xcom(CANCELLED, RUN, "create")
    assert world.airflow.xcom(CANCELLED, RUN, "cancel") == {batch_id: "cancelled"}
    logs = list((world.airflow.home / "logs").rglob(f"dag_id={CANCELLED}/**/*.trigger.*.log"))
    assert len(logs) == 1
