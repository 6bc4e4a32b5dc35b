"""A task does the same in a DAG that renders native objects: the same job, paid once, and the same refusals."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_kimi.compat import literal
from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.tasks import Attempt, TaskInstanceRecord, run_to_end

DAGS = Path(__file__).parent / "dags"

VARIABLES: dict[str, object] = {
    "ds": "2026-11-30",
    "ds_nodash": "20261130",
    "nothing": None,
    "names": ["2026", "shop"],
    "tags": {"team": "reviews"},
    "ids": ["other"],
}


def run(is_native: bool, make: Any, **parameters: Any) -> Attempt:
    """Run a task to its end in a DAG of its own, with every resume on a new instance that is rendered again."""
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), render_template_as_native_obj=is_native):
        task = make(task_id="label", **parameters)
    return run_to_end(task, TaskInstanceRecord(), **VARIABLES)


def outcome(is_native: bool, make: Any, **parameters: Any) -> str:
    """What a task says that it refuses."""
    with pytest.raises(AirflowFailException) as refused:
        run(is_native, make, **parameters)
    return str(refused.value)


def asked(folder: Path) -> dict[str, Any]:
    """A job whose every text reads as another value in Python."""
    data = folder / "20261130"
    data.mkdir(exist_ok=True)
    rows = [{"2026": "007", "shop": "a", "text": "1_000"}, {"2026": "008", "shop": "b", "text": "None"}]
    (data / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {
        "input": f"{folder}/{{{{ ds_nodash }}}}/in.jsonl",
        "output": f"{folder}/{{{{ ds_nodash }}}}/out",
        "prompt": "'{text}'",
        "system_prompt": "[1, 2]",
        "key_column": "{{ '2026' }}",
        "request_params": {"stop": ["{{ ds_nodash }}", "1e3", "\n"], "prompt_cache_key": "{{ ds_nodash }}"},
        "completion_window": "{{ '24' }}h",
        "metadata": {"day": "{{ ds_nodash }}", "1": "007", "2": "None", "3": "'a'"},
        "max_cost": "12.50",
        "finish_by": "{{ none }}",
        "deferrable": True,
    }


@pytest.mark.parametrize("first", [True, False], ids=["native first", "native later"])
def test_a_job_is_the_same_with_native_rendering_and_is_paid_once(
    connect: Connect, tmp_path: Path, first: bool
) -> None:
    with KimiSimulator(speed=5000) as sim:
        connect(sim)
        attempts = [run(is_native, KimiBatchOperator, **asked(tmp_path)) for is_native in (first, not first)]
        (batch,) = sim.batches.values()
        sent = [json.loads(line) for line in sim.file_content(batch.input_file_id).splitlines()]
    assert attempts[0].value["batch_ids"] == attempts[1].value["batch_ids"] == [batch.id]
    tags = {key: value for key, value in (batch.metadata or {}).items() if "_" not in key}
    assert tags == {"day": "20261130", "1": "007", "2": "None", "3": "'a'"}
    assert [line["custom_id"] for line in sent] == ["007", "008"]
    assert sent[0]["body"]["messages"] == [
        {"role": "system", "content": "[1, 2]"},
        {"role": "user", "content": "'1_000'"},
    ]
    assert sent[0]["body"]["stop"] == ["20261130", "1e3", "\n"]
    assert sent[0]["body"]["prompt_cache_key"] == "20261130"


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "usual"])
def test_a_template_may_make_a_list_of_columns_and_all_pairs_in_any_dag(
    connect: Connect, tmp_path: Path, is_native: bool
) -> None:
    with KimiSimulator(speed=5000) as sim:
        connect(sim)
        run(is_native, KimiBatchOperator, **asked(tmp_path) | {"key_column": "{{ names }}", "metadata": "{{ tags }}"})
        (batch,) = sim.batches.values()
    assert (batch.metadata or {})["team"] == "reviews"
    rows = (tmp_path / "20261130" / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(row)["custom_id"] for row in rows] == ["007:a", "008:b"]


REFUSED = [
    ({"model": "None", "max_cost": None}, "Model 'None' is not among"),
    ({"model": "{{ nothing }}", "max_cost": None}, "Model 'None' is not among"),
    ({"key_column": "{{ nothing }}"}, "has no key column 'None'"),
    ({"key_column": "{{ ds_nodash }}"}, "has no key column '20261130'"),
    ({"kimi_conn_id": "{{ ds_nodash }}"}, "There is no Airflow connection '20261130'"),
    ({"completion_window": "{{ 24 }}"}, "completion_window is '24'"),
    ({"output": "{{ nothing }}"}, "output is 'None'; it must be the URI of a directory. Nothing was sent"),
    ({"input": "{{ ds_nodash }}"}, "'20261130'"),
    ({"metadata": "{{ ids }}"}, "metadata is a list. Nothing was sent. Give pairs of text"),
    ({"max_cost": "{{ ds }}"}, "max_cost is '2026-11-30'; it must be an amount of money"),
    ({"finish_by": "{{ ds_nodash }}"}, "finish_by is '20261130'; it must be a time"),
    ({"request_params": {"max_completion_tokens": "{{ '512' }}"}}, "A number that Jinja renders is text"),
    ({"model": literal(5)}, "model is 5; it must be text, in quotes. Nothing was sent."),
    ({"prompt": literal(5)}, "prompt is 5; it must be text, in quotes. Nothing was sent."),
    ({"system_prompt": literal(datetime(2026, 1, 1, tzinfo=UTC))}, "system_prompt is datetime"),
    ({"output": literal(5)}, "output is 5; it must be the URI of a directory. Nothing was sent"),
    ({"kimi_conn_id": literal(5)}, "There is no Airflow connection 5"),
    ({"key_column": literal(5)}, "key_column is 5; it must be the name of a column"),
    ({"metadata": literal({"n": 5})}, "metadata has a value of 'n' that is not text"),
    ({"metadata": literal({5: "n"})}, "Write text, in quotes."),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED, ids=lambda value: f"{value!s:.60}")
def test_what_is_not_meant_is_refused_in_the_same_words_before_anything_is_paid(
    connect: Connect, tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with KimiSimulator(speed=5000) as sim:
        connect(sim)
        parameters = asked(tmp_path) | wrong
        native, usual = (outcome(is_native, KimiBatchOperator, **parameters) for is_native in (True, False))
        assert not sim.batches
        assert not sim.file_ids("batch")
    assert native == usual
    assert message in native


def test_the_docs_have_the_messages_of_a_run(connect: Connect, tmp_path: Path) -> None:
    page = (DAGS.parent.parent.parent / "docs" / "when-it-does-not-work.md").read_text()
    with KimiSimulator(speed=5000) as sim:
        connect(sim)
        for wrong, begin in (
            ({"output": "{{ nothing }}"}, "output is "),
            ({"metadata": "{{ ids }}"}, "metadata is "),
            ({"request_params": {"max_completion_tokens": "{{ '512' }}"}}, "request_params has "),
        ):
            message = outcome(True, KimiBatchOperator, **asked(tmp_path) | wrong)
            shown = next(line for line in page.splitlines() if f"`{begin}" in line).split("`")[1]
            assert message.startswith(shown)


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "usual"])
@pytest.mark.parametrize("dag_ids", ["{{ nothing }}", "{{ ids }}", "reviews_of_all", "['rev']", "other"])
def test_only_the_dags_that_are_named_lose_their_orphans(connect: Connect, dag_ids: str, is_native: bool) -> None:
    """None for all DAGs is never what a template has rendered, and no id is found within another."""
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        run(False, KimiCreateBatchOperator, input=["a"])
        orphans = {"dry_run": True, "unknown_runs": True, "dag_ids": dag_ids}
        assert run(is_native, KimiOrphanBatchesOperator, **orphans).value == []


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "usual"])
def test_ids_come_out_of_templates_as_lists(connect: Connect, tmp_path: Path, is_native: bool) -> None:
    with KimiSimulator(speed=5000) as sim:
        connect(sim)
        manifest = run(is_native, KimiBatchOperator, **asked(tmp_path)).value
        ids = str(manifest["batch_ids"])
        again = run(is_native, KimiBatchResultsOperator, batch_id=ids, output=str(tmp_path / "again")).value
    assert again["counts"] == manifest["counts"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_real_run_with_native_rendering_attaches_to_the_batches_of_one_without(tmp_path: Path) -> None:
    """A chain, a mapped task and a function, through Airflow's own rendering, deferrals and mapping."""
    output = tmp_path / "out"
    with KimiSimulator(speed=100) as sim:
        connection = json.dumps({"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key})
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW_CONN_KIMI_DEFAULT": connection,
            "OUTPUT": str(output),
        }
        script = str(DAGS / "native_rendering.py")
        made = []
        for command, is_native in ((["-m", "airflow", "db", "migrate"], False), ([script], False), ([script], True)):
            done = subprocess.run(
                [sys.executable, *command],
                env={**environment, "NATIVE": str(is_native)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            made.append(sorted(sim.batches))
            if command == [script]:
                assert json.loads((output / "state.json").read_text())[0] == "success", done.stdout + done.stderr
        assert len(made[1]) == 4
        assert made[2] == made[1]
    assert {(batch.metadata or {})["day"] for batch in sim.batches.values()} == {"20261130"}
    found = {place: (output / place / "results.jsonl").read_text() for place in ("20261130", "mapped0", "function")}
    assert {place: json.loads(text)["custom_id"] for place, text in found.items()} == {
        "20261130": "007",
        "mapped0": "1",
        "function": "20261130",
    }
