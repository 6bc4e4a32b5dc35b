"""How a task submits: what operators that create batches do in a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.calls.stop import Stop
from airflow_provider_kimi.compat import Context, first_poke
from airflow_provider_kimi.context import read_attempt, wants_fresh
from airflow_provider_kimi.fields import said, said_list
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.kills.thread import Kill
from airflow_provider_kimi.links import show_links
from airflow_provider_kimi.rendering import given
from airflow_provider_kimi.requests.inputs import bound
from airflow_provider_kimi.requests.media import media_columns
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.requests.text_forms import read_reading
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.submission.ending import Ending
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.job import Memory
from airflow_provider_kimi.submission.submit import Approve, Submission, submit

if TYPE_CHECKING:
    from airflow_provider_kimi.operators.asking import AskingOperator


class AskingTask:
    """One try of a task that makes batches.

    :param operator: Whose parameters say what to do.
    """

    #: Whether it is too late to submit anything.
    only_attaches = False

    _stop: Stop | None = None
    _kill: Kill | None = None

    def __init__(self, operator: AskingOperator, context: Context) -> None:
        self.operator = operator
        self.context = context

    @property
    def log(self) -> Log:
        """The log of the task."""
        log: Log = self.operator.log
        return log

    def submit(self, approve: Approve | None = None, in_flight: InFlight | None = None) -> Submission:
        """Check, upload, create; attach to what an earlier attempt has created.

        :param approve: What may refuse to submit what is not there; None refuses nothing.
        :param in_flight: How many batches may run; what finds no room is only uploaded. None creates all of them.
        """
        with self.creating() as calls:
            show_links(self.context, calls.hook)
            submission = submit(calls, self.order(calls), self.attempt(), self._memory(), approve, in_flight)
        show_links(self.context, calls.hook, submission.batch_ids)
        ti = self.context["ti"]
        ti.xcom_push("input_file_ids", submission.input_file_ids)
        ti.xcom_push("request_count", submission.request_count)
        return submission

    @contextmanager
    def creating(self) -> Iterator[Calls]:
        """Be ready for a kill while batches are created: what this makes is then dealt with."""
        operator, stop = self.operator, Stop()
        self._stop = stop
        calls = Calls(operator._hook_of(operator.kimi_conn_id), self.log, operator._sleep, stop)
        self._kill = Kill(Ending(calls, self.context["ti"], read_attempt(self.context)), self.log)
        if operator.is_killed:
            self.kill()
        try:
            with self._kill, airflow_errors(operator):
                yield calls
        finally:
            self._kill = None  # what follows is none of its business

    def attempt(self) -> Attempt:
        """Which attempt of which task instance this is."""
        attempt = read_attempt(self.context)
        if first_poke(self.context) is not None:  # a retry policy has put this try off after it had begun
            return replace(attempt, number=attempt.number + 1)
        return attempt

    def order(self, calls: Calls) -> Order:
        """What is to be done."""
        operator = self.operator
        check_location("input", operator.input)
        schema = read_schema(operator.output_schema)
        recipe: Recipe = self._filled(
            Recipe,
            model=operator.model or calls.hook.settings.model,
            messages=given(operator.messages),
            body=given(operator.body),
            key_column=said_list(operator.key_column),
            request_params=said(operator.request_params) or {},
            response_format=schema.response_format if schema else None,
            rules=ParameterRules(operator.parameter_check, operator.parameter_rules),
        )
        order: Order = self._filled(
            Order,
            input=bound(as_uri(given(operator.input)), self.context),
            recipe=recipe,
            reading=read_reading(operator.csv_options, operator.encoding),
            metadata=said(operator.metadata) or {},
            media_columns=media_columns(operator.image_column, operator.video_column),
            reuse="never" if wants_fresh(self.context) else operator.reuse,
            only_attaches=self.only_attaches,
            saving=self.saving(calls),
        )
        return order

    def saving(self, calls: Calls) -> Saving | None:
        """How rows are saved whose answers are there; None if all rows are sent."""
        return None

    def kill(self) -> None:
        """Start nothing more that costs money, and cancel what runs if the task is given up; else it is kept."""
        if self._stop is not None:
            self._stop.set("Airflow has killed it")
        if self.operator.cancel_on_kill and self._kill is not None:
            self._kill.begin()

    def _memory(self) -> Memory | None:
        """Where ids are noted for later attempts; None where Airflow has no such place."""
        return self.context.get("task_state_store")

    def _filled(self, kind: type[Any], **others: Any) -> Any:
        """Make a value whose other fields are parameters of the same names."""
        names = {field.name for field in fields(kind)} - others.keys()
        return kind(**{name: getattr(self.operator, name) for name in names}, **others)
