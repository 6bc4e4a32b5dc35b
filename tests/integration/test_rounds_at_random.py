"""Whatever the model answers and whatever becomes of the batches, no usable answer is lost, or paid again."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.lifecycle import BatchRecord
from tests.conftest import Connect
from tests.support.rounds import BROKEN, QUICK, check_sums, job, manifest, results, tries
from tests.support.tasks import TaskInstanceRecord

SAID: Mapping[str, Answer | RowError | None] = {
    "yes": Answer("positive"),
    "refused": Answer("perhaps"),
    "cut": Answer("pos", finish_reason="length"),
    "empty": Answer(""),
    "filtered": Answer("", finish_reason="content_filter"),
    "broken": BROKEN,
    "nothing": None,
}

#: What becomes of a batch.
FATES: Mapping[str, Callable[[BatchRecord], None]] = {
    "completes": lambda batch: None,
    "expires": lambda batch: setattr(batch, "expires_at", batch.created_at + 3.5),
    "is cancelled": lambda batch: setattr(batch, "cancelling_at", batch.created_at + 2.5),
    "fails": lambda batch: setattr(batch, "balance_failure", True),
}

ROWS, MOST = 7, 3


class Answers:
    """Says to each row what the example has for it, and counts."""

    def __init__(self) -> None:
        self.begin([])

    def begin(self, said: list[list[str]]) -> None:
        self.said, self.asked, self.usable, self.twice = said, Counter[str](), Counter[str](), 0
        self.paid = Counter[str]()

    def __call__(self, request: Mapping[str, Any]) -> Answer | RowError | None:
        row = request["custom_id"]
        what = self.said[int(row[1:])][min(self.asked[row], MOST - 1)]
        self.asked[row] += 1
        self.twice += self.usable[row]
        self.usable[row] += what == "yes"
        self.paid[row] += isinstance(SAID[what], Answer)
        return SAID[what]


OFTEN = st.sampled_from([*SAID, "yes", "yes"])
OF_BATCH = st.sampled_from([*FATES, "completes", "completes", "completes"])


@settings(
    max_examples=15,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # not shrink, which takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    said=st.lists(st.lists(OFTEN, min_size=MOST, max_size=MOST), min_size=ROWS, max_size=ROWS),
    fates=st.lists(OF_BATCH, min_size=12, max_size=12),
    size=st.integers(2, ROWS),
)
def test_every_row_counts_once_and_no_usable_answer_is_lost_or_asked_again(
    platform: tuple[KimiSimulator, Answers], said: list[list[str]], fates: list[str], size: int
) -> None:
    sim, answers = platform
    sim.advance(200)
    sim.file_ids("batch")  # the batches of the example before have their answers now
    answers.begin(said)
    known, left, before = set(sim.batches), list(fates), Counter[str]()

    def meet() -> None:
        for batch_id in sim.batches.keys() - known:
            known.add(batch_id)
            FATES[left.pop() if left else "completes"](sim.batches[batch_id])

    with TemporaryDirectory() as name:
        folder = Path(name)
        task = job(folder, ROWS, sim=sim, output_schema=["positive", "negative"], max_rows_per_batch=size)
        run_id = uuid4().hex
        for number in range(1, 5):
            ti = TaskInstanceRecord(task_id="job", run_id=run_id, try_number=number)
            with suppress(AirflowException, KimiBatchError):
                tries(task, sim, number, at=dict.fromkeys(range(1, 9), meet), ti=ti)
            rows = results(folder)
            check_sums(manifest(folder), ROWS)
            assert list(rows) == [f"r{n}" for n in range(ROWS)]
            now = Counter(row["status"] for row in rows.values())
            assert now["succeeded"] == answers.usable.total() >= before["succeeded"]
            for row, found in rows.items():
                worths = [WORTH.get(what, 0) for what in said[int(row[1:])][: answers.asked[row]]]
                assert worth(found) == max(worths, default=0), (row, found, said)
            before = now
            assert not answers.twice, "a row is asked again though it has a usable answer"
    assert max(answers.paid.values(), default=0) <= MOST


#: How much an answer is worth; a later one never makes a row worth less.
WORTH = {"yes": 3, "refused": 2, "cut": 1, "empty": 1, "filtered": 1}


def worth(row: Mapping[str, Any]) -> int:
    if row["status"] == "succeeded":
        return 3
    if row["error_code"] == "schema_mismatch":
        return 2
    return row["status"] in ("truncated", "filtered", "invalid")


@pytest.fixture
def platform(connect: Connect) -> Any:
    """A platform, and what its model says."""
    answers = Answers()
    with KimiSimulator(speed=0, timing=QUICK, responder=answers) as sim:
        connect(sim)
        yield sim, answers
