"""The sensor: a task that is done when its batches are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.batch.events import BatchEvent
from airflow_provider_kimi.batch.identity import read_batch_ids
from airflow_provider_kimi.batch.polling import Finish
from airflow_provider_kimi.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    XComArg,
)
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.flows.wait import Watch, check_completed, look
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger

#: The longest window is 7 days, and a batch was seen to take hours to end after it.
DEFAULT_TIMEOUT = timedelta(days=8)


class KimiBatchSensor(BaseSensorOperator):
    """Wait until every batch is terminal, giving the worker slot back meanwhile.

    A failed look (no network, 5xx, 429) only delays the wait. If the batches have ended already, the task does not
    defer. A retry or a clear waits for the same batches again; it never creates or cancels one.

    ====================================  ===========================================
    the batches ended as                  the task
    ====================================  ===========================================
    all ``completed``                     succeeds (rows in them may have failed)
    one ``failed, expired, cancelled``    ``on_incomplete``: fails at once, or succeeds
    not within ``timeout``                fails; the batches go on and are billed
    unknown id, refused key               fails at once, without a retry
    ====================================  ===========================================

    :param batch_id: One id, a list, or the rendered text of a list. Templated.
    :param kimi_conn_id: Airflow connection. Templated.
    :param deferrable: Wait in the triggerer. False waits in the worker, by ``mode`` (``poke`` or ``reschedule``).
    :param poke_interval: Seconds between two looks, at least 10 by the platform's advice.
    :param timeout: Seconds or timedelta after which the wait is given up; counted from the first look, and kept when
        the triggerer restarts. A shorter ``execution_timeout`` bounds the deferred wait too.
    :param on_incomplete: What a batch does that ended otherwise than ``completed``: ``fail`` the task, or
        ``continue``, so that a KimiBatchResultsOperator can land the rows that were done.
    :return: The ids, in the given order.
    """

    template_fields: Sequence[str] = ("batch_id", "kimi_conn_id")
    ui_color = "#e6e1ff"

    def __init__(
        self,
        *,
        batch_id: str | Sequence[str] | XComArg,
        kimi_conn_id: str = KimiHook.default_conn_name,
        deferrable: bool = True,
        poke_interval: timedelta | float = 30.0,
        timeout: timedelta | float | None = DEFAULT_TIMEOUT,
        on_incomplete: Literal["fail", "continue"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        if on_incomplete not in ("fail", "continue"):
            raise ValueError(f"on_incomplete is {on_incomplete!r}; it may be 'fail' or 'continue'")
        self.batch_id = batch_id
        self.kimi_conn_id = kimi_conn_id
        self.deferrable = deferrable
        self.on_incomplete = on_incomplete

    @cached_property
    def hook(self) -> KimiHook:
        """One hook, and so one HTTP client, for all looks of a task that waits in its worker."""
        return KimiHook(self.kimi_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait; in the triggerer unless there is nothing left to wait for."""
        if not self.deferrable:
            return super().execute(context)
        found = self.poke(context)
        if isinstance(found, PokeReturnValue):
            return found.xcom_value
        self.defer(
            trigger=KimiBatchTrigger(
                batch_ids=self._ids(),
                kimi_conn_id=self.kimi_conn_id,
                poll_interval=self.poke_interval,
                deadline=time.time() + self._seconds_to_wait(),
            ),
            method_name="execute_complete",
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once."""
        with airflow_errors():
            watch = Watch(tuple(self._ids()), self.poke_interval, deadline=None)
            step = look(self.hook, watch, self.log)
        if not isinstance(step, Finish):
            return False
        return PokeReturnValue(True, self._conclude(step.event))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Resume when the trigger has fired."""
        with airflow_errors():
            read = BatchEvent.from_dict(event)
        return self._conclude(read)

    def _seconds_to_wait(self) -> float:
        """Airflow enforces `execution_timeout` only while a worker is busy; the trigger keeps to it too."""
        own = [self.timeout] + ([self.execution_timeout.total_seconds()] if self.execution_timeout else [])
        return min(own)

    def _ids(self) -> list[str]:
        return read_batch_ids(self.batch_id)

    def _conclude(self, event: BatchEvent) -> list[str]:
        """End the task as the event says; the same in every mode."""
        try:
            with airflow_errors():
                self._judge(event)
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.soft_fail or getattr(self, "never_fail", False):
                raise AirflowSkipException(str(error)) from None
            raise
        return self._ids()

    def _judge(self, event: BatchEvent) -> None:
        if event.outcome == "timed_out":
            raise AirflowSensorTimeout(event.message)
        if event.outcome == "failed":
            raise KimiBatchError(event.message)
        if self.on_incomplete == "fail":
            check_completed(self.hook, event.batches, self.log)
