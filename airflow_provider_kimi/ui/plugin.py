"""The plugin that Airflow finds through the package. Every process of Airflow loads it, so it loads nothing itself."""

import logging
from functools import cached_property
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_kimi.addresses import PAGE_ROUTE, PREFIX, TAB_ROUTE, root_of

__all__ = ["PREFIX", "KimiPlugin"]

_log = logging.getLogger(__name__)

#: The query of the tab on a task instance, which Airflow fills in.
TAB_QUERY = "?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"

#: On which task instances Airflow 3.4 shows the tab: those of our operators, and of what is derived from them. Older
#: versions show it on all of them, and it says so there.
TAB_APPLIES_TO = {"task.template_fields": ["kimi_conn_id"]}

#: Airflow 3.1 is the first that shows pages of plugins; below it, this one adds nothing.
_SHOWS_PAGES = hasattr(AirflowPlugin, "external_views")


class KimiPlugin(AirflowPlugin):
    """Adds the page of batches to the navigation. What it adds is made when it is asked for: by the API server."""

    name = "kimi"

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The app behind the page."""
        if not _SHOWS_PAGES:
            return []
        try:
            from airflow_provider_kimi.ui.accounts import Accounts
            from airflow_provider_kimi.ui.app import build_app
        except ImportError:  # the API server has to start all the same
            _log.exception("This Airflow lacks what the page 'Kimi batches' needs. The page is left out, tasks run.")
            return []
        return [{"name": "Kimi batches", "app": build_app(Accounts()), "url_prefix": PREFIX}]

    @cached_property
    def external_views(self) -> list[Any]:  # type: ignore[override]
        """The entry in the navigation, and the tab on task instances."""
        if not self.fastapi_apps:
            return []
        page = f"{root_of(conf.get('api', 'base_url', fallback=''))}{PREFIX}/"
        batches = {"name": "Kimi batches", "destination": "nav", "category": "browse", "url_route": PAGE_ROUTE}
        tab = {"name": "Kimi batch", "destination": "task_instance", "url_route": TAB_ROUTE}
        return [
            batches | {"href": page},
            tab | {"href": f"{page}{TAB_QUERY}", "applies_to": TAB_APPLIES_TO},
        ]
