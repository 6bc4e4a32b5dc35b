"""The file of the requests comes cut: every paid answer is landed, and no row that was asked is said not to be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.calls.fetch import FILE_PAUSES_SECONDS
from airflow_provider_kimi.exceptions import KimiInputError, KimiResultError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

TABLE = [{"id": f"k{number}", "text": f"text {number}"} for number in range(5)]

KEYS = pytest.mark.parametrize("key_column", [None, "id"], ids=["no key", "key"])

#: Bytes of the file that come: none, part of a line, one line and a half, or two lines.
CUTS = pytest.mark.parametrize("lines", [0, 0.1, 1.5, 2])


def created(sim: KimiSimulator, hook: KimiHook, key_column: str | None) -> list[str]:
    wanted = order(lambda: TABLE, prompt="Classify {text}", key_column=key_column)
    batch_ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    return batch_ids


def cut(
    sim: KimiSimulator, hook: KimiHook, batch_ids: list[str], lines: float, times: int = len(FILE_PAUSES_SECONDS) + 1
) -> None:
    """Cut the file of the requests, which is downloaded first, in every attempt, or as often as is told."""
    content = sim.file_content(str(hook.get_batch(batch_ids[0]).input_file_id))
    size = int(len(content) / len(TABLE) * lines)  # all lines are of one length
    sim.inject("download_file", cut_after_bytes=size, cut_silently=True, times=times)


@CUTS
@KEYS
@pytest.mark.parametrize("given", [{}, {"input": lambda: TABLE}], ids=["no input", "input"])
def test_every_paid_answer_is_landed_although_its_request_is_not_known(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None, lines: float, given: dict[str, Any]
) -> None:
    batch_ids = created(sim, hook, key_column)
    cut(sim, hook, batch_ids, lines)
    result = land(hook, tmp_path / "out", batch_ids, **given)
    assert (result.statuses, result.manifest["counts"]["total"]) == ({"succeeded": 5}, 5)
    assert "it did not come whole. Clear this task to try again." in " ".join(result.log.warnings)
    again = land(hook, tmp_path / "out", batch_ids, **given)
    assert [row.get("text") for row in again.rows()] == [row["text"] if given else None for row in TABLE]


@CUTS
@KEYS
def test_a_result_keeps_its_columns_although_the_requests_come_cut_the_next_time(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None, lines: float
) -> None:
    batch_ids = created(sim, hook, key_column)
    before = land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE).rows()
    cut(sim, hook, batch_ids, lines)
    with pytest.raises(KimiResultError, match="did not come whole. The result that was landed before is kept"):
        land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE)
    assert land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE).rows() == before


@KEYS
def test_rows_whose_requests_are_gone_lose_no_columns_when_other_batches_are_landed_beside_them(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, key_column: str | None
) -> None:
    first = created(sim, hook, key_column)
    before = land(hook, tmp_path / "out", first, input=lambda: TABLE).rows()
    hook.delete_file(str(hook.get_batch(first[0]).input_file_id))
    others = [{"id": f"x{number}", "text": f"other {number}"} for number in range(5)]
    wanted = order(lambda: others, prompt="Classify {text}", key_column=key_column)
    attempt = replace(ATTEMPT, task=replace(ATTEMPT.task, task_id="second"))
    both = [*first, *submit(hook, wanted, attempt, LogRecord()).batch_ids]
    sim.advance(60)
    with pytest.raises(KimiInputError, match="5 more rows whose columns of the input are not known"):
        land(hook, tmp_path / "out", both, input=lambda: [*TABLE, *others])
    assert land(hook, tmp_path / "out", first, input=lambda: TABLE).rows() == before
    result = land(hook, tmp_path / "other", both, input=lambda: [*TABLE, *others])
    assert [row["input_change"] for row in result.rows()] == ["not_compared"] * 5 + [None] * 5
    assert result.manifest["input_changes"]["not_compared"] == 5


@KEYS
@pytest.mark.parametrize("lines", [0, 2])
def test_answers_to_requests_that_lack_are_landed_where_the_platform_does_not_count(
    connect: Connect, tmp_path: Path, key_column: str | None, lines: int
) -> None:
    """Then a file that is cut between two lines looks whole."""
    with KimiSimulator(speed=0, behaviour=Behaviour(null_request_counts=True)) as sim:
        hook = connect(sim)
        batch_ids = created(sim, hook, key_column)
        cut(sim, hook, batch_ids, lines, times=1)
        result = land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE)
        assert result.statuses == {"succeeded": 5}, "no row is called added, which would be asked and paid again"
        assert [row.get("text") for row in result.rows()] == [row["text"] for row in TABLE[:lines]] + [None] * (
            5 - lines
        )
        assert [row["input_change"] for row in result.rows()] == [None] * lines + ["not_compared"] * (5 - lines)
        assert (result.manifest["answers"]["whole"], result.collected.is_whole) == (5, False)
        if lines:
            assert "hold 3 answers to requests that its input file does not name" in " ".join(result.log.warnings)
        again = land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE)
        assert [row.get("text") for row in again.rows()] == [row["text"] for row in TABLE]
        before = again.rows()
        cut(sim, hook, batch_ids, 2, times=1)
        with pytest.raises(KimiInputError, match="3 more rows whose columns"):
            land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE)
        assert again.rows() == before


def test_a_check_is_told_that_a_row_whose_request_is_gone_has_no_columns(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    batch_ids = created(sim, hook, "id")
    hook.delete_file(str(hook.get_batch(batch_ids[0]).input_file_id))
    check = AnswerCheck(check=lambda row: "short" if len(row["text"]) < 3 else None)
    result = land(hook, tmp_path / "out", batch_ids, input=lambda: TABLE, check=check)
    assert result.statuses == {"invalid": 5}
    assert "may have no columns of the input, with which it could not be compared" in result.rows()[0]["error_message"]
