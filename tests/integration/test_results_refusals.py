"""What a results task can refuse, it refuses before its first call, and an earlier result stays as it was."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.landing import land, land_prompts
from tests.support.requests import spoiling, submit_prompts
from tests.support.tasks import run_task

LIST = {"currency": "CNY", "date": "2026-11-01", "models": {"kimi-k2.6": {"input": 4, "cached": 1, "output": 16}}}


def with_price(price: object) -> dict[str, Any]:
    return {**LIST, "models": {"kimi-k2.6": {"input": price, "output": 16}}}


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_task(**parameters: Any) -> KimiBatchResultsOperator:
    return KimiBatchResultsOperator(task_id="results", **{"batch_id": "batch_1", "output": "/tmp/out", **parameters})


@pytest.mark.parametrize("price", ["Infinity", "1e30", "NaN", "-4", -4, True, float("inf"), "", "4 CNY"], ids=repr)
def test_a_price_that_is_none_keeps_the_earlier_result_and_sends_nothing(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, price: object
) -> None:
    landed = land_prompts(sim, hook, tmp_path)
    before, calls = content_of(tmp_path), len(sim.journal)
    with pytest.raises(KimiInputError, match=r"price_list is not a price list: .*input.* Nothing was landed"):
        land(hook, tmp_path, landed.manifest["batch_ids"], price_list=with_price(price))
    assert content_of(tmp_path) == before
    assert len(sim.journal) == calls


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"price_list": with_price("{{ params.x }}")}, "input is Infinity; a price is a number from 0"),
        ({"price_list": "{{ params.x }}"}, "price_list is not a price list"),
        ({"max_failed_rows": "{{ params.x }}"}, "max_failed_rows is 'Infinity'; it must be a number of rows"),
        ({"max_failed_rows": {"missing": "{{ params.x }}"}}, "max_failed_rows.'missing'. is 'Infinity'"),
        ({"max_failed_ratio": "{{ params.x }}"}, "max_failed_ratio is 'Infinity'; it must be a share"),
    ],
    ids=str,
)
def test_a_template_that_renders_to_a_wrong_value_keeps_the_earlier_result_and_sends_nothing(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, parameters: dict[str, Any], fault: str
) -> None:
    landed = land_prompts(sim, hook, tmp_path)
    before, calls = content_of(tmp_path), len(sim.journal)
    task = make_task(batch_id=landed.manifest["batch_ids"], output=str(tmp_path), **parameters)
    with pytest.raises(AirflowFailException, match=fault) as caught:
        run_task(task, params={"x": "Infinity"})
    assert "Nothing was landed; the results stay on the platform." in str(caught.value)
    assert content_of(tmp_path) == before
    assert len(sim.journal) == calls


@pytest.mark.parametrize(
    ("parameters", "params", "fails"),
    [
        ({"max_failed_rows": "{{ params.x }}"}, {"x": 2}, False),
        ({"max_failed_rows": "{{ params.x }}"}, {"x": 1}, True),
        ({"max_failed_rows": {"missing": "{{ params.x }}"}}, {"x": 1}, True),
        ({"max_failed_rows": "{{ params.x }}"}, {"x": {"missing": 1}}, True),
        ({"max_failed_rows": "{{ params.x }}"}, {"x": None}, False),
        ({"max_failed_ratio": "{{ params.x }}"}, {"x": 0.2}, False),
        ({"max_failed_ratio": "{{ params.x / 10 }}"}, {"x": 1}, True),
    ],
    ids=str,
)
def test_a_limit_may_be_a_template(
    connect: Connect, tmp_path: Path, parameters: dict[str, Any], params: dict[str, Any], fails: bool
) -> None:
    with KimiSimulator(speed=0, responder=spoiling({"row-00000001": None, "row-00000002": None})) as sim:
        ids = submit_prompts(connect(sim), 10).batch_ids
        sim.advance(60)
        task = make_task(batch_id=ids, output=str(tmp_path / "out"), **parameters)
        if not fails:
            assert run_task(task, params=params).value["counts"]["missing"] == 2
            return
        with pytest.raises(AirflowFailException, match="Too many rows failed: .* rows are more than max_failed"):
            run_task(task, params=params)
    assert (tmp_path / "out" / "manifest.json").exists()


def test_a_price_may_be_a_template(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    ids = land_prompts(sim, hook, tmp_path).manifest["batch_ids"]
    task = make_task(batch_id=ids, output=str(tmp_path), price_list=with_price("{{ params.input }}"))
    assert run_task(task, params={"input": "0"}).value["cost"]["price_list_date"] == "2026-11-01"


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_failed_rows": {"missing": None}},
        {"max_failed_rows": True},
        {"max_failed_rows": 0.05},
        {"max_failed_rows": "abc"},
        {"max_failed_ratio": float("nan")},
        {"max_failed_ratio": {"missing": "most"}},
        {"price_list": with_price("Infinity")},
        {"price_list": with_price(-1)},
        {"price_list": {"currency": "CNY"}},
    ],
    ids=str,
)
def test_a_wrong_value_without_a_template_is_refused_while_the_dag_is_parsed(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        make_task(**parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_failed_rows": "5"},
        {"max_failed_rows": "{{ params.x }}"},
        {"max_failed_rows": {"missing": "{% if params.x %}1{% endif %}", "filtered": 2}},
        {"max_failed_ratio": "{{ params.x }}"},
        {"price_list": "{{ var.json.prices }}"},
        {"price_list": with_price("{{ params.x }}")},
    ],
    ids=str,
)
def test_a_value_that_a_template_makes_is_not_judged_while_the_dag_is_parsed(parameters: dict[str, Any]) -> None:
    (field,) = parameters
    assert getattr(make_task(**parameters), field) == parameters[field]
    assert field in KimiBatchResultsOperator.template_fields
