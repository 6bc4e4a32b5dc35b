"""The last rows by chat calls, where storage, tries and policies go against them."""

import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.realtime import answer_line, refusal_line
from airflow_provider_kimi.results.realtime import begin_of_parts
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.integration.test_realtime import SMALL, Platform, chats_of
from tests.support.rounds import QUICK, check_sums, job, tries


def body(words: str, completion: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": completion}
    return {"model": "kimi-k2.6", "choices": [{"message": {"content": words}, "finish_reason": "stop"}], "usage": usage}


@pytest.mark.parametrize("order", ["refused first", "answered first"])
def test_two_tries_at_once_have_both_paid_and_an_answer_counts_before_a_refusal(
    connect: Connect, tmp_path: Path, order: str
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4)) as sim:
        connect(sim)
        sim.inject("chat", status=401, error_type="invalid_authentication_error", times=None)
        tries(job(tmp_path, sim=sim, **SMALL), sim)
        (batch_id,) = sim.batches
        begin = begin_of_parts([KimiHook().get_batch(batch_id)])
        out = tmp_path / "out"
        refusal = refusal_line("r1", batch_id, 400, {"type": "input", "message": "refused"})
        parts = [refusal, answer_line("r1", batch_id, body("positive", 100))]
        parts = parts if order == "refused first" else parts[::-1]
        parts[0] += answer_line("r4", batch_id, body("positive", 7))
        parts[1] += answer_line("r4", batch_id, body("negative", 50))
        for n, part in enumerate(parts):
            (out / f"{begin}{n}.jsonl").write_bytes(part)
        found = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        assert tries(job(tmp_path, sim=sim, **SMALL), sim).value == found
    assert found["counts"]["succeeded"] == 10
    assert found["realtime"]["rows"] == 2
    assert found["realtime"]["usage"]["completion_tokens"] == 157
    check_sums(found, 10)


def test_where_answers_could_not_be_found_again_no_chat_call_is_made(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a bucket whose key may read and write, and not list."""
    refused = [str(tmp_path / "out")]

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.listdir", "os.scandir") and str(arguments[0]) in refused:
            raise PermissionError("not authorized to list")

    sys.addaudithook(refuse)
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, delete_remote_files=True, **SMALL), sim).value
        assert chats_of(sim) == 0
        assert "does not list a file that was just written there" in capsys.readouterr().out
        assert found["counts"]["succeeded"] == 8
        refused.clear()
        assert list((tmp_path / "out").glob(".kimi-chat-*")) == []
        again = tries(job(tmp_path, sim=sim, delete_remote_files=True, **SMALL), sim).value
    assert again["counts"]["succeeded"] == 10


def test_files_of_batches_are_kept_while_rows_may_still_be_asked(connect: Connect, tmp_path: Path) -> None:
    platform = Platform(1, 4, 7)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        sim.inject("chat", skip=1, times=2, status=401, error_type="invalid_authentication_error")
        found = tries(job(tmp_path, sim=sim, delete_remote_files=True, **SMALL), sim).value
        assert found["counts"]["succeeded"] == 8
        again = tries(job(tmp_path, sim=sim, delete_remote_files=True, **SMALL), sim).value
        assert sorted(platform.chats) == ["1", "4", "7"]
    assert again["counts"]["succeeded"] == 10
