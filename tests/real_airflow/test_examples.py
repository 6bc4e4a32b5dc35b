"""Every example runs on a real Airflow, and does what its text says."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.ui.result_view import manifest_of, replay_conf
from tests.real_airflow.conftest import World
from tests.support.real_airflow import wait_for
from tests.support.reviews import read_rows
from tests.support.rounds import QUICK, Model, failing, job, tries

pytestmark = pytest.mark.real_airflow

RUN = "examples"
TEXTS = ("Love it.", "Very disappointed.")
LABELS = ["positive", "negative"]

#: What the form of the UI sends: every field, as its type says.
FORM: dict[str, Any] = {
    "labels": ["good", "bad"],
    "prompt": "Is this {good} or {bad}?",
    "row_limit": 20,
    "model": "kimi-k2.6",
    "max_cost": 5,
    "dry_run": False,
    "kimi_force_fresh": False,
}


def conf(world: World, example: str) -> dict[str, Any]:
    return {"output": str(world.folder / "examples" / example)}


def landed_before(world: World) -> dict[str, Any]:
    """Land a result with dead letters, and return its manifest."""
    (folder := world.folder / "before").mkdir()
    labels: dict[str, Any] = {"output_schema": LABELS, "output_format": "csv"}
    with (
        pytest.MonkeyPatch.context() as patch,
        KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(3, 7))) as sim,
    ):
        fields = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
        patch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
        task = job(
            folder, sim=sim, prompt="Answer with exactly one of: positive, negative. {text}", max_rounds=1, **labels
        )
        manifest: dict[str, Any] = tries(task, sim).value
    return manifest


@pytest.fixture(scope="module")
def finished(world: World) -> None:
    """Run all examples side by side, to their end."""
    with closing(sqlite3.connect(world.folder / "reviews.sqlite")) as database:
        database.execute("CREATE TABLE reviews (id INTEGER, text TEXT, day TEXT, label TEXT)")
        rows = [(n, TEXTS[n % 2], "2026-01-01" if n < 6 else "2026-01-02", None) for n in range(8)]
        database.executemany("INSERT INTO reviews VALUES (?, ?, ?, ?)", rows)
        database.commit()
    confs = {
        name: conf(world, name)
        for name in ("form", "pydantic", "sql", "partitions", "maintenance", "images", "taskflow")
    }
    confs["form"] |= FORM | {"input": str(world.folder / "dags" / "data" / "reviews.csv")}
    confs["form_dry"] = confs["form"] | {"dry_run": True, "row_limit": None}
    before = manifest_of(landed_before(world))
    assert before is not None
    confs["replay"] = (replay_conf(before) or {}) | {"output_schema": LABELS}
    confs["replay_alone"] = conf(world, "replay") | {"dead_letters": confs["replay"]["dead_letters"]}
    runs = {name: "_".join([RUN, *name.split("_")[1:]]) for name in confs}
    dags = {name: f"example_kimi_{name.split('_')[0]}" for name in confs}
    for name, dag_id in dags.items():
        world.airflow.run_dag(dag_id, runs[name], confs[name])

    def ended() -> bool:
        states = {world.airflow.run_state(dag_id, runs[name]) for name, dag_id in dags.items()}
        return states <= {"success", "failed"}

    try:
        wait_for(ended, "the examples did not end", seconds=1200)
    finally:
        states = {name: world.airflow.run_state(dag_id, runs[name]) for name, dag_id in dags.items()}
        print(states, world.airflow.task_logs()[-8000:])
    assert set(states.values()) == {"success"}


@pytest.mark.usefixtures("finished")
class TestExamples:
    def test_the_form_takes_labels_that_a_person_has_chosen(self, world: World) -> None:
        rows = read_rows(world.folder / "examples" / "form" / RUN / "results.jsonl")
        assert {row["status"] for row in rows} == {"succeeded"}
        assert {row["content"] for row in rows} <= {"good", "bad"}

    def test_the_form_asks_as_many_rows_as_a_person_has_chosen_and_with_their_question(self, world: World) -> None:
        folder = world.folder / "examples" / "form" / RUN
        assert len(read_rows(folder / "results.jsonl")) == 20
        (batch_id,) = json.loads((folder / "manifest.json").read_text())["batch_ids"]
        requests = world.platform.file_content(world.platform.batches[batch_id].input_file_id)
        assert requests.count(b"Is this {good} or {bad}?") == 20

    def test_every_field_of_the_form_says_what_it_takes(self, world: World) -> None:
        params = world.airflow.call("GET", "/api/v2/dags/example_kimi_form/details")["params"]
        assert set(params) == {*FORM, "input", "output"}
        for name, param in params.items():
            assert param["description"].endswith("."), name
            assert param["schema"]["title"], name

    @pytest.mark.parametrize(
        "wrong",
        [
            *({"input": "reviews.txt"}, {"labels": ["one"]}, {"labels": ["a", "b, c"]}, {"labels": ["a", " "]}),
            *({"prompt": ""}, {"row_limit": 0}, {"row_limit": 1.5}, {"max_cost": 0}, {"output": ""}),
        ],
        ids=repr,
    )
    def test_the_form_starts_no_run_whose_fields_do_not_fit(self, world: World, wrong: dict[str, Any]) -> None:
        run = {"dag_run_id": "wrong", "logical_date": None, "conf": wrong}
        with pytest.raises(HTTPError, match="400"):
            world.airflow.call("POST", "/api/v2/dags/example_kimi_form/dagRuns", run)

    def test_the_form_estimates_only_if_a_person_asks_for_that(self, world: World) -> None:
        report = world.airflow.xcom("example_kimi_form", RUN + "_dry", "label")
        assert (report["dry_run"], report["rows"]) == (True, 60)
        assert not (world.folder / "examples" / "form" / (RUN + "_dry")).exists()

    def test_answers_that_fit_a_model_are_columns(self, world: World) -> None:
        from pyarrow import parquet

        found = parquet.read_table(world.folder / "examples" / "pydantic" / RUN / "results.parquet").to_pylist()
        assert {row["status"] for row in found} == {"succeeded"}
        assert all(1 <= row["stars"] <= 5 and isinstance(row["topics"], list) for row in found)

    def test_labels_are_written_back_into_the_table_of_the_query(self, world: World) -> None:
        with closing(sqlite3.connect(world.folder / "reviews.sqlite")) as database:
            labels = database.execute("SELECT label FROM reviews ORDER BY id").fetchall()
        assert [label for (label,) in labels] == ["positive", "negative"] * 3 + [None] * 2

    def test_each_partition_is_a_job_of_its_own(self, world: World) -> None:
        folders = sorted((world.folder / "examples" / "partitions").iterdir())
        manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
        assert [folder.name for folder in folders] == [f"day=2026-01-0{n}" for n in (1, 2, 3)]
        assert [manifest["counts"]["succeeded"] for manifest in manifests] == [10] * 3
        assert len({manifest["batch_ids"][0] for manifest in manifests}) == 3

    def test_functions_stand_before_and_behind_the_labels(self, world: World) -> None:
        shares = world.airflow.xcom("example_kimi_taskflow", RUN, "shares")
        rows = read_rows(world.folder / "examples" / "taskflow" / RUN / "results.jsonl")
        assert (len(rows), sum(shares.values())) == (60, 1)
        assert shares["positive"] == round(sum(row["content"] == "positive" for row in rows) / 60, 3)

    def test_images_are_labelled(self, world: World) -> None:
        rows = read_rows(world.folder / "examples" / "images" / RUN / "results.jsonl")
        assert [(row["custom_id"], row["status"]) for row in rows] == [
            (name, "succeeded") for name in ("blue.png", "green.png", "red.png")
        ]

    def test_dead_letters_are_asked_again_by_the_conf_of_their_manifest_and_merged(self, world: World) -> None:
        manifest = world.airflow.xcom("example_kimi_replay", RUN, "merge", map_index=0)
        assert (manifest["counts"]["total"], manifest["counts"]["succeeded"], manifest["merged"]) == (
            10,
            10,
            {"taken": 2},
        )
        assert manifest["results_file"] == f"file://{world.folder}/before/out/replay/{RUN}/merged/results.csv"

    def test_dead_letters_without_an_earlier_result_have_one_of_their_own(self, world: World) -> None:
        rows = read_rows(world.folder / "examples" / "replay" / f"{RUN}_alone" / "asked" / "results.jsonl")
        assert [(row["custom_id"], row["status"]) for row in rows] == [("r3", "succeeded"), ("r7", "succeeded")]
        assert world.airflow.task_states("example_kimi_replay", f"{RUN}_alone")["merge"] == "skipped"

    def test_no_row_is_in_a_rendered_field_or_an_xcom_of_the_one_task(self, world: World) -> None:
        ti = world.airflow.task_instance("example_kimi_sql", RUN, "label")
        assert len(json.dumps(ti["rendered_fields"])) < 4096
        assert TEXTS[0] not in json.dumps(ti["rendered_fields"])
        assert TEXTS[0] not in json.dumps(world.airflow.xcom("example_kimi_sql", RUN, "label"))


def test_every_example_is_tried_by_a_test() -> None:
    examples = {path.stem for path in Path("example_dags").glob("example_*.py")}
    tested = "".join(path.read_text() for path in Path("tests/real_airflow").glob("test_*.py"))
    assert {name for name in examples if name.removeprefix("example_kimi_") not in tested} == set()
