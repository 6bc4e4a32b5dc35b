"""The last rows of the one task are asked by chat calls: each once, whatever dies, at their own price."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.rounds import BROKEN, QUICK, YES, asked_in, check_sums, job, letters, manifest, results, tries
from tests.support.tasks import TaskInstanceRecord, run_task, run_to_end

SMALL: dict[str, Any] = {"min_batch_rows": 5, "allow_realtime": True}


class Platform:
    """In batches, rows of some numbers fail; chat calls are answered by `say`, and their prompts noted."""

    def __init__(self, *failing: int, say: Any = lambda prompt, times: YES) -> None:
        self.failing = {f"r{number}" for number in failing}
        self.chats: list[str] = []
        self.bodies: list[Mapping[str, Any]] = []
        self._say = say

    def __call__(self, request: Mapping[str, Any]) -> Answer | RowError | None:
        if custom_id := request["custom_id"]:
            return BROKEN if custom_id in self.failing else YES
        body = request["body"]
        prompt = body["messages"][-1]["content"].removeprefix("Positive or negative? review ")
        self.chats.append(prompt)
        self.bodies.append(body)
        answer: Answer | RowError | None = self._say(prompt, self.chats.count(prompt))
        return answer


def chats_of(sim: KimiSimulator) -> int:
    return [call.name for call in sim.journal].count("chat")


def left_beside(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_small_rest_is_asked_by_chat_calls_instead_of_a_batch(
    connect: Connect, tmp_path: Path, deferrable: bool
) -> None:
    platform = Platform(1, 4)
    with KimiSimulator(speed=50, timing=QUICK, responder=platform) as sim:
        connect(sim)
        found = run_to_end(job(tmp_path, sim=sim, deferrable=deferrable, **SMALL)).value
        assert len(sim.batches) == 1
        assert sorted(platform.chats) == ["1", "4"]
        again = run_to_end(job(tmp_path, sim=sim, deferrable=deferrable, **SMALL)).value
        assert (chats_of(sim), len(sim.batches)) == (2, 1)
    assert again == found == manifest(tmp_path)
    check_sums(found, 10)
    assert (found["status"], found["rounds"], len(found["batch_ids"])) == ("completed", 2, 1)
    assert found["by_round"] == [{"requests": 10, "succeeded": 8}, {"requests": 2, "succeeded": 2}]
    rows = results(tmp_path)
    assert [(row["batch_id"], row["round"]) for key, row in rows.items() if key in ("r1", "r4")] == [(None, 2)] * 2
    assert letters(tmp_path) == []
    lines = (tmp_path / "out" / "output.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["custom_id"] for line in lines} == set(rows)
    assert left_beside(tmp_path) == []


def test_chat_calls_are_counted_apart_at_their_own_price(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, **SMALL), sim).value
    apart, prices = found["realtime"], PRICE_LISTS["cn"]
    assert (apart["rows"], apart["succeeded"]) == (2, 2)

    def amount(usage: Mapping[str, int], price: Any) -> float:
        spent = usage["prompt_tokens"] * price.input + usage["completion_tokens"] * price.output
        return float(spent / 1_000_000)

    rest = {key: found["usage"][key] - apart["usage"][key] for key in found["usage"]}
    assert apart["usage"]["completion_tokens"] == 2 * len("positive")
    assert apart["cost"]["amount"] == pytest.approx(amount(apart["usage"], prices.realtime["kimi-k2.6"]))
    batches = amount(rest, prices.models["kimi-k2.6"])
    assert found["cost"]["amount"] == pytest.approx(batches + apart["cost"]["amount"])
    assert len(json.dumps(found)) < 8192


def test_without_allow_realtime_a_small_rest_is_left_and_the_log_says_how_to_go_on(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, min_batch_rows=5), sim).value
        assert (chats_of(sim), asked_in(sim)) == (0, [[f"r{n}" for n in range(10)]])
    assert "realtime" not in found
    assert letters(tmp_path) == ["r1", "r4"]
    said = capsys.readouterr().out
    assert "No further round for 2 rows without a usable answer: fewer than min_batch_rows=5" in said
    assert "set a lower min_batch_rows, or allow_realtime=True, then clear this task" in said


def test_a_rest_that_is_worth_it_is_asked_by_a_batch_and_the_next_one_by_chat(connect: Connect, tmp_path: Path) -> None:
    platform = Platform(1, 2, 3, 4, 5, say=lambda prompt, times: YES)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        assert [len(rows) for rows in asked_in(sim)] == [10, 5, 5]
    assert found["rounds"] == 3, "no round is left for chat calls"
    assert "realtime" not in found


def test_a_row_that_is_always_refused_is_asked_once_and_is_a_dead_letter(connect: Connect, tmp_path: Path) -> None:
    def say(prompt: str, times: int) -> Answer | RowError:
        return RowError("invalid_request_error", "too long", 400) if prompt == "4" else YES

    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4, say=say)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        again = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        assert chats_of(sim) == 2
    assert again == found
    check_sums(found, 10)
    row = results(tmp_path)["r4"]
    assert (row["status"], row["error_code"], row["round"]) == ("failed", "invalid_request_error", 2)
    assert "too long" in row["error_message"]
    assert letters(tmp_path) == ["r4"]
    assert (found["realtime"]["rows"], found["realtime"]["succeeded"]) == (2, 1)
    errors = (tmp_path / "out" / "error.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["custom_id"] for line in errors].count("r4") == 2


def test_the_schema_and_the_check_judge_chat_answers_too(connect: Connect, tmp_path: Path) -> None:
    def say(prompt: str, times: int) -> Answer:
        return Answer("who knows" if prompt == "4" else "negative")

    def check(row: Mapping[str, Any]) -> str | None:
        return "not this one" if row["content"] == "negative" and row["text"] == "review 5" else None

    labels: dict[str, Any] = {"output_schema": ["positive", "negative"], "check": check, "thinking": "disabled"}
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4, 5, say=say)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, **labels, **SMALL), sim).value
        assert tries(job(tmp_path, sim=sim, **labels, **SMALL), sim).value == found
        assert chats_of(sim) == 3
    rows = results(tmp_path)
    assert (rows["r1"]["status"], rows["r1"]["parsed"]) == ("succeeded", "negative")
    assert (rows["r4"]["status"], rows["r4"]["error_code"]) == ("invalid", "schema_mismatch")
    assert (rows["r5"]["status"], rows["r5"]["error_code"]) == ("invalid", "check")
    assert found["realtime"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 429, "error_type": "exceeded_current_quota_error"}, "Top up the account"),
        ({"status": 429, "error_type": "rate_limit_reached_error", "message": "TPD limit"}, "daily token limit"),
        ({"status": 401, "error_type": "invalid_authentication_error"}, "is refused by"),
        ({"status": 404, "error_type": "resource_not_found_error"}, "does not exist"),
    ],
    ids=["balance", "daily", "key", "model"],
)
def test_a_refusal_that_concerns_every_row_ends_the_calls_and_a_clear_asks_the_others(
    connect: Connect, tmp_path: Path, fault: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = Platform(1, 4, 7)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        sim.inject("chat", skip=1, times=2, **fault)
        found = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        assert found["realtime"]["rows"] == len(platform.chats) == 1
        assert len(letters(tmp_path)) == 2
        logged = capsys.readouterr().out
        assert said in logged
        assert "The other rows were not asked, and a clear of this task asks only for them." in logged
        again = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        assert sorted(platform.chats) == ["1", "4", "7"]
    assert again["counts"]["succeeded"] == 10
    check_sums(again, 10)


def test_a_row_that_gets_no_answer_stays_as_it_was_and_a_clear_asks_it(connect: Connect, tmp_path: Path) -> None:
    down = {"4"}

    def say(prompt: str, times: int) -> Answer | RowError:
        return RowError("server_error", "down", 500) if prompt in down else YES

    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4, say=say)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        assert results(tmp_path)["r4"]["round"] == 1
        down.clear()
        again = tries(job(tmp_path, sim=sim, **SMALL), sim).value
    assert (found["counts"]["succeeded"], again["counts"]["succeeded"]) == (9, 10)


def test_a_limit_of_cost_counts_chat_calls_at_their_price(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cheap: dict[str, Any] = {"thinking": "disabled", "request_params": {"max_completion_tokens": 100}, "max_cost": 0.07}
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(*range(20))) as sim:
        connect(sim)
        some = {"min_batch_rows": 30, "allow_realtime": True}
        found = tries(job(tmp_path, rows=40, sim=sim, **cheap, **some), sim).value
        assert chats_of(sim) == 0 or found["cost"]["amount"] <= 0.07
        found = tries(job(tmp_path, rows=40, sim=sim, **{**cheap, "max_cost": 0.068}, **some), sim).value
    said = capsys.readouterr().out
    assert found["cost"]["amount"] <= 0.07
    assert "realtime" in found or "not asked again, because of max_cost" in said


def test_a_price_list_without_the_standard_rate_leaves_the_cost_of_chat_calls_open(
    connect: Connect, tmp_path: Path
) -> None:
    own = {"currency": "CNY", "date": "2026-11-01", "models": {"kimi-k2.6": {"input": 1, "output": 1}}}
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, price_list=own, **SMALL), sim).value
        own["realtime"] = {"kimi-k2.6": {"input": 2, "output": 2}}
        priced = tries(job(tmp_path, sim=sim, price_list=own, **SMALL), sim).value
    assert (found["cost"]["amount"], found["realtime"]["cost"]["amount"]) == (None, None)
    assert "name it in the price list, as realtime" in found["cost"]["reason"]
    usage = priced["usage"]["total_tokens"] + priced["realtime"]["usage"]["total_tokens"]
    assert priced["cost"]["amount"] == pytest.approx(usage / 1e6)


def test_files_of_batches_may_be_deleted_and_a_clear_asks_nothing(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1)) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, delete_remote_files=True, **SMALL), sim).value
        assert sim.file_ids("batch_output") == []
        again = tries(job(tmp_path, sim=sim, delete_remote_files=True, **SMALL), sim).value
        assert chats_of(sim) == 1
    assert again == found


def test_an_answer_of_a_batch_that_is_replaced_by_one_of_chat_is_counted_too(connect: Connect, tmp_path: Path) -> None:
    class Cut(Platform):
        def __call__(self, request: Mapping[str, Any]) -> Answer | RowError | None:
            cut = request["custom_id"] == "r1"
            return Answer("posi", "length") if cut else super().__call__(request)

    platform = Cut()
    capped: dict[str, Any] = {"request_params": {"max_completion_tokens": 2000}, "parameter_check": "off"}
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim, **capped, **SMALL), sim).value
    assert platform.bodies[0]["max_completion_tokens"] == 4000, "as another batch would ask"
    assert found["counts"]["succeeded"] == 10
    assert found["usage"]["completion_tokens"] == 10 * len("positive") + len("posi")
    assert found["realtime"]["usage"]["completion_tokens"] == len("positive")


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_tables_have_the_answers_of_chat_calls(connect: Connect, tmp_path: Path, output_format: Any) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4)) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, output_format=output_format, **SMALL)
        found = tries(task, sim).value
        assert tries(task, sim, 2).value == found
        assert chats_of(sim) == 2
    import pandas

    table = getattr(pandas, f"read_{output_format}")(tmp_path / "out" / f"results.{output_format}")
    assert table.loc[table.batch_id.isna(), "custom_id"].tolist() == ["r1", "r4"]
    assert table["round"].tolist() == [2 if n in (1, 4) else 1 for n in range(10)]


def test_a_results_operator_lands_the_same_again_with_the_answers_of_chat_calls(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Platform(1, 4)) as sim:
        connect(sim)
        first = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        again = run_task(
            KimiBatchResultsOperator(
                task_id="results",
                batch_id=first["batch_ids"],
                output=f"{tmp_path}/out",
                input=f"{tmp_path}/reviews.jsonl",
                key_column="id",
            )
        ).value
    assert {**again, "landed_by": None} == {**first, "landed_by": None}


def test_a_merge_keeps_what_chat_calls_have_brought(connect: Connect, tmp_path: Path) -> None:
    def say(prompt: str, times: int) -> Answer | RowError:
        return RowError("invalid_request_error", "too long", 400) if prompt == "4" else YES

    platform = Platform(1, 4, say=say)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        first = tries(job(tmp_path, sim=sim, **SMALL), sim).value
        platform.failing.clear()
        letters_file = first["dead_letter_file"]
        (tmp_path / "again").mkdir()
        dead: dict[str, Any] = {"input": letters_file, "prompt": None, "key_column": None}
        ti = TaskInstanceRecord(task_id="job", run_id="again")
        asked = tries(job(tmp_path / "again", sim=sim, **dead), sim, ti=ti).value
        merged = run_task(
            KimiBatchResultsOperator(
                task_id="results",
                batch_id=asked["batch_ids"],
                output=f"{tmp_path}/merged",
                merge_with=f"{tmp_path}/out",
            )
        ).value
    assert merged["counts"]["succeeded"] == 10
    assert merged["realtime"] == first["realtime"]
    files = [(tmp_path / name / "realtime.jsonl").read_bytes() for name in ("out", "merged")]
    assert files[0] == files[1]
