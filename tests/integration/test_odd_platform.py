"""What is created later, on a platform that behaves in ways nobody has documented."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiBatchError
from tests.conftest import Connect
from tests.support.in_flight import resumed
from tests.support.odd_platform import odd_platform
from tests.support.rounds import job
from tests.support.tasks import Attempt, TaskInstanceRecord, run_task


def one_job(folder: Path, odd: Any, rows: int, **parameters: Any) -> Any:
    folder.mkdir(exist_ok=True)
    return job(folder, rows, sim=odd, **{"max_rounds": 1, "poke_interval": 60, **parameters})


def begun(task: Any, number: int = 1, map_index: int = -1) -> Attempt:
    return run_task(task, TaskInstanceRecord(task_id=task.task_id, try_number=number, map_index=map_index))


class TestABatchThatFailsForLackOfRoom:
    def test_rows_that_were_answered_before_are_not_asked_again(self, connect: Connect, tmp_path: Path) -> None:
        """The money ran out midway, and the platform does not count the rows of a failed batch."""
        with odd_platform() as odd:
            connect(odd)
            task = one_job(tmp_path, odd, 4)
            attempt = begun(task)
            odd.complete("batch_0002", status="failed", rows=3)
            odd.give_reason("batch_0002", "insufficient balance")
            odd.batches["batch_0002"]["request_counts"] = None
            with pytest.raises(KimiBatchError, match="1 of 1 batches did not complete"):
                resumed(task, odd, attempt)
            assert len(odd.batches) == 1
            odd.advance(3600)
            begun(task, 2)
            assert odd.asked() == [["r0", "r1", "r2", "r3"], ["r3"]]

    def test_a_shard_is_halved_though_the_platform_did_not_count_its_rows(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        with odd_platform() as odd:
            connect(odd)
            task = one_job(tmp_path, odd, 24)
            attempt = begun(task)
            for _ in range(8):
                for batch_id in odd.running():
                    if len(odd.lines(batch_id)) > 12:
                        odd.fail(batch_id, "insufficient balance")
                    else:
                        odd.complete(batch_id)
                odd.advance(3600)
                if attempt.deferred is not None:
                    attempt = resumed(task, odd, attempt)
        assert attempt.value["counts"]["succeeded"] == 24
