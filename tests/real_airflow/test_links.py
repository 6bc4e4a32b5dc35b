"""What the UI shows of a task, asked of a real Airflow: links, and rendered templates without texts of rows."""

from urllib.parse import quote

import pytest

from tests.real_airflow.conftest import Run, World
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow

SECRET = "Nobody's business"


def links(run: Run, task_id: str, map_index: int = -1) -> object:
    """The links of a task instance."""
    path = f"/api/v2/dags/links/dagRuns/{quote(run.run_id)}/taskInstances/{task_id}/links?map_index={map_index}"
    return run.airflow.call("GET", path)["extra_links"]


def all_links(run: Run, task_id: str, batch_id: str, conn: str, *, lands: bool) -> dict[str, str]:
    """The links of a task with one batch."""
    page = f"/plugin/kimi-batches/kimi/?batch={batch_id}&conn_id={conn}"
    tab = f"/dags/links/runs/{quote(run.run_id, safe='')}/tasks/{task_id}/plugin/kimi-batch"
    found = {"Kimi console": "https://platform.kimi.com/console", "Kimi batch": page}
    return found | ({"Results": tab, "Report": tab} if lands else {})


def shown_input(run: Run, path: str) -> object:
    """What Rendered Templates shows of the input of a task instance."""
    task = run.airflow.call("GET", f"/api/v2/dags/links/dagRuns/{quote(run.run_id)}/taskInstances/{path}")
    assert SECRET not in str(task["rendered_fields"])
    return task["rendered_fields"]["input"]


def test_a_deferred_a_failed_and_a_mapped_task_have_links_and_show_no_row(world: World) -> None:
    conn, platform = world.take_platform()
    run = Run(world.airflow, platform, "links", f"on_{conn}", world.folder / conn)
    run.launch()
    run.until("label", "deferred")
    run.until("fails", "failed")
    wait_for(lambda: world.airflow.mapped_states("links", run.run_id, "mapped") == ["success"] * 2, "not created")
    batch_id = run.airflow.xcom("links", run.run_id, "label", "batch_ids")[0]
    of_label = all_links(run, "label", batch_id, conn, lands=True)
    assert links(run, "label") == of_label
    assert links(run, "fails") == all_links(run, "fails", "batch-unknown", conn, lands=True)
    for index in (0, 1):
        (made,) = run.airflow.xcom("links", run.run_id, "mapped", map_index=index)
        assert links(run, "mapped", index) == all_links(run, "mapped", made, conn, lands=False)
    assert shown_input(run, "label") == "list of 1 row"
    assert [shown_input(run, f"mapped/{index}") for index in (0, 1)] == ["list of 1 row", "list of 2 rows"]
    platform.advance(9000)
    run.until("label", "success")
    assert links(run, "label") == of_label
    assert run.airflow.xcom("links", run.run_id, "label", "progress")["polled_at"]
