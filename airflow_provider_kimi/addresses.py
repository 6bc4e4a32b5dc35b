"""Addresses in Airflow's own UI and of the page in it, as paths."""

from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import TaskIdentity

#: Where the app of the page is mounted, and the places of the page and of the tab in Airflow's UI.
PREFIX = "/kimi"
PAGE_ROUTE = "kimi-batches"
TAB_ROUTE = "kimi-batch"


def root_of(base_url: str | None) -> str:
    """Return the path below which Airflow's UI is; empty if it is not below any."""
    return urlsplit(base_url or "").path.rstrip("/")


def run_path(task: TaskIdentity) -> str:
    """Return the page of the run of a task instance, below the root of Airflow's UI."""
    dag, run = (quote(storable(part), safe="") for part in (task.dag_id, task.run_id))
    return f"dags/{dag}/runs/{run}"


def task_path(task: TaskIdentity) -> str:
    """Return the page of a task instance, below the root of Airflow's UI."""
    name = quote(storable(task.task_id), safe="")
    return f"{run_path(task)}/tasks/{name}" + ("" if task.map_index < 0 else f"/mapped/{task.map_index}")


def tab_path(task: TaskIdentity) -> str:
    """Return the tab "Kimi batch" of a task instance, below the root of Airflow's UI."""
    return f"{task_path(task)}/plugin/{TAB_ROUTE}"


def batch_path(batch_id: str, conn_id: str, *, is_framed: bool) -> str:
    """Return the page of one batch, below the root of Airflow's UI.

    :param is_framed: Whether Airflow can show it in its own frame by an address.
    """
    query = urlencode({"batch": storable(batch_id), "conn_id": storable(conn_id)})
    frame = f"plugin/{PAGE_ROUTE}" if is_framed else ""
    return f"{frame}{PREFIX}/?{query}".removeprefix("/")
