"""Which work is the same, and which try does it."""

from dataclasses import dataclass

from airflow_provider_kimi.records.tags import TaskIdentity, digest_of


@dataclass(frozen=True)
class Attempt:
    """One try of a task instance. Nothing of it but `task` decides which work is the same.

    :param number: Airflow's try number, from 1.
    :param mark: Differs between any two tries, also of runs that bear the same id.
    :param is_last: Whether the task fails for good if this try fails.
    :param run_after: Unix seconds before which its run cannot have submitted anything; None if that is not known.
    """

    task: TaskIdentity
    number: int = 1
    mark: str = "1"
    is_last: bool = True
    run_after: float | None = None


def create_mark(attempt: Attempt, call: int, random: str) -> str:
    """Name one create call: a batch that carries this mark was made by it and by no other.

    :param call: Number of the call among those that this attempt sends for a shard, from 1.
    :param random: Differs between any two calls.
    """
    return f"{attempt.number}.{call}.{random}"


def job_key(task: TaskIdentity, input_fingerprint: str) -> str:
    """Name the work: the same for every attempt, and for a mapped instance whose index has moved.

    Each iteration of a loop does work of its own, even if its input is that of another.
    """
    of_loop = () if task.iteration is None else (f"iteration {task.iteration}",)
    return digest_of(task.dag_id, task.run_id, task.task_id, *of_loop, input_fingerprint).removeprefix("sha256:")[:32]
