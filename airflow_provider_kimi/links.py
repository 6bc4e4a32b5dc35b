"""Buttons on a task instance that lead to other pages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.addresses import batch_path, root_of, tab_path
from airflow_provider_kimi.compat import (
    SHOWS_PAGES,
    SHOWS_WITHIN_PAGES,
    BaseOperatorLink,
    Context,
    airflow_base_url,
    map_index_of,
    read_xcom,
)
from airflow_provider_kimi.exceptions import KimiError

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.kimi import KimiHook

#: XCom keys of the links, in the form in which Airflow 3 names such keys.
CONSOLE_KEY = "_link_KimiConsoleLink"
BATCH_KEY = "_link_KimiBatchLink"


class KimiConsoleLink(BaseOperatorLink):
    """Where the console shows the batches of a task.

    A task pushes it as soon as it knows it. Airflow 2 reads it in the web server; Airflow 3 reads it in the worker,
    when the task has deferred or ended, and pushes it again.
    """

    name = "Kimi console"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 finds the link."""
        return CONSOLE_KEY

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Read the link; empty if the task has not come so far."""
        return read_xcom(ti_key, CONSOLE_KEY) or ""


class KimiBatchLink(BaseOperatorLink):
    """The page of the batch of a task; the tab of the task while it has none or several. Airflow 3.1 and newer."""

    name = "Kimi batch"

    @property
    def xcom_key(self) -> str:
        """Where Airflow finds the link."""
        return BATCH_KEY

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Read the link that the task has pushed; the tab if it has not come so far."""
        return read_xcom(ti_key, BATCH_KEY) or _tab_of(ti_key)


class KimiResultsLink(BaseOperatorLink):
    """The tab of a task that lands, which shows the result. Airflow 3.1 and newer."""

    name = "Results"

    @property
    def xcom_key(self) -> str:
        """Where Airflow finds the link."""
        return "_link_KimiResultsLink"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Say where the tab is."""
        return _tab_of(ti_key)


class KimiReportLink(KimiResultsLink):
    """The same tab, which names the place of `report.html`: a browser may not open a file of a worker or a bucket."""

    name = "Report"

    @property
    def xcom_key(self) -> str:
        """Where Airflow finds the link."""
        return "_link_KimiReportLink"


#: The links of each operator and of the sensor, and of those that land results.
LINKS: tuple[BaseOperatorLink, ...] = (KimiConsoleLink(), *((KimiBatchLink(),) if SHOWS_PAGES else ()))
LANDING_LINKS: tuple[BaseOperatorLink, ...] = (
    *LINKS,
    *((KimiResultsLink(), KimiReportLink()) if SHOWS_PAGES else ()),
)


def show_links(context: Context, hook: KimiHook, batch_ids: Sequence[str] = ()) -> None:
    """Push where the page and the console show batches.

    A connection that cannot be read has no link to the console, and fails elsewhere.
    """
    if (ti := context.get("ti")) is None:
        return
    if SHOWS_PAGES:
        ti.xcom_push(BATCH_KEY, _page_of(ti, hook, batch_ids))
    with suppress(KimiError):
        from airflow_provider_kimi.api.console import console_link

        settings = hook.settings
        ti.xcom_push(CONSOLE_KEY, console_link(settings.console_url, settings.billing_region, batch_ids))


def _page_of(ti: Any, hook: KimiHook, batch_ids: Sequence[str]) -> str:
    if len(batch_ids) != 1:
        return _tab_of(ti)
    return _below_root(batch_path(batch_ids[0], hook.kimi_conn_id, is_framed=SHOWS_WITHIN_PAGES))


def _tab_of(ti: Any) -> str:
    from airflow_provider_kimi.records.tags import TaskIdentity

    return _below_root(tab_path(TaskIdentity(ti.dag_id, ti.run_id, ti.task_id, map_index_of(ti))))


def _below_root(path: str) -> str:
    """Leave the host to the browser: a worker may not know under which one people see Airflow."""
    return f"{root_of(airflow_base_url())}/{path}"
