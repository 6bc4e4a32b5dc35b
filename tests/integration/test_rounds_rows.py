"""Rows of the one task: which are asked again, with which request, and what they cost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError, count_tokens
from tests.conftest import Connect
from tests.support.rounds import (
    BROKEN,
    QUICK,
    YES,
    Model,
    asked_in,
    check_sums,
    failing,
    job,
    letters,
    manifest,
    results,
    tries,
)

CUT = Answer("it is pos", finish_reason="length")
STOPPED = Answer("", finish_reason="content_filter")


def run(connect: Connect, folder: Path, model: Model, number: int = 1, **parameters: Any) -> Any:
    """Run the task on a new platform; return its manifest, and the batches as lists of ids."""
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        found = tries(job(folder, sim=sim, **parameters), sim).value
        check_sums(found, parameters.get("rows", 10))
        return found, asked_in(sim)


@pytest.mark.parametrize("cap", [None, {"max_completion_tokens": 2000}, {"max_tokens": 2000}], ids=str)
def test_a_row_that_was_cut_may_answer_twice_as_long_in_each_round(
    connect: Connect, tmp_path: Path, cap: dict[str, int] | None
) -> None:
    model = Model(lambda row, times, body: CUT if row == "r1" and times < 3 else YES)
    found, asked = run(connect, tmp_path, model, request_params=cap)
    assert asked[1:] == [["r1"], ["r1"]]
    first, second, third = model.bodies["r1"]
    key = next(iter(cap)) if cap else "max_completion_tokens"
    assert (first.get(key), second[key], third[key]) == ((2000, 4000, 8000) if cap else (None, 65_536, 131_072))
    assert second["messages"] == first["messages"]
    assert found["counts"]["succeeded"] == 10
    assert results(tmp_path)["r1"]["content"] == "positive"


def test_a_row_that_was_cut_at_the_highest_cap_is_not_asked_again(connect: Connect, tmp_path: Path) -> None:
    model = Model(lambda row, times, body: CUT if row == "r1" else YES)
    found, asked = run(connect, tmp_path, model, request_params={"max_completion_tokens": 131_072})
    assert asked == [[f"r{n}" for n in range(10)]]
    assert found["counts"]["truncated"] == 1


def by_parts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = [{"type": "text", "text": "Positive or negative?"}, {"type": "text", "text": row["text"]}]
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


@pytest.mark.parametrize("messages", [None, by_parts], ids=["text", "a list of parts"])
def test_a_row_whose_answer_the_schema_refuses_is_told_why(connect: Connect, tmp_path: Path, messages: Any) -> None:
    model = Model(lambda row, times, body: Answer("perhaps") if row == "r1" and times < 3 else YES)
    wanted = {"messages": messages, "prompt": None if messages else "Positive? {text}"}
    found, asked = run(connect, tmp_path, model, output_schema=["positive", "negative"], **wanted)
    assert asked[1:] == [["r1"], ["r1"]]
    first, second, third = (body["messages"][-1]["content"] for body in model.bodies["r1"])
    assert second == third, "the reason of the last answer only"
    assert ("could not be used" in second[-1]["text"]) if messages else second.startswith(first)
    assert "none of the 2 labels" in json.dumps(second)
    assert found["counts"]["succeeded"] == 10
    assert results(tmp_path)["r1"] | {"round": 3, "parsed": "positive"} == results(tmp_path)["r1"]


def test_a_row_whose_answer_the_check_refuses_is_told_its_reason(connect: Connect, tmp_path: Path) -> None:
    def check(row: dict[str, Any]) -> str | None:
        return "no digit in it" if row["content"] == "positive" and row["custom_id"] == "r1" else None

    model = Model(lambda row, times, body: YES if times == 1 else Answer("positive 7"))
    _, asked = run(connect, tmp_path, model, check=check)
    assert asked[1:] == [["r1"]]
    assert "no digit in it" in model.bodies["r1"][1]["messages"][-1]["content"]
    assert results(tmp_path)["r1"]["content"] == "positive 7"


@pytest.mark.parametrize(("times", "asked"), [(1, 2), (2, 2)])
def test_a_row_that_the_content_filter_stops_is_asked_once_more(
    connect: Connect, tmp_path: Path, times: int, asked: int
) -> None:
    model = Model(lambda row, number, body: STOPPED if row == "r1" and number <= times else YES)
    found, _ = run(connect, tmp_path, model)
    assert model.asked["r1"] == asked
    assert found["counts"]["filtered"] == (times == 2)
    assert letters(tmp_path) == ["r1"] * (times == 2)


def test_a_row_that_the_filter_stopped_first_is_asked_once_more_whatever_comes_then(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(lambda row, times, body: YES if row != "r2" else BROKEN if times == 2 else STOPPED)
    run(connect, tmp_path, model, max_rounds=5)
    assert model.asked["r2"] == 2
    assert results(tmp_path)["r2"]["status"] == "filtered"


@pytest.mark.parametrize("content", ["", "  \n", None])
def test_a_row_with_an_empty_answer_is_asked_again_as_it_was(
    connect: Connect, tmp_path: Path, content: str | None
) -> None:
    model = Model(lambda row, times, body: Answer(content) if row == "r1" and times == 1 else YES)
    found, asked = run(connect, tmp_path, model)
    assert asked[1:] == [["r1"]]
    assert model.bodies["r1"][0] == model.bodies["r1"][1]
    assert found["counts"]["succeeded"] == 10


def test_rows_that_cannot_be_sent_are_in_no_round(connect: Connect, tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "text": "x" if n != 2 else None} for n in range(5)]
    model = Model(failing(1))
    found, asked = run(connect, tmp_path, model, rows=5, input=rows, on_invalid_row="skip", prompt="Positive? {text}")
    assert asked == [["r0", "r1", "r3", "r4"], ["r1"]]
    assert found["counts"] | {"succeeded": 4, "invalid": 1} == found["counts"]
    assert found["by_round"] == [{"requests": 4, "succeeded": 3}, {"requests": 1, "succeeded": 1}]
    assert list(results(tmp_path)) == [f"r{n}" for n in range(5)]


def test_a_shard_that_needs_no_further_round_is_not_asked_and_comes_in_its_place(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(failing(5, always=[7]))
    found, asked = run(connect, tmp_path, model, rows=12, max_rows_per_batch=4)
    assert asked[3:] == [["r5", "r7"], ["r7"]]
    assert list(results(tmp_path)) == [f"r{n}" for n in range(12)]
    assert [of_round["requests"] for of_round in found["by_round"]] == [12, 2, 1]


def test_usage_and_cost_count_every_paid_answer_once(connect: Connect, tmp_path: Path) -> None:
    """Also those of answers that a later one has taken the place of."""
    says: dict[str, list[Answer | RowError]] = {
        "r1": [CUT, CUT, YES],
        "r2": [Answer("perhaps"), YES],
        "r3": [BROKEN, YES],
        "r4": [Answer("perhaps"), BROKEN, CUT],
        "r5": [Answer(""), Answer("no label"), BROKEN],
    }
    paid: list[tuple[int, int]] = []

    def say(row: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        what = says.get(row, [YES] * 9)[times - 1]
        if isinstance(what, Answer):
            paid.append((count_tokens(body["messages"]), max(1, len(what.content or ""))))
        return what

    found, _ = run(connect, tmp_path, Model(say), output_schema=["positive", "negative"])
    prompt, completion = (sum(tokens) for tokens in zip(*paid, strict=True))
    assert (found["usage"]["prompt_tokens"], found["usage"]["completion_tokens"]) == (prompt, completion)
    assert found["cost"]["amount"] is not None
    rows = results(tmp_path)
    assert (rows["r4"]["status"], rows["r4"]["content"]) == ("invalid", "perhaps"), "a whole answer before a cut one"
    assert rows["r5"]["status"] == "invalid"


def test_a_check_that_changes_its_mind_loses_no_row_and_makes_none_poorer(connect: Connect, tmp_path: Path) -> None:
    """What was usable once is counted as the last landing finds it, and each row counts once."""
    calls: dict[str, int] = {}

    def check(row: dict[str, Any]) -> str | None:
        number = int(row["custom_id"][1:])
        calls[row["custom_id"]] = calls.get(row["custom_id"], 0) + 1
        return "not today" if (calls[row["custom_id"]] + number) % 3 == 0 else None

    model = Model(failing())
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, check=check)
        for number in (1, 2, 3):
            found = tries(task, sim, number).value
            check_sums(found, 10)
            assert list(results(tmp_path)) == [f"r{n}" for n in range(10)]
        made = len(sim.batches)
    assert max(model.asked.values()) <= 3
    assert made == found["rounds"] <= 3


@pytest.mark.parametrize("delete", [True, False])
def test_files_are_deleted_once_the_last_round_is_accepted(connect: Connect, tmp_path: Path, delete: bool) -> None:
    model = Model(failing(1))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, delete_remote_files=delete)
        first = tries(task, sim).value
        assert ("delete_file" in [call.name for call in sim.journal]) is delete
        again = tries(task, sim, 2).value
        assert len(sim.batches) == 2
    assert again == first
    assert first["counts"]["succeeded"] == 10
    assert manifest(tmp_path)["counts"] == first["counts"]


def test_a_row_without_a_line_is_asked_again(connect: Connect, tmp_path: Path) -> None:
    model = Model(lambda row, times, body: None if row == "r1" and times == 1 else YES)
    with KimiSimulator(speed=0, timing=QUICK, responder=model, behaviour=Behaviour()) as sim:
        connect(sim)
        found = tries(job(tmp_path, sim=sim), sim).value
        assert asked_in(sim)[1:] == [["r1"]]
    assert found["counts"]["succeeded"] == 10


def test_too_many_failed_rows_are_judged_after_the_last_round(connect: Connect, tmp_path: Path) -> None:
    model = Model(failing(1, 2, 3, always=[4]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        assert tries(job(tmp_path, sim=sim, max_failed_rows=1), sim).value["counts"]["failed"] == 1
        with pytest.raises(AirflowException, match="Too many rows failed"):
            tries(job(tmp_path, sim=sim, max_failed_rows=0), sim, 2)
        assert len(sim.batches) == 3
