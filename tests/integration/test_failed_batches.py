"""A failed batch: the task says why, as far as the platform says."""

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, submit_prompts
from tests.support.waiting import batch_that_ends_as, first_poll, sensor


class TestTheReasonOfAFailedBatch:
    def test_the_reason_of_a_failed_batch_comes_from_its_error_file(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """Accepted, then refused."""
        body = {"model": "kimi-k3", "messages": [{"role": "user", "content": "hi"}]}
        submission = submit(hook, order([request("x", body=body)]), ATTEMPT, LogRecord())
        sim.advance(60)
        with pytest.raises(AirflowFailException) as caught:
            first_poll(sensor(submission.batch_ids))
        assert "custom_id 'x': invalid_request_error: line 1: model 'kimi-k3' not found" in str(caught.value)

    def test_the_reason_of_a_failed_batch_is_reported_though_it_names_no_row(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        """A fault of the whole file; its line in the error file has no custom_id."""
        with KimiSimulator(speed=0, behaviour=Behaviour(max_lines=2)) as sim:
            hook = connect(sim)
            submission = submit_prompts(hook, 3)
            sim.advance(60)
            with pytest.raises(
                AirflowFailException, match="is failed, 0 of 3 rows completed: invalid_request_error: the file"
            ):
                first_poll(sensor(submission.batch_ids))
            landed = collect(Calls(hook, LogRecord()), Landing(submission.batch_ids, str(tmp_path)))
        assert "invalid_request_error: the file has 3 lines" in landed.tally.summary()

    def test_the_reason_of_a_failed_batch_without_an_error_file_is_guessed(
        self, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        batch_id = batch_that_ends_as("failed", sim, hook)
        with pytest.raises(AirflowFailException, match="the most common cause is the balance.*left no error file"):
            first_poll(sensor(batch_id))

    def test_an_empty_error_file_id_downloads_nothing(self, connect: Connect) -> None:
        """No request to /files//content."""
        with KimiSimulator(speed=0, behaviour=Behaviour(empty_file_id="empty")) as sim:
            hook = connect(sim)
            batch_id = batch_that_ends_as("failed", sim, hook)
            with pytest.raises(AirflowFailException, match="left no error file"):
                first_poll(sensor(batch_id))
            assert "download_file" not in [call.name for call in sim.journal]
