"""What a task asks Airflow 3 for, answered from values: the other end of the socket of a task's process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow.sdk.api.datamodels._generated import DagRunState
from airflow.sdk.execution_time import comms, task_runner


@dataclass
class Supervisor:
    """Answers what is asked about one run.

    :param states: State of each task instance, by Airflow's name for it: `wait`, or `wait_0` for a mapped one.
    :param xcoms: By task id, map index and key.
    :param run_state: Of the run.
    :param question: What the task has asked a person first. Airflow 3.3 goes on showing it, whatever is asked later.
    """

    states: Mapping[str, str | None] = field(default_factory=dict)
    xcoms: Mapping[tuple[str, int, str], Any] = field(default_factory=dict)
    run_state: str = "running"
    question: "comms.CreateHITLDetailPayload | None" = None  # from Airflow 3.1 on

    def send(self, msg: Any) -> Any:
        """Answer one message."""
        match msg:
            case comms.GetTaskStates(run_ids=[run_id], task_ids=task_ids, map_index=index):
                names = [f"{task_id}_{index}" if index is not None else task_id for task_id in task_ids or []]
                states = {name: state for name, state in self.states.items() if not names or name in names}
                return comms.TaskStatesResult(task_states={run_id: states})
            case comms.GetXCom(task_id=task_id, map_index=index, key=key):
                return comms.XComResult(key=key, value=self.xcoms.get((task_id, -1 if index is None else index, key)))
            case comms.GetDRCount():
                return comms.DRCount(count=1)
            case comms.GetDagRunState():
                return comms.DagRunStateResult(state=DagRunState(self.run_state))
            case comms.CreateHITLDetailPayload():
                self.question = self.question or msg
                # Airflow 3.1 and newer have it.
                from airflow.api_fastapi.execution_api.datamodels.hitl import HITLDetailRequest

                taken = HITLDetailRequest.model_validate(self.question.model_dump(mode="json", exclude={"type"}))
                return comms.HITLDetailRequestResult(**taken.model_dump())
        raise AssertionError(f"nothing answers {msg!r}")


S = TypeVar("S", bound=Supervisor)


@contextmanager
def supervised(supervisor: S) -> Iterator[S]:
    """Be a task's process, as Airflow makes it: with a supervisor at the other end."""
    module: Any = task_runner
    before = getattr(module, "SUPERVISOR_COMMS", None)
    module.SUPERVISOR_COMMS = supervisor
    try:
        yield supervisor
    finally:
        if before is None:
            del module.SUPERVISOR_COMMS
        else:
            module.SUPERVISOR_COMMS = before
