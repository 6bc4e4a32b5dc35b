"""Which status a batch has at which second, and what a cancel can still stop."""

from typing import TYPE_CHECKING

import pytest

from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.simulator.conftest import Start
from tests.simulator.wire import line, lines, refused, rows_of, submit

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

DAY = 86_400
ALWAYS = {"created_at", "expires_at"}


def times(batch: "Batch") -> dict[str, int]:
    """Every moment that the batch shows, in seconds since its creation."""
    shown = batch.to_dict()
    return {
        name: int(str(at)) - batch.created_at
        for name, at in shown.items()
        if name.endswith("_at") and name not in ALWAYS and at is not None
    }


def counts(batch: "Batch") -> tuple[int, int, int]:
    """Total, completed and failed rows."""
    assert batch.request_counts is not None
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


class TestABatch:
    @pytest.mark.parametrize(
        ("seconds", "status", "moments", "completed"),
        [
            (0, "validating", {}, None),
            (2.75, "validating", {}, None),
            (3, "in_progress", {"in_progress_at": 3}, 0),
            (8, "in_progress", {"in_progress_at": 3}, 2),
            (22.75, "in_progress", {"in_progress_at": 3}, 7),
            (23, "finalizing", {"in_progress_at": 3, "finalizing_at": 23}, 8),
            (24.75, "finalizing", {"in_progress_at": 3, "finalizing_at": 23}, 8),
            (25, "completed", {"in_progress_at": 3, "finalizing_at": 23, "completed_at": 25}, 8),
            (DAY * 30, "completed", {"in_progress_at": 3, "finalizing_at": 23, "completed_at": 25}, 8),
        ],
    )
    def test_a_batch_has_one_status_at_each_moment(
        self,
        sim: KimiSimulator,
        client: "OpenAI",
        seconds: float,
        status: str,
        moments: dict[str, int],
        completed: int | None,
    ) -> None:
        batch_id = submit(client, *lines(8))
        sim.advance(seconds)
        batch = client.batches.retrieve(batch_id)
        assert (batch.status, times(batch)) == (status, moments)
        assert counts(batch) == ((0, 0, 0) if completed is None else (8, completed, 0))
        assert sim.status(batch_id) == status
        assert (batch.output_file_id is not None) == (status == "completed")

    def test_a_batch_shows_the_same_history_however_often_it_is_read(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        watched, unwatched = submit(client), submit(client)
        for _ in range(30):
            sim.advance(1)
            client.batches.retrieve(watched)
        assert times(client.batches.retrieve(watched)) == times(client.batches.retrieve(unwatched))

    def test_a_batch_takes_as_long_as_its_timing_says(self, start: Start) -> None:
        sim, client = start(options={"timing": Timing(60, 3000, 5400)})
        batch_id = submit(client)
        seen = []
        for seconds in (59, 1, 2999, 1, 5399, 1):
            sim.advance(seconds)
            seen.append(sim.status(batch_id))
        assert seen == ["validating", "in_progress", "in_progress", "finalizing", "finalizing", "completed"]

    def test_a_batch_may_take_no_time_at_all(self, start: Start) -> None:
        _, client = start(options={"timing": Timing(0, 0, 0)})
        batch = client.batches.retrieve(submit(client))
        assert (batch.status, counts(batch)) == ("completed", (1, 1, 0))


def test_a_batch_that_fails_does_so_when_its_validation_ends(sim: KimiSimulator, client: "OpenAI") -> None:
    batch_id = submit(client, line(body={"n": 1}))
    sim.advance(2.75)
    assert client.batches.retrieve(batch_id).status == "validating"
    sim.advance(0.25)
    batch = client.batches.retrieve(batch_id)
    assert (batch.status, times(batch)) == ("failed", {"failed_at": 3})
    assert counts(batch) == (1, 0, 0)


def test_a_batch_that_a_test_moves_into_the_future_can_be_read_and_stays_in_validating(
    sim: KimiSimulator, client: "OpenAI"
) -> None:
    batch_id = submit(client)
    sim.batches[batch_id].created_at += 1000
    sim.advance(60)
    assert (sim.status(batch_id), client.batches.retrieve(batch_id).status) == ("validating", "validating")


class TestExpiry:
    @pytest.mark.parametrize(
        ("timing", "before", "moments", "done"),
        [
            pytest.param(Timing(DAY + 1), "validating", {}, 0, id="in validating"),
            pytest.param(Timing(0, 2 * DAY), "in_progress", {"in_progress_at": 0}, 2, id="half way"),
            pytest.param(
                Timing(0, 60, DAY), "finalizing", {"in_progress_at": 0, "finalizing_at": 60}, 4, id="in finalizing"
            ),
        ],
    )
    def test_a_batch_expires_when_its_window_ends_wherever_it_stands(
        self, start: Start, timing: Timing, before: str, moments: dict[str, int], done: int
    ) -> None:
        sim, client = start(options={"timing": timing})
        batch_id = submit(client, *lines(4))
        sim.advance(DAY - 0.25)
        assert client.batches.retrieve(batch_id).status == before
        sim.advance(0.25)
        batch = client.batches.retrieve(batch_id)
        assert (batch.status, times(batch), counts(batch)) == ("expired", moments, (4, done, 0))
        assert [row["custom_id"] for row in sorted(rows_of(sim, batch.output_file_id), key=lambda row: row["id"])] == [
            f"row-{number}" for number in range(done)
        ]
        assert "expired_at" not in batch.to_dict()

    def test_a_batch_with_a_longer_window_expires_later(self, start: Start) -> None:
        sim, client = start(options={"timing": Timing(0, 2 * DAY)})
        short, long = submit(client, window="1d"), submit(client, window="3d")
        sim.advance(2 * DAY + 2)
        assert (sim.status(short), sim.status(long)) == ("expired", "completed")

    def test_a_batch_that_ends_in_the_second_of_its_expiry_is_completed(self, start: Start) -> None:
        sim, client = start(options={"timing": Timing(0, DAY, 0)})
        batch_id = submit(client)
        sim.advance(DAY)
        assert sim.status(batch_id) == "completed"

    def test_a_batch_expires_even_if_its_lines_were_never_judged(self, start: Start) -> None:
        sim, client = start(options={"timing": Timing(DAY + 1)}, unfinished_rows="error_file")
        batch_id = submit(client, b"{oops}")
        sim.advance(DAY)
        batch = client.batches.retrieve(batch_id)
        assert (batch.status, batch.output_file_id, batch.error_file_id) == ("expired", None, None)


class TestACancel:
    @pytest.mark.parametrize(
        ("seconds", "moments", "done"),
        [
            pytest.param(1, {"cancelling_at": 1}, 0, id="in validating"),
            pytest.param(13, {"in_progress_at": 3, "cancelling_at": 13}, 4, id="in progress"),
        ],
    )
    def test_a_cancel_stops_a_batch_that_is_not_done(
        self, sim: KimiSimulator, client: "OpenAI", seconds: float, moments: dict[str, int], done: int
    ) -> None:
        batch_id = submit(client, *lines(8))
        sim.advance(seconds)
        answer = client.batches.cancel(batch_id)
        assert (answer.status, times(answer)) == ("cancelling", moments)
        sim.advance(4.75)
        assert client.batches.retrieve(batch_id).status == "cancelling"
        sim.advance(0.25)
        batch = client.batches.retrieve(batch_id)
        assert batch.status == "cancelled"
        assert times(batch) == {**moments, "cancelled_at": moments["cancelling_at"] + 5}
        assert counts(batch) == (8, done, 0)
        assert len(rows_of(sim, batch.output_file_id)) == done
        assert batch.error_file_id is None

    def test_a_cancel_in_validating_spares_the_lines_their_judgement(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        batch_id = submit(client, b"{oops}")
        client.batches.cancel(batch_id)
        sim.advance(60)
        batch = client.batches.retrieve(batch_id)
        assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)

    def test_a_cancel_outlives_the_window_of_its_batch(self, start: Start) -> None:
        sim, client = start(options={"timing": Timing(0, 2 * DAY, cancelling_seconds=100)})
        batch_id = submit(client)
        sim.advance(DAY - 1)
        client.batches.cancel(batch_id)
        sim.advance(99)
        assert sim.status(batch_id) == "cancelling"
        sim.advance(1)
        assert sim.status(batch_id) == "cancelled"

    @pytest.mark.parametrize(
        ("status", "cancelled_before", "seconds"),
        [
            ("finalizing", False, 24),
            ("completed", False, 25),
            ("failed", False, 3),
            ("expired", False, DAY),
            ("cancelling", True, 0),
            ("cancelled", True, 5),
        ],
    )
    def test_a_cancel_is_refused_in_every_other_status_and_changes_nothing(
        self, start: Start, status: str, cancelled_before: bool, seconds: float
    ) -> None:
        sim, client = start(options={"timing": Timing(working_seconds=2 * DAY)} if status == "expired" else {})
        batch_id = submit(client, line(body={"n": 1} if status == "failed" else None))
        if cancelled_before:
            client.batches.cancel(batch_id)
        sim.advance(seconds)
        before = client.batches.retrieve(batch_id)
        assert before.status == status
        code, error_type, message = refused(lambda: client.batches.cancel(batch_id))
        assert (code, error_type) == (400, "invalid_request_error")
        assert status in message
        assert client.batches.retrieve(batch_id) == before
