"""A model that answers by how often a row was asked, and the one task whose pauses cost no time."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.simulator import Answer, KimiSimulator, Timing
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.lifecycle import BatchRecord
from tests.support.tasks import Attempt, TaskInstanceRecord, resume_task, run_task

QUICK = Timing(validating_seconds=1, working_seconds=5, finalizing_seconds=1, cancelling_seconds=1)

#: How much faster than real time the platform of these tests runs.
SPEED = 50.0

#: What the model says to a row: its id, how often it was asked, and the body of the request.
Say = Callable[[str, int, Mapping[str, Any]], Answer | RowError | None]

BROKEN = RowError("server_error", "try again", 500)
YES = Answer("positive")


class Model:
    """Answers by the row and by how often it was asked; notes every request."""

    def __init__(self, say: Say) -> None:
        self.asked: Counter[str] = Counter()
        self.bodies: dict[str, list[Mapping[str, Any]]] = {}
        self._say = say

    def __call__(self, request: Mapping[str, Any]) -> Answer | RowError | None:
        custom_id, body = request["custom_id"], request["body"]
        self.bodies.setdefault(custom_id, []).append(body)
        self.asked[custom_id] += 1
        return self._say(custom_id, self.asked[custom_id], body)


def failing(*once: int, always: Iterable[int] = ()) -> Say:
    """Rows of these numbers fail the first time, or always."""
    never = set(always)

    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        number = int(custom_id[1:])
        return BROKEN if number in never or (number in once and times == 1) else YES

    return say


def reviews(folder: Path, rows: int) -> str:
    """Write a table."""
    path = folder / "reviews.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{n}", "text": f"review {n}"}) + "\n" for n in range(rows)))
    return str(path)


def job(folder: Path, rows: int = 10, *, sim: KimiSimulator, **parameters: Any) -> KimiBatchOperator:
    """The one task; where a worker pauses, the clock of the platform is moved on."""

    class Job(KimiBatchOperator):
        _sleep = staticmethod(sim.advance)

    return Job(
        **{
            **{"task_id": "job", "input": reviews(folder, rows), "output": f"{folder}/out", "key_column": "id"},
            **{"prompt": "Positive or negative? {text}", "max_rounds": 3, "poke_interval": 0.1, **parameters},
        }
    )


def tries(
    task: Any,
    sim: KimiSimulator,
    number: int = 1,
    at: Mapping[int, Callable[[], None]] | None = None,
    ti: TaskInstanceRecord | None = None,
    **variables: Any,
) -> Attempt:
    """Run a try of the task to its end. The clock of the platform stands still but for its waits.

    :param at: What happens on the platform once the task has deferred for a wait of this number, from 1.
    """
    attempt = run_task(task, ti or TaskInstanceRecord(task_id=task.task_id, try_number=number), **variables)
    for wait in count(1):
        if (deferred := attempt.deferred) is None:
            return attempt
        (at or {}).get(wait, lambda: None)()
        sim.advance(100)
        _, arguments = deferred.trigger.serialize()
        kwargs = json.loads(json.dumps(deferred.kwargs or {}))
        attempt = resume_task(
            task,
            ended(arguments["batch_ids"], number).to_dict(),
            number,
            ti=attempt.ti,
            kwargs=kwargs,
            variables=variables,
        )
    raise AssertionError("unreachable")


def ended(batch_ids: Iterable[str], number: int) -> BatchEvent:
    """The event that resumes a task once these batches have ended, without the time that a trigger takes."""
    ends = {batch_id: BatchEnd.of(KimiHook().get_batch(batch_id)) for batch_id in batch_ids}
    return BatchEvent("ended", ends, try_number=number)


def newest(sim: KimiSimulator) -> BatchRecord:
    """The batch that was created last."""
    return list(sim.batches.values())[-1]


def expire(sim: KimiSimulator, seconds: float = 3.5) -> Callable[[], None]:
    """Let the newest batch expire this long after its create."""

    def expire_newest() -> None:
        newest(sim).expires_at = newest(sim).created_at + seconds

    return expire_newest


def lines_of(sim: KimiSimulator, batch_id: str) -> list[dict[str, Any]]:
    """The requests of a batch."""
    return lines_in(sim, str(sim.batches[batch_id].input_file_id))


def lines_in(sim: KimiSimulator, file_id: str) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in sim.file_content(file_id).splitlines()]


def asked_in(sim: KimiSimulator, status: str | None = None) -> list[list[str]]:
    """The ids that each batch has asked for, in the order of the creates.

    :param status: Of which batches; None for all.
    """
    wanted = [batch_id for batch_id in sim.batches if status in (None, sim.status(batch_id))]
    return [[line["custom_id"] for line in lines_of(sim, batch_id)] for batch_id in wanted]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of the result, by their ids."""
    rows = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_bytes().splitlines()]
    assert len({row["custom_id"] for row in rows}) == len(rows)
    return {row["custom_id"]: row for row in rows}


def letters(folder: Path) -> list[str]:
    """The ids of the dead letters."""
    path = folder / "out" / "dead_letter.jsonl"
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()] if path.exists() else []


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the result."""
    found: dict[str, Any] = json.loads((folder / "out" / "manifest.json").read_bytes())
    return found


def check_sums(found: Mapping[str, Any], rows: int) -> None:
    """Every row counts once, and the rounds add up."""
    counts = found["counts"]
    assert counts["total"] == rows == sum(number for status, number in counts.items() if status != "total")
    assert sum(failure["count"] for failure in found.get("failures", ())) == rows - counts["succeeded"]
    if "by_round" in found:
        assert sum(of_round["succeeded"] for of_round in found["by_round"]) == counts["succeeded"]
        assert found["by_round"][0]["requests"] <= rows
