"""The sensor: a task that is done when its batches are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_kimi.choices import DEFAULT_CONN_ID, OnFinalFailure, OnIncomplete
from airflow_provider_kimi.compat import BaseSensorOperator, Context, PokeReturnValue, XComArg
from airflow_provider_kimi.fields import check_choice, check_texts
from airflow_provider_kimi.jobs.wait_terms import WaitTerms
from airflow_provider_kimi.links import LINKS
from airflow_provider_kimi.records.watch import CANCEL_GRACE_SECONDS, DEFAULT_STALL_SECONDS, OnStall, OnTimeout
from airflow_provider_kimi.rendering import TextTemplates
from airflow_provider_kimi.waiting.pace import LONGEST_PAUSE_SECONDS

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.kimi import KimiHook
    from airflow_provider_kimi.tasks.waiting import WaitingTask


class KimiBatchSensor(TextTemplates, BaseSensorOperator):
    """Wait until every batch is terminal. The wait holds no worker slot.

    A failed poll (no network, 5xx, 429) only delays the wait. If the batches have ended already, the task does not
    defer. A retry or a clear waits for the same batches again; it never creates one. While the task waits, its XCom
    ``return_value`` holds the ids, so that tasks behind it have them if it is marked success.

    ====================================  ===========================================
    the batches ended as                  the task
    ====================================  ===========================================
    all ``completed``                     succeeds (rows in them may have failed)
    one ``failed, expired, cancelled``    ``on_incomplete``: fails at once, or succeeds
    not in time                           ``on_timeout``, then fails without a retry
    unknown id, refused key               fails once that has lasted; ``retries`` count
    ====================================  ===========================================

    Batches end in time if they end within six hours after the last ``expires_at``, and before ``timeout`` and
    ``execution_timeout``. A task that is marked failed cancels what runs, unless another task instance of the run may
    be waiting for it (``cancel_on_kill``). A success mark, a skip and a clear cancel nothing.

    :param batch_id: One id, a list, or the rendered text of a list. Templated.
    :param kimi_conn_id: Airflow connection. Templated.
    :param deferrable: Wait in the triggerer. False waits in the worker, by ``mode`` (``poke`` or ``reschedule``).
    :param poke_interval: Seconds or timedelta between two polls, whatever the platform's tier allows. None for a pace
        that slows down with the batches' age from 10 seconds to a minute (more for windows of days), speeds up near
        their end, and keeps to the connection's ``requests_per_minute`` (3 if it says nothing).
    :param timeout: Seconds or timedelta after which the wait ends, counted from the first poll of this try and kept
        when the triggerer restarts; None for as long as the platform may take. On Airflow 2 a task in
        ``mode="reschedule"`` keeps to Airflow's own limit, an hour later, and cancels nothing then.
    :param on_timeout: What becomes of batches that have not ended in time: ``keep`` lets them go on, and a clear waits
        on; ``cancel`` cancels them and waits up to an hour for their end, so that completed rows can be landed.
    :param cancel_on_kill: Cancel what runs when the task or its run is marked failed while it waits, or the run times
        out (``dagrun_timeout``). For a deferred task this needs Airflow 3.3 and a live triggerer; a task in
        ``mode="reschedule"`` cannot notice.
    :param on_final_failure: What becomes of batches that still run when the task fails for good for another reason:
        ``keep`` lets them go on, and the message names them; ``cancel`` cancels them.
    :param stall_timeout: Seconds or timedelta after which a batch that has not moved is stalled; half an hour after its
        ``expires_at`` it is stalled too. In ``mode="reschedule"`` rows that no longer get done are not noticed.
    :param on_stall: What becomes of a stalled batch: ``keep`` warns and waits on, ``cancel`` cancels it and waits for
        its end, ``fail`` fails the task and does with it what ``on_final_failure`` says.
    :param progress: Push the XCom ``progress`` while the task is deferred, and at its end. False for an XCom backend to
        which that is too slow or too dear; ``"progress": false`` in the connection's extra says so for all its waits.
    :param on_incomplete: What happens if a batch is ``failed``, ``expired`` or ``cancelled``: ``fail`` fails the task,
        ``continue`` goes on, so that a KimiBatchResultsOperator can land the completed rows.
    :return: The ids, in the given order.
    """

    template_fields: Sequence[str] = ("batch_id", "kimi_conn_id")
    operator_extra_links = LINKS
    ui_color = "#e6e1ff"

    def __init__(
        self,
        *,
        batch_id: str | Sequence[str] | XComArg,
        kimi_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = True,
        poke_interval: timedelta | float | None = None,
        timeout: timedelta | float | None = None,
        on_timeout: OnTimeout = "keep",
        cancel_on_kill: bool = True,
        on_final_failure: OnFinalFailure = "keep",
        stall_timeout: timedelta | float = DEFAULT_STALL_SECONDS,
        on_stall: OnStall = "keep",
        on_incomplete: OnIncomplete = "fail",
        progress: bool = True,
        **kwargs: Any,
    ) -> None:
        terms = WaitTerms.of(
            deferrable=deferrable,
            poke_interval=poke_interval,
            timeout=timeout,
            on_timeout=on_timeout,
            stall_timeout=stall_timeout,
            on_stall=on_stall,
            on_final_failure=on_final_failure,
            cancel_on_kill=cancel_on_kill,
            progress=progress,
        )
        # Airflow's own limit, which holds in a worker only, comes last: ours ends the wait in order.
        super().__init__(
            poke_interval=LONGEST_PAUSE_SECONDS if terms.pause_seconds is None else terms.pause_seconds,
            timeout=terms.allowed_seconds + CANCEL_GRACE_SECONDS,
            **kwargs,
        )
        check_choice("on_incomplete", on_incomplete, get_args(OnIncomplete))
        self.batch_id = batch_id
        check_texts(kimi_conn_id=kimi_conn_id)
        self.kimi_conn_id = kimi_conn_id
        self.deferrable = deferrable
        self.on_incomplete = on_incomplete
        self.terms = terms
        self.is_killed = False
        self._task: WaitingTask | None = None
        self._pause_seconds = LONGEST_PAUSE_SECONDS

    @cached_property
    def hook(self) -> KimiHook:
        """One hook, and so one HTTP client, for all polls of a task that waits in its worker."""
        from airflow_provider_kimi.hooks.kimi import KimiHook

        return KimiHook(self.kimi_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait; in the triggerer unless there is nothing left to wait for."""
        if self.mode == "reschedule" and not self.deferrable:
            return super().execute(context)
        with self._begun(context) as task:
            return task.until_ended()

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once."""
        with self._begun(context) as task:
            first, batch_ids = task.poke()
            self._pause_seconds = first.pause_seconds
            return False if batch_ids is None else PokeReturnValue(True, batch_ids)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume when the trigger has fired."""
        with self._begun(context) as task:
            return task.resumed(event)

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Say when to poke again in ``mode="reschedule"``; Airflow asks so in all its versions since 2.11."""
        asked = super()._get_next_poke_interval(*args, **kwargs) if self.exponential_backoff else 0.0
        return max(float(asked), self._pause_seconds)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Report the batches to OpenLineage; the same in every mode."""
        from airflow_provider_kimi.lineage import lineage_of_batches

        return lineage_of_batches(self.batch_id, self.kimi_conn_id)

    def on_kill(self) -> None:
        """Cancel what runs, if the task is given up while it is in a worker."""
        self.is_killed = True
        if self._task is not None:
            self._task.kill()

    def _begun(self, context: Context) -> WaitingTask:
        """Begin the wait, ready for a kill, also for one that has come already."""
        from airflow_provider_kimi.tasks.waiting import WaitingTask

        task = self._task = WaitingTask(self, context)
        if self.is_killed:
            task.kill()
        return task
