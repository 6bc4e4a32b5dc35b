"""What GitHub runs: the same commands as a developer."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.support.documents import ROOT

FILES = sorted((ROOT / ".github").rglob("*.yml"))
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in FILES if path.parent.name == "workflows"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps_of(job: Any) -> list[dict[str, Any]]:
    return list(job["steps"])


def made_by(workflow: Any) -> set[str]:
    """Targets of make that a workflow calls, those of its matrices too."""
    found: set[str] = set()
    for job in workflow["jobs"].values():
        for line in "\n".join(step.get("run", "") for step in steps_of(job)).splitlines():
            if line.startswith("make ${{ matrix.target }}"):
                matrix = job["strategy"]["matrix"]
                found |= {*matrix["target"], *(one["target"] for one in matrix.get("include", ()))}
            elif line.startswith("make "):
                found |= {word for word in line.split()[1:] if "=" not in word}
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_targets_that_exist(name: str) -> None:
    assert made_by(WORKFLOWS[name]) <= TARGETS


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_names_a_version_of_each_action(name: str) -> None:
    used = [step["uses"] for job in WORKFLOWS[name]["jobs"].values() for step in steps_of(job) if "uses" in step]
    assert used
    assert [action for action in used if not re.search(r"@v\d", action)] == []


def test_ci_on_github_runs_all_that_ci_runs_here() -> None:
    here = set(re.findall(r"^make (\S+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    assert len(here) > 4
    assert here <= made_by(WORKFLOWS["ci"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_the_code_and_its_jobs_what_they_say(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    writing = {
        (job, right)
        for job, said in workflow["jobs"].items()
        for right, level in said.get("permissions", {}).items()
        if level == "write"
    }
    allowed = {"release": {("publish", "id-token")}, "docs": {("deploy", "id-token"), ("deploy", "pages")}}
    assert writing == allowed.get(name, set())


def test_a_release_is_published_without_a_stored_secret() -> None:
    text = "".join(path.read_text() for path in FILES)
    assert "secrets." not in text
    (step,) = steps_of(WORKFLOWS["release"]["jobs"]["publish"])[1:]
    assert step["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "with" not in step


def test_the_repository_has_one_address() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    source = tomllib.loads(project)["project"]["urls"]["Source"]
    named = re.findall(
        r"https://github\.com/[\w.-]+/[\w.-]+", "".join([project, *(path.read_text() for path in FILES)])
    )
    assert len(named) > 5
    assert set(named) == {source}
