"""The plugin that Airflow finds through the package. Every process of Airflow loads it, so it loads nothing itself."""

import logging
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

_log = logging.getLogger(__name__)

#: Where the app is mounted, and the page's place in Airflow's own UI.
PREFIX = "/kimi"
URL_ROUTE = "kimi-batches"

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
        """The entry in the navigation."""
        if not self.fastapi_apps:
            return []
        root = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
        return [
            {
                "name": "Kimi batches",
                "href": f"{root}{PREFIX}/",
                "destination": "nav",
                "category": "browse",
                "url_route": URL_ROUTE,
            }
        ]
