"""2,000 reviews in three rounds, of which 3 % fail once and 1 % always; the process dies in each round."""

import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError, Timing
from tests.crash.processes import Chain, told
from tests.support.reviews import COUNT, read_rows, reviews_file
from tests.support.rounds import Model, asked_in, letters, manifest, results

#: Places in each hundred of rows that fail once, and the one that fails always.
ONCE, ALWAYS = (7, 40, 73), 99

#: Where the process dies, once in each round; those that could pay twice die in every run of the tests.
WORST = ("after create_batch", "deferred", "os.remove results.jsonl")
POINTS = (
    *WORST,
    "before upload_file",
    "after upload_file",
    "before create_batch",
    "open results.jsonl",
    "os.rename results.jsonl",
)

#: Nothing ends by itself, so that the task defers in each round on the slowest machine.
TIMING = Timing(working_seconds=400)

#: So many polls since the last batch was created are the trigger's: the task itself polls once.
POLLS = 8


@contextmanager
def platform(model: Model) -> Iterator[KimiSimulator]:
    """A platform whose batches end when a trigger polls them."""
    over = Event()
    with KimiSimulator(timing=TIMING, responder=model) as sim, ThreadPoolExecutor(1) as pool:
        watching = pool.submit(_end_what_is_polled, sim, over)
        try:
            yield sim
        finally:
            over.set()
            watching.result()


def _end_what_is_polled(sim: KimiSimulator, over: Event) -> None:
    while not over.wait(0.005):
        calls = [call.name for call in sim.journal]
        created = len(calls) - calls[::-1].index("create_batch") if "create_batch" in calls else len(calls)
        if calls[created:].count("get_batch") >= POLLS:
            sim.advance(sum((TIMING.validating_seconds, TIMING.working_seconds, TIMING.finalizing_seconds)))


class Reviews:
    """The reviews, their model, and the job.

    :param folder: For the table.
    """

    def __init__(self, folder: Path) -> None:
        self.table = reviews_file(folder)
        self.ids = [row["review_id"] for row in read_rows(self.table)]
        assert len(self.ids) == COUNT
        self.once = [self.ids[place] for place in range(COUNT) if place % 100 in ONCE]
        self.always = [self.ids[place] for place in range(COUNT) if place % 100 == ALWAYS]
        self.again = [self.ids[place] for place in range(COUNT) if place % 100 in (*ONCE, ALWAYS)]

    def model(self) -> Model:
        """A model that fails as said."""
        once, always = set(self.once), set(self.always)

        def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
            fails = custom_id in always or (custom_id in once and times == 1)
            return RowError("server_error", "try again", 500) if fails else Answer("positive")

        return Model(say)

    @property
    def job(self) -> dict[str, Any]:
        """Parameters of the one task."""
        return {
            "input": str(self.table),
            "key_column": "review_id",
            "prompt": "Is this review positive or negative? {text}",
            "output_schema": ["positive", "negative"],
            "max_rows_per_batch": None,
        }


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Reviews:
    return Reviews(tmp_path_factory.mktemp("reviews"))


def check(sim: KimiSimulator, model: Model, reviews: Reviews, folder: Path) -> None:
    """Three batches with exactly the rows of their round, no row asked more often, and 99 % labelled."""
    assert {sim.status(batch_id) for batch_id in sim.batches} == {"completed"}
    assert asked_in(sim) == [reviews.ids, reviews.again, reviews.always]
    expected = dict.fromkeys(reviews.ids, 1) | dict.fromkeys(reviews.once, 2) | dict.fromkeys(reviews.always, 3)
    assert model.asked == expected
    found = manifest(folder)
    assert found["batch_ids"] == list(sim.batches)
    assert found["by_round"] == [
        {"requests": 2000, "succeeded": 1920},
        {"requests": 80, "succeeded": 60},
        {"requests": 20, "succeeded": 0},
    ]
    assert {name: number for name, number in found["counts"].items() if number} == {
        **{"total": 2000, "succeeded": 1980, "failed": 20}
    }
    rows = results(folder)
    assert list(rows) == reviews.ids
    assert {row["parsed"] for row in rows.values() if row["status"] == "succeeded"} == {"positive"}
    assert letters(folder) == reviews.always == [key for key, row in rows.items() if row["status"] != "succeeded"]
    assert {row["round"] for row in rows.values() if row["custom_id"] in reviews.once} == {2}


def test_three_rounds_label_99_percent_and_hold_exactly_the_rows_that_are_asked_again(
    chain: Chain, tmp_path: Path, reviews: Reviews
) -> None:
    model = reviews.model()
    with platform(model) as sim:
        assert chain.run(sim, tmp_path, 1, None, job=reviews.job) == 0
        check(sim, model, reviews, tmp_path)
        calls = [call.name for call in sim.journal]
    assert (calls.count("upload_file"), calls.count("create_batch")) == (3, 3)
    passed = told(tmp_path)["points"]
    assert {point: passed.count(point) for point in POINTS} == dict.fromkeys(POINTS, 3)


@pytest.mark.parametrize("in_round", [1, 2, 3])
@pytest.mark.parametrize(
    "point", [each if each in WORST else pytest.param(each, marks=pytest.mark.slow) for each in POINTS]
)
def test_killed_in_any_round_the_retry_comes_to_the_same_end_and_sends_nothing_twice(
    chain: Chain, tmp_path: Path, reviews: Reviews, point: str, in_round: int
) -> None:
    model = reviews.model()
    with platform(model) as sim:
        assert chain.run(sim, tmp_path, 1, in_round, point=point, job=reviews.job) == -signal.SIGKILL
        before = list(sim.batches)
        assert chain.run(sim, tmp_path, 2, None, job=reviews.job) == 0
        assert list(sim.batches)[: len(before)] == before
        check(sim, model, reviews, tmp_path)
