"""Labels are compared with those of an earlier result: of the last run that succeeded, or of the one that is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.manifest import Manifest
from tests.conftest import Connect
from tests.integration.test_gold import LABELS, platform, table
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord, run_to_end

YESTERDAY, TODAY = "scheduled__2026-11-29", "scheduled__2026-11-30"

#: Half of the answers of a usual day are positive; of a drifted one, a tenth is.
USUAL, DRIFTED = ["positive", "negative"] * 5, ["positive", *["negative"] * 9]


@pytest.fixture
def airflow() -> Iterator[Supervisor]:
    """An Airflow in which no run has succeeded yet."""
    with supervised(Supervisor()) as supervisor:
        yield supervisor


def run(folder: Path, run_id: str, answers: list[str], connect: Connect, **parameters: Any) -> dict[str, Any]:
    """Label one day's rows, which get these answers."""
    rows = [{"id": f"r{number}", "text": f"{run_id} {number}"} for number in range(len(answers))]
    own = {"task_id": "label", "input": table(folder, rows), "output": f"{folder}/{run_id}", "key_column": "id"}
    asked = {"prompt": "Positive? {text}", "output_schema": LABELS, "poke_interval": 0.1}
    with platform({row["id"]: answer for row, answer in zip(rows, answers, strict=True)}) as sim:
        connect(sim)
        task = KimiBatchOperator(**{**own, **asked, **parameters})
        manifest: dict[str, Any] = run_to_end(task, TaskInstanceRecord(run_id=run_id)).value
    return manifest


def succeeded(airflow: Supervisor, manifest: dict[str, Any]) -> None:
    """Let Airflow know what the last run has returned."""
    airflow.xcoms = {("label", -1, "return_value"): json.loads(json.dumps(manifest))}


def test_a_drifted_day_is_told(airflow: Supervisor, connect: Connect, tmp_path: Path) -> None:
    first = run(tmp_path, YESTERDAY, USUAL, connect, max_drift=0.2)
    assert "drift" not in first
    succeeded(airflow, first)
    with pytest.raises((KimiBatchError, AirflowFailException), match="moved by 0.4000 .* more than max_drift"):
        run(tmp_path, TODAY, DRIFTED, connect, max_drift=0.2)
    landed = json.loads((tmp_path / TODAY / "manifest.json").read_text())
    assert landed["drift"] == {
        **{"distance": 0.4, "since": first["completed_at"]},
        "moves": [
            {"label": "negative", "before": 0.5, "now": 0.9},
            {"label": "positive", "before": 0.5, "now": 0.1},
        ],
    }


def test_a_usual_day_is_accepted_and_says_how_far_it_has_moved(
    airflow: Supervisor, connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    succeeded(airflow, run(tmp_path, YESTERDAY, USUAL, connect, max_drift=0.2))
    second = run(tmp_path, TODAY, [*USUAL, "positive"], connect, max_drift=0.2)
    assert second["drift"]["distance"] == pytest.approx(6 / 11 - 1 / 2)
    assert "The shares of labels have moved by 0.0455 since" in capsys.readouterr().out


def test_without_a_limit_or_a_result_that_is_named_nothing_is_asked_of_airflow(
    connect: Connect, tmp_path: Path
) -> None:
    assert "drift" not in run(tmp_path, YESTERDAY, USUAL, connect)  # there is no Airflow here that could answer


@pytest.mark.parametrize("form", ["directory", "manifest.json", "manifest", "text", "event"])
def test_a_result_that_is_named_is_compared_in_every_form(
    airflow: Supervisor, connect: Connect, tmp_path: Path, form: str
) -> None:
    first = run(tmp_path, YESTERDAY, USUAL, connect)
    directory = str(tmp_path / YESTERDAY)
    named: dict[str, Any] = {
        **{"directory": directory, "manifest.json": f"{directory}/manifest.json", "manifest": first},
        **{"text": str(first), "event": Manifest(**json.loads(json.dumps(event_of(first)))).to_event()},
    }
    second = run(tmp_path, TODAY, DRIFTED, connect, compare_with=named[form])
    assert second["drift"]["distance"] == 0.4


def event_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != "plain_locations"}


def test_a_result_that_has_been_replaced_is_compared_by_its_manifest(
    airflow: Supervisor, connect: Connect, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    first = run(tmp_path, YESTERDAY, USUAL, connect, output=output)
    run(tmp_path, "between", ["positive"] * 10, connect, output=output)
    assert run(tmp_path, TODAY, DRIFTED, connect, compare_with=first)["drift"]["distance"] == 0.4


def test_the_result_in_the_output_is_compared_where_airflow_has_none(
    airflow: Supervisor, connect: Connect, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    run(tmp_path, YESTERDAY, USUAL, connect, output=output)
    assert run(tmp_path, TODAY, DRIFTED, connect, output=output, max_drift=0.9)["drift"]["distance"] == 0.4


@pytest.mark.parametrize("returned", [None, {"low": {"cost": 1}}, "text", {"preview": True}])
def test_what_the_last_run_returned_need_not_be_a_manifest(
    airflow: Supervisor, connect: Connect, tmp_path: Path, returned: Any
) -> None:
    airflow.xcoms = {("label", -1, "return_value"): returned}
    assert "drift" not in run(tmp_path, TODAY, DRIFTED, connect, max_drift=0.1)


def test_what_this_run_has_returned_itself_is_not_compared(
    airflow: Supervisor, connect: Connect, tmp_path: Path
) -> None:
    succeeded(airflow, run(tmp_path, TODAY, USUAL, connect))
    assert "drift" not in run(tmp_path, TODAY, DRIFTED, connect, max_drift=0.1, on_changed_input="fresh")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("/nowhere", r"compare_with is '/nowhere', which holds no result\. Nothing was sent"),
        ({"batch_ids": ["b"]}, "compare_with is a mapping that names no files"),
        ("{{ none }}", "compare_with is 'None', which holds no result"),
    ],
)
def test_a_result_that_is_not_there_is_refused_before_anything_is_sent(
    connect: Connect, tmp_path: Path, named: Any, said: str
) -> None:
    with pytest.raises((KimiInputError, AirflowFailException), match=said):
        run(tmp_path, TODAY, DRIFTED, connect, compare_with=named)
    assert not (tmp_path / TODAY).exists()


def test_a_result_without_labels_is_refused_if_there_is_a_limit(connect: Connect, tmp_path: Path) -> None:
    run(tmp_path, YESTERDAY, USUAL, connect, output_schema=None)
    named = str(tmp_path / YESTERDAY)
    assert "drift" not in run(tmp_path, "first", DRIFTED, connect, compare_with=named)
    with pytest.raises((KimiInputError, AirflowFailException), match="counts no labels, and max_drift is given"):
        run(tmp_path, TODAY, DRIFTED, connect, compare_with=named, max_drift=0.1)
