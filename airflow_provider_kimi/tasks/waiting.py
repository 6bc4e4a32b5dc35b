"""How a sensor waits and judges how batches have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.ids import read_batch_ids
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import AirflowSensorTimeout, AirflowSkipException, Context
from airflow_provider_kimi.context import is_last_try
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.jobs.wait import TaskWait
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.results.shortfall import Shortfall, shortfall
from airflow_provider_kimi.waiting.wait import FirstPoll

if TYPE_CHECKING:
    from airflow_provider_kimi.sensors.batch import KimiBatchSensor

#: What to do where nothing runs now.
LAND_IT = (
    "Land what there is with KimiBatchResultsOperator (on_incomplete='continue' here goes on to it), then submit the "
    "rest again."
)


class WaitingTask:
    """One try of a sensor. It is entered while the sensor deals with its batches."""

    def __init__(self, sensor: KimiBatchSensor, context: Context) -> None:
        self._sensor = sensor
        self._context = context
        with airflow_errors(sensor):
            batch_ids = read_batch_ids(sensor.batch_id)
        is_rescheduled = sensor.mode == "reschedule"
        self._wait = TaskWait(sensor, context, sensor.hook, batch_ids, sensor.terms, is_rescheduled=is_rescheduled)

    def __enter__(self) -> Self:
        self._wait.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait.__exit__()

    def until_ended(self) -> list[str]:
        """Wait; in the triggerer unless there is nothing left to wait for."""
        return self._conclude(self._wait.until_ended())

    def resumed(self, event: dict[str, Any]) -> list[str]:
        """Go on when the trigger has fired."""
        with airflow_errors(self._sensor):
            read = BatchEvent.from_dict(event)
        return self._conclude(self._wait.resumed(read))

    def poke(self) -> tuple[FirstPoll, list[str] | None]:
        """Poll once; return what was seen, and the ids if the wait is over."""
        first = self._wait.poke()
        return first, None if first.event is None else self._conclude(first.event)

    def kill(self) -> None:
        """Cancel what runs, if the task is given up."""
        self._wait.kill()

    def _conclude(self, event: BatchEvent) -> list[str]:
        sensor, wait = self._sensor, self._wait
        wait.show_end(event)
        try:
            with airflow_errors(sensor):
                wait.check(event)
                self._judge(event)
        except (KimiError, AirflowSensorTimeout) as error:
            may_pass = isinstance(error, KimiError) and error.retryable and not is_last_try(self._context)
            if not may_pass and (sensor.soft_fail or getattr(sensor, "never_fail", False)):
                sensor.log.warning("%s", error)  # Airflow does not log why a task was skipped
                raise AirflowSkipException(str(error)) from None
            raise
        return list(wait.batch_ids)

    def _judge(self, event: BatchEvent) -> None:
        sensor = self._sensor
        is_late = event.outcome == "timed_out"
        calls = Calls(sensor.hook, sensor.log)
        found = Shortfall("The wait timed out.", event.message) if is_late else shortfall(calls, event)
        if found is None:
            return
        if sensor.on_incomplete == "continue":
            sensor.log.warning("Going on, as on_incomplete='continue' asks. %s %s", *found)
            return
        raise (AirflowSensorTimeout if is_late else KimiBatchError)(f"{found.cause} {LAND_IT} {found.details}")
