"""What Airflow keeps for us on PostgreSQL, and what the page reads of it."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from tests.distributed.conftest import Cluster
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.timeout(600)

NAMES = ("decorated", "by_hand", "label")
TASK = dict(zip(("dag_id", "run_id", "task_id"), NAMES, strict=True))


def page(cluster: Cluster, route: str, **asked: str) -> Any:
    """What the page gets of a route."""
    return cluster.airflow.call("GET", f"/kimi/{route}?{urlencode(asked)}")


def budget(cluster: Cluster) -> dict[str, Any]:
    """How the budget stands, as the page shows it."""
    (found,) = page(cluster, "budgets")["budgets"]
    view: dict[str, Any] = found
    return view


def test_the_page_and_budgets_read_postgresql_and_store_no_character_that_it_refuses(cluster: Cluster) -> None:
    airflow = cluster.airflow
    defined = json.dumps({"amount": 0.25, "per": "month"})
    airflow.call("POST", "/api/v2/variables", {"key": "kimi_budget_shared", "value": defined})
    before = set(cluster.platform.batches)
    airflow.run_dag("decorated", "by_hand")
    wait_for(lambda: airflow.task_states("decorated", "by_hand").get("label") == "deferred", "it does not wait")
    progress = wait_for(lambda: airflow.xcom(*NAMES, key="progress"), "no progress is shown")
    (batch_id,) = set(cluster.platform.batches) - before
    waits = page(cluster, "task", **TASK)
    assert sum(progress["statuses"].values()) == 1
    assert [each["id"] for each in waits["batches"]] == [batch_id]
    assert waits["task"]["progress"] is not None
    assert budget(cluster)["reserved"] > 0

    cluster.platform.advance(8000)
    wait_for(lambda: airflow.run_state("decorated", "by_hand") == "success", "it does not land")
    rows = [json.loads(line) for line in cluster.storage.get("decorated/results.jsonl").splitlines()]
    manifest = airflow.xcom(*NAMES)
    assert [row["content"] for row in rows] == ["fine", "nul \x00", None]
    assert (manifest["counts"]["succeeded"], manifest["counts"]["failed"]) == (2, 1)
    assert {"gold": "nul \ufffd", "answer": "fine", "count": 1} in manifest["gold"]["confusion"]

    stands = budget(cluster)
    assert stands["reserved"] == 0 < stands["spent"]
    assert page(cluster, "task", **TASK)["task"]["result"]["counts"]["failed"] == 1
    assert page(cluster, "batch", batch=batch_id)["result"]["counts"]["failed"] == 1
    assert batch_id in [each["id"] for each in page(cluster, "batches")["batches"]]
    spent = wait_for(lambda: page(cluster, "spend")["batches"].get(batch_id), "its cost is not shown")
    assert spent["amount"] == pytest.approx(manifest["cost"]["amount"])


def test_a_name_that_postgresql_refuses_names_no_task_instance(cluster: Cluster) -> None:
    with pytest.raises(HTTPError) as refused:
        page(cluster, "task", **TASK | {"run_id": "by\x00hand"})
    assert refused.value.code == 404
