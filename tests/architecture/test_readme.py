"""What the README shows is true: its DAG parses, its commands exist."""

import re
from pathlib import Path

import pytest

from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_dag_has_at_most_25_lines_and_is_a_dag() -> None:
    block = BLOCKS[0]
    assert len(block.strip().splitlines()) <= 25
    names: dict[str, object] = {"__file__": str(ROOT / "dags" / "label.py")}
    exec(compile(block, "README.md", "exec"), names)
    create = names["create"]
    assert isinstance(create, KimiCreateBatchOperator)
    assert [task.task_id for task in create.dag.tasks] == ["create", "wait", "results"]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_python_block_runs_or_compiles(number: int) -> None:
    compile(BLOCKS[number], f"README.md block {number}", "exec")


def test_every_make_target_it_names_exists() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", README))
    assert named
    assert named <= TARGETS


def test_ci_calls_only_make() -> None:
    lines = [
        line
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set", "cd"))
    ]
    assert lines == ["make check", "make test"]


def test_the_first_screen_says_what_it_does_not_do() -> None:
    assert README.index("make demo") < 4000
    assert README.index("does not do") < 4500


#: Where each row of "What a retry does" is shown, by the beginning of the row.
SHOWN_BY = {
    "the worker died at any point": "tests/crash/test_crash_matrix.py::test_a_death_at_any_point",
    "a create was answered by a 5xx": "tests/integration/test_submit.py::test_is_sent_once_more",
    "two attempts ran at the same time": "tests/integration/test_races.py::test_two_attempts_at_once",
    "`create` was cleared": "tests/real_airflow/test_user_actions.py::test_everything_attaches_to_the_batch",
    "a mapped task's indices have moved": "tests/integration/test_paid_once.py::test_keep_their_work_when_indices_move",
    "the batch failed, expired or was": "tests/integration/test_submit.py::test_that_came_to_nothing",
    '`reuse="never"`, or a run started': "tests/integration/test_paid_once.py::test_is_asked_for_by_the_conf_of_a_run",
    "the input has changed": "tests/integration/test_paid_once.py::test_replaces_the_old_one_with_cancel_and_fresh",
    "the connection has another key": "tests/integration/test_memory.py::test_an_account_that_does_not_know",
    "the account has more batches": "tests/integration/test_server_matrix.py::test_stops_before_anything_is_paid",
    "`wait` was cleared or retried": "tests/real_airflow/test_user_actions.py::test_the_waiting_task_keeps_the_batch",
    "`wait` or its run was marked": "tests/real_airflow/test_user_actions.py::test_by_marking_it_cancels_the_batch",
    "the triggerer was restarted": "tests/real_airflow/test_user_actions.py::test_goes_on_waiting_and_cancels_nothing",
    "`results` was retried": "tests/integration/test_collect.py::test_landed_twice_is_the_same",
    "`airflow tasks test`": "tests/submission/test_identity.py::test_other_work_has_another",
}


def test_every_row_of_what_a_retry_does_is_shown_by_a_test() -> None:
    table = README.split("## What a retry does")[1].split("\n## ")[0]
    rows = [line[2:] for line in table.splitlines() if line.startswith("| ") and not line.startswith("| what happened")]
    assert len(rows) == len(SHOWN_BY)
    for row, (beginning, test) in zip(rows, SHOWN_BY.items(), strict=True):
        assert row.startswith(beginning)
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), test
