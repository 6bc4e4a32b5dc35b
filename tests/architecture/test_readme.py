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
