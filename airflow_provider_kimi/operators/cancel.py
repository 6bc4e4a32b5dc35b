"""Cancel: the operator that ends batches early."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.ids import read_batch_ids
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import Context, XComArg
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.fields import check_flag, check_seconds, check_texts
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.links import LINKS, show_links
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.rendering import TextTemplates
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.wait import wait_here


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
        kimi_conn_id: str = KimiHook.default_conn_name,
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
        with airflow_errors(self):
            hook = KimiHook(self.kimi_conn_id)
            batch_ids = read_batch_ids(self.batch_id)
            show_links(context, hook, batch_ids)
            batches = cancel_batches(Calls(hook, self.log), batch_ids)
            if not self.wait_for_termination or all(batch.is_terminal for batch in batches):
                return {batch.id: batch.status for batch in batches}
            deadline = time.time() + self.timeout
            ids = tuple(batch.id for batch in batches)
            watch = Watch(ids, self.poll_interval, deadline, kimi_conn_id=self.kimi_conn_id)
            if not self.deferrable:
                return self._statuses(wait_here(hook, watch, self.log))
        self.defer(trigger=KimiBatchTrigger.of(watch), method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any], **later: Any) -> dict[str, str]:
        """Resume when the trigger has fired. What a later version gave it besides is ignored."""
        with airflow_errors(self):
            return self._statuses(BatchEvent.from_dict(event))

    @staticmethod
    def _statuses(event: BatchEvent) -> dict[str, str]:
        if event.outcome != "ended":
            raise KimiBatchError(event.message)
        return {batch_id: end.status for batch_id, end in event.batches.items()}
