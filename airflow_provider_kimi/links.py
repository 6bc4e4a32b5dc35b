"""Buttons on a task instance that lead to other pages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.api.console import console_link
from airflow_provider_kimi.compat import BaseOperatorLink, Context, read_xcom
from airflow_provider_kimi.exceptions import KimiError

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.kimi import KimiHook

#: XCom key of the link, in the form in which Airflow 3 names such keys.
CONSOLE_KEY = "_link_KimiConsoleLink"


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


#: The links of each operator and of the sensor.
LINKS = (KimiConsoleLink(),)


def show_console(context: Context, hook: KimiHook, batch_ids: Sequence[str] = ()) -> None:
    """Push where the console shows batches. A connection that cannot be read has no link, and fails elsewhere."""
    if (ti := context.get("ti")) is None:
        return
    with suppress(KimiError):
        settings = hook.settings
        ti.xcom_push(CONSOLE_KEY, console_link(settings.console_url, settings.billing_region, batch_ids))
