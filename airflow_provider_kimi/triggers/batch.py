"""The trigger: waits for batches in the triggerer, where a wait costs no worker slot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow_provider_kimi.compat import BaseTrigger, TriggerEvent
from airflow_provider_kimi.flows.wait import Watch, until_finished
from airflow_provider_kimi.hooks.kimi import KimiHook


class KimiBatchTrigger(BaseTrigger):
    """Wait until every batch is terminal, the deadline has passed, or waiting on makes no sense; then fire once.

    It may be stopped and started again anywhere: everything it needs is in its arguments, and nothing it does
    changes a batch. Failed polls only delay it. The event is a
    :class:`~airflow_provider_kimi.batch.events.BatchEvent` as a dict.

    :param batch_ids: Batches to wait for.
    :param kimi_conn_id: Airflow connection, looked up in the triggerer.
    :param poll_interval: Seconds between two looks.
    :param deadline: Unix seconds; absolute, so that a restart does not begin the wait anew. None for no end.
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        kimi_conn_id: str = KimiHook.default_conn_name,
        poll_interval: float = 30.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch_ids = list(batch_ids)
        self.kimi_conn_id = kimi_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return all that a restart needs; no secret is in it."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_ids": self.batch_ids,
                "kimi_conn_id": self.kimi_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        hook = KimiHook(self.kimi_conn_id)
        watch = Watch(tuple(self.batch_ids), self.poll_interval, self.deadline)
        try:
            event = await until_finished(hook.aget_batch, watch, self.log)
        finally:
            await hook.aclose()
        yield TriggerEvent(event.to_dict())  # type: ignore[no-untyped-call]
