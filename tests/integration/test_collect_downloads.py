"""Files that break off, are gone, or hold what cannot be read: what there is is landed, or nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiResultError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import Landed, land, land_prompts
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, LABELS, order, submit, submit_prompts


def test_a_download_that_breaks_off_is_repeated(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    sim.inject("download_file", cut_after_bytes=700, skip=1, times=2)
    assert land_prompts(sim, hook, tmp_path).statuses == {"succeeded": 10}


def test_a_download_that_ends_early_without_an_error_is_repeated(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """Nothing on the wire says that the tail is lacking."""
    sim.inject("download_file", cut_after_bytes=700, cut_silently=True, skip=1)
    assert land_prompts(sim, hook, tmp_path).statuses == {"succeeded": 10}


def test_a_download_that_ends_early_at_the_end_of_a_line_is_repeated(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit_prompts(hook, 10)
    sim.advance(60)
    file_id = hook.get_batch(submission.batch_ids[0]).output_file_id
    assert file_id is not None
    first_line = sim.file_content(file_id).index(b"\n") + 1
    sim.inject("download_file", cut_after_bytes=first_line, cut_silently=True, skip=1)
    assert land(hook, tmp_path, submission.batch_ids).statuses == {"succeeded": 10}


def test_a_short_file_is_accepted_if_the_same_bytes_come_twice(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    sim.inject("download_file", cut_after_bytes=700, cut_silently=True, skip=1, times=None)
    landed = land_prompts(sim, hook, tmp_path)
    assert landed.statuses == {"succeeded": 1, "failed": 1, "missing": 8}
    assert [row["error_code"] for row in landed.rows() if row["status"] == "failed"] == ["unreadable_line"]
    assert any("ends inside a line, after 2 lines (the batch counted 10)" in line for line in landed.log.warnings)
    assert any("The same bytes came again" in line for line in landed.log.warnings)


def test_a_download_that_never_comes_whole_lands_nothing_and_can_be_retried(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    sim.inject("download_file", cut_after_bytes=0, skip=1, times=None)
    with pytest.raises(KimiResultError) as caught:
        land_prompts(sim, hook, tmp_path)
    assert caught.value.retryable
    assert "nothing is lost" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_input_file_costs_only_order_and_columns(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    table = [{"text": f"很好 {number}"} for number in range(10)]
    submission = submit(hook, order(table, prompt="{text}", system_prompt=LABELS), ATTEMPT, LogRecord())
    sim.advance(60)
    hook.delete_file(submission.input_file_ids[0])
    landed = land(hook, tmp_path, submission.batch_ids, input=table)
    assert landed.statuses == {"succeeded": 10}
    assert any("cannot be read" in line for line in landed.log.warnings)


def landed_after(sim: KimiSimulator, hook: KimiHook, folder: Path, change: Callable[[bytes], bytes]) -> Landed:
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    (file_id,) = submission.input_file_ids
    sim.replace_content(file_id, change(sim.file_content(file_id)))
    return land(hook, folder, submission.batch_ids)


def test_a_byte_order_mark_in_the_input_file_hides_no_row(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    landed = landed_after(sim, hook, tmp_path, lambda content: b"\xef\xbb\xbf" + content)
    assert landed.statuses == {"succeeded": 3}
    assert landed.collected.is_whole


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content[:-20], id="the last one is cut"),
        pytest.param(lambda content: content.replace(b'"row-00000003"', b"3"), id="one has no text as its id"),
    ],
)
def test_a_request_that_cannot_be_read_is_a_row_once(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    landed = landed_after(sim, hook, tmp_path, change)
    assert landed.manifest["counts"]["total"] == 3
    assert landed.statuses == {"succeeded": 3}, "what it asked is answered and paid"
    assert not landed.collected.is_whole
