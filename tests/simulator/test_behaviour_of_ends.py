"""Switches of `Behaviour` that say how batches end: they fail, expire, or are cancelled."""

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.simulator.conftest import Start
from tests.simulator.wire import call, create, finish, jsonl, line, lines, refused, rows_of, submit, upload

if TYPE_CHECKING:
    from openai import OpenAI

DAY = 86_400


class TestFailure:
    def test_a_batch_without_money_fails_and_leaves_no_error_file(self, start: Start) -> None:
        sim, client = start(options={"balance": 0})
        batch = finish(sim, client)
        assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)

    def test_reserve_balance_weighs_the_worst_case_of_the_whole_batch(self, start: Start) -> None:
        statuses = {}
        for reserved in (True, False):
            sim, client = start(reserve_balance=reserved, options={"balance": 1.0})
            for tokens in (1000, None):  # 0.16 yuan, or 5.3 with the default of 32,768 tokens a row
                rows = lines(10, {} if tokens is None else {"max_completion_tokens": tokens})
                statuses[reserved, tokens] = finish(sim, client, *rows).status
        assert statuses == {
            (True, 1000): "completed",
            (True, None): "failed",
            (False, 1000): "completed",
            (False, None): "completed",
        }

    def test_line_errors_can_be_refused_at_once(self, start: Start) -> None:
        sim, client = start(line_errors="refused")
        file_id = upload(client, jsonl(line("a"), line("a")))
        message = "Invalid request: line 2: duplicate custom_id"
        assert refused(lambda: create(client, file_id)) == (400, "invalid_request_error", message)
        assert not sim.batches
        assert finish(sim, client).status == "completed"

    def test_forbidden_keys_fail_the_batch_or_the_row_or_nothing(self, start: Start) -> None:
        for key, value in (("temperature", 0), ("stream", True)):
            rows = [line("good"), line("bad", {key: value})]
            sim, client = start(forbidden_keys="batch")
            assert finish(sim, client, *rows).status == "failed"
            sim, client = start(forbidden_keys="row")
            batch = finish(sim, client, *rows)
            assert [row["custom_id"] for row in rows_of(sim, batch.output_file_id)] == ["good"]
            assert [row["custom_id"] for row in rows_of(sim, batch.error_file_id)] == ["bad"]
            sim, client = start(forbidden_keys="ignore")
            assert len(rows_of(sim, finish(sim, client, *rows).output_file_id)) == 2

    def test_custom_id_pattern_bounds_length_and_characters(self, start: Start) -> None:
        sim, client = start(custom_id_pattern=r"[\w-]{1,8}")
        assert finish(sim, client, line("row-0001")).status == "completed"
        for custom_id in ("row-00001", "row 1", "row-1\n"):
            assert finish(sim, client, line(custom_id)).status == "failed"

    def test_max_lines_bounds_a_file(self, start: Start) -> None:
        sim, client = start(max_lines=3)
        assert finish(sim, client, *lines(3)).status == "completed"
        batch = finish(sim, client, *lines(4))
        assert batch.status == "failed"
        assert "4 lines" in rows_of(sim, batch.error_file_id)[0]["error"]["message"]

    def test_batch_models_decide_what_may_run(self, start: Start) -> None:
        sim, client = start(batch_models=("kimi-k9",))
        assert finish(sim, client, line(body={"model": "kimi-k9"})).status == "completed"
        assert finish(sim, client).status == "failed"

    def test_models_are_the_ones_listed_and_usable_at_once(self, start: Start) -> None:
        sim, client = start(models=("kimi-k9",))
        assert [model.id for model in client.models.list()] == ["kimi-k9"]
        fields = {"model": "kimi-k9", "messages": [{"role": "user", "content": "x"}]}
        assert call(sim, "POST", "/chat/completions", fields).status == 200
        assert call(sim, "POST", "/chat/completions", {**fields, "model": "kimi-k2.6"}).status == 404


class TestABatchThatEndedEarly:
    TIMING = Timing(0, 2 * DAY)

    def ended(self, start: Start, status: str, **switches: Any) -> "tuple[KimiSimulator, OpenAI, str]":
        """Four rows, of which two were done."""
        sim, client = start(options={"timing": self.TIMING}, **switches)
        batch_id = submit(client, *lines(4))
        sim.advance(DAY - 1 if status == "cancelled" else DAY)
        if status == "cancelled":
            sim.advance(1 - 0.25)
            client.batches.cancel(batch_id)
            sim.advance(5)
        assert sim.status(batch_id) == status
        return sim, client, batch_id

    @pytest.mark.parametrize("kept", [True, False])
    def test_expired_output_can_be_withheld(self, start: Start, kept: bool) -> None:
        sim, client, batch_id = self.ended(start, "expired", expired_output=kept, cancelled_output=not kept)
        batch = client.batches.retrieve(batch_id)
        assert len(rows_of(sim, batch.output_file_id)) == (2 if kept else 0)
        assert (batch.output_file_id is not None) == kept

    @pytest.mark.parametrize("kept", [True, False])
    def test_cancelled_output_can_be_withheld(self, start: Start, kept: bool) -> None:
        sim, client, batch_id = self.ended(start, "cancelled", cancelled_output=kept, expired_output=not kept)
        batch = client.batches.retrieve(batch_id)
        assert len(rows_of(sim, batch.output_file_id)) == (1 if kept else 0)
        assert (batch.output_file_id is not None) == kept

    @pytest.mark.parametrize("status", ["expired", "cancelled"])
    def test_unfinished_rows_can_be_lines_of_the_error_file(self, start: Start, status: str) -> None:
        sim, client, batch_id = self.ended(start, status, unfinished_rows="absent")
        assert client.batches.retrieve(batch_id).error_file_id is None
        sim, client, batch_id = self.ended(start, status, unfinished_rows="error_file")
        batch = client.batches.retrieve(batch_id)
        done, undone = rows_of(sim, batch.output_file_id), rows_of(sim, batch.error_file_id)
        assert {row["custom_id"] for row in done + undone} == {f"row-{number}" for number in range(4)}
        assert {row["error"]["code"] for row in undone} == {f"batch_{status}"}
        assert batch.request_counts is not None
        assert batch.request_counts.failed == len(undone)


class TestCancel:
    def test_cancel_in_finalizing_can_be_allowed(self, start: Start) -> None:
        sim, client = start(cancel_in_finalizing=True)
        batch_id = submit(client, *lines(3))
        sim.advance(24)
        batch = client.batches.cancel(batch_id)
        assert (batch.status, batch.finalizing_at) == ("cancelling", batch.created_at + 23)
        sim.advance(5)
        assert len(rows_of(sim, client.batches.retrieve(batch_id).output_file_id)) == 3

    def test_cancel_again_status_answers_a_second_cancel(self, start: Start) -> None:
        sim, client = start(cancel_again_status=200)
        batch_id = submit(client)
        first = client.batches.cancel(batch_id)
        sim.advance(1)
        assert client.batches.cancel(batch_id) == first
        sim.advance(4)
        assert refused(lambda: client.batches.cancel(batch_id))[0] == 400
        _, client = start(cancel_again_status=400)
        batch_id = submit(client)
        client.batches.cancel(batch_id)
        assert refused(lambda: client.batches.cancel(batch_id))[0] == 400
