"""The trigger of asset watchers: starts DAGs when a batch ends that somebody else created."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_kimi.account.ended_batches import Account
from airflow_provider_kimi.account.news import report_of
from airflow_provider_kimi.compat.triggers import BaseEventTrigger, TriggerEvent
from airflow_provider_kimi.fields import check_seconds
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.mark import Mark

#: Key of the asset's state under which the trigger notes what it has reported (Airflow 3.3).
MARK_KEY = "kimi_ended_batches"


class KimiBatchEndedTrigger(BaseEventTrigger):
    """Fire whenever batches of the account end, whoever created them: another system, the console, a script.

    For the ``trigger`` of an ``AssetWatcher`` (Airflow 3.0 and newer). Every poll that finds batches which have ended
    since the last one fires one event: ``{"batches": [...]}``, each with ``batch_id``, ``status``, ``total``,
    ``completed``, ``failed``, ``output_file_id``, ``error_file_id`` and ``metadata``. One event may start one run for
    several batches, and Airflow may join events: expect a list, and land each batch by its id.

    With Airflow 3.3 the asset's state keeps what was reported, so that a restart of the triggerer loses nothing; a
    batch may be reported twice if the triggerer dies just then. Below 3.3, what ends while no triggerer runs is not
    reported.

    :param kimi_conn_id: Airflow connection, looked up in the triggerer.
    :param metadata: Pairs that a batch must carry to be reported; None for all batches of the account.
    :param poll_interval: Seconds or timedelta between two polls.
    """

    def __init__(
        self,
        kimi_conn_id: str = KimiHook.default_conn_name,
        metadata: Mapping[str, str] | None = None,
        poll_interval: timedelta | float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kimi_conn_id = kimi_conn_id
        self.metadata = dict(metadata or {})
        self.poll_interval = check_seconds("poll_interval", poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return all that a restart needs; no secret is in it."""
        arguments = {"kimi_conn_id": self.kimi_conn_id, "metadata": self.metadata, "poll_interval": self.poll_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever, and fire when there is news."""
        store = getattr(self, "asset_state_store", None)
        stored = None if store is None else await store.aget(MARK_KEY)
        mark = Mark(time.time()) if stored is None else Mark.from_dict(stored)
        hook = KimiHook(self.kimi_conn_id)
        try:
            async for news, after in Account(hook, self.poll_interval, self.log).ended(self.metadata, mark):
                if news:
                    yield TriggerEvent({"batches": [report_of(batch) for batch in news]})  # type: ignore[no-untyped-call]
                if store is not None and (stored is None or news or after.running != mark.running):
                    stored = after.to_dict()
                    await store.aset(MARK_KEY, stored)
                mark = after
        finally:
            await hook.aclose()
