"""What the owner of a table that changed while its batch ran does next with the results and the dead letters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

ROWS = [{"id": f"k{number}", "text": f"text {number}"} for number in range(1, 6)]
LONGER = [{"id": "new", "text": "new"}, *ROWS]


def test_no_row_has_the_name_of_an_added_row_if_the_table_has_no_key(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order(lambda: ROWS, prompt="{text}"), ATTEMPT, LogRecord())
    sim.advance(60)
    rows = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: LONGER).rows()
    assert [row["input_change"] for row in rows] == [None] * 5 + ["added"]
    assert len({row["custom_id"] for row in rows}) == 6


def test_a_check_sees_that_a_row_has_changed_and_so_lacks_its_columns(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    seen: dict[str, tuple[Any, Any]] = {}

    def check(row: Mapping[str, Any]) -> None:
        seen[row["custom_id"]] = (row["input_change"], row.get("text"))

    submission = submit(hook, order(lambda: ROWS, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    sim.advance(60)
    edited = [{"id": "k1", "text": "edited"}, *ROWS[1:4]]
    result = land(hook, tmp_path / "out", submission.batch_ids, input=lambda: edited, check=AnswerCheck(check=check))
    assert result.statuses == {"succeeded": 5}
    assert (seen["k1"], seen["k2"], seen["k5"]) == (("changed", None), (None, "text 2"), ("removed", None))
