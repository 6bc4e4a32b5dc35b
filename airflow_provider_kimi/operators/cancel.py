"""Cancel: the operator that ends batches early."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_kimi.choices import DEFAULT_CONN_ID
from airflow_provider_kimi.compat import Context, XComArg
from airflow_provider_kimi.fields import check_flag, check_seconds, check_texts
from airflow_provider_kimi.links import LINKS
from airflow_provider_kimi.rendering import TextTemplates


class KimiCancelBatchOperator(TextTemplates):
    """Cancel batches. A batch that ended first is a result, not an error.

    Rows that already run still end and are billed. A batch that is assembling its results (``finalizing``) is left
    alone: its rows are answered by then.

    :param batch_id: One id, a list, or the rendered text of a list. Templated.
    :param wait_for_termination: Wait until every batch is terminal; False returns each status as it then stands.
    :param deferrable: Wait in the triggerer; False waits in the worker.
    :param poll_interval: Seconds or timedelta between two polls; None for a pace that fits the batches' age.
    :param timeout: Seconds or timedelta after which the wait ends.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The status of each batch, by id.
    """

    template_fields: Sequence[str] = ("batch_id", "kimi_conn_id")
    operator_extra_links = LINKS
    ui_color = "#ffe0d9"

    def __init__(
        self,
        *,
        batch_id: str | Sequence[str] | XComArg,
        wait_for_termination: bool = True,
        deferrable: bool = True,
        poll_interval: timedelta | float | None = None,
        timeout: timedelta | float = timedelta(hours=4),
        kimi_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_flag("wait_for_termination", wait_for_termination)
        check_flag("deferrable", deferrable)
        self.batch_id = batch_id
        self.wait_for_termination = wait_for_termination
        self.deferrable = deferrable
        self.poll_interval = None if poll_interval is None else check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        check_texts(kimi_conn_id=kimi_conn_id)
        self.kimi_conn_id = kimi_conn_id

    def execute(self, context: Context) -> dict[str, str] | None:
        """Ask for the cancels, then wait."""
        from airflow_provider_kimi.tasks.cancel import cancel_and_wait

        return cancel_and_wait(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Resume when the trigger has fired."""
        from airflow_provider_kimi.tasks.cancel import cancelled_statuses

        return cancelled_statuses(self, event)
