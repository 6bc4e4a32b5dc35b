"""What Airflow's API server takes at the end of a task: an alias that becomes the file that was landed."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.real_airflow.conftest import World
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow


def landed(world: World, name: str) -> tuple[Path, str, dict[str, Any], list[dict[str, Any]]]:
    """Land a result in a directory of this name; return it, the log, and the manifest and events that Airflow has."""
    conn, platform = world.take_platform()
    run_id, output = f"on_{conn}", world.folder / conn / name

    def has_ended() -> bool:
        platform.advance(8000)
        return world.airflow.run_state("assets", run_id) in ("success", "failed")

    world.airflow.run_dag("assets", run_id, {"conn": conn, "output": str(output)})
    wait_for(has_ended, "the run did not end", pause=1)
    folder = world.airflow.home / "logs" / "dag_id=assets" / f"run_id={run_id}"
    log = "".join(path.read_text() for path in folder.rglob("*.log"))
    assert world.airflow.task_states("assets", run_id) == {"label": "success"}, log
    events = world.airflow.call("GET", f"/api/v2/assets/events?source_dag_id=assets&source_run_id={run_id}")
    return output, log, world.airflow.xcom("assets", run_id, "label"), events["asset_events"]


def test_an_alias_becomes_a_file_whose_name_is_chinese(world: World) -> None:
    output, _, manifest, events = landed(world, "标签 50%25/a#b?c")
    assert json.loads((output / "manifest.json").read_text()) == manifest
    assert manifest["plain_locations"]["results_file"] == str(output / "results.jsonl")
    assert sorted(event["uri"] for event in events) == ["all_labels", f"file://{quote(str(output))}/results.jsonl"]
    for event in events:
        assert event["extra"] == {name: manifest[name] for name in event["extra"]}
        assert event["extra"]["counts"]["succeeded"] == 2


def test_a_name_too_long_for_an_asset_is_shortened_and_the_log_says_so(world: World) -> None:
    output, log, manifest, events = landed(world, "/".join(["很长的名字" * 10] * 4))
    assert manifest["status"] == "completed"
    (uri,) = (event["uri"] for event in events if event["uri"] != "all_labels")
    assert len(uri) == 1500
    assert f"The asset is called by its beginning and a digest: {uri}" in log
    assert uri.startswith(f"file://{quote(str(output))}"[:1400])
