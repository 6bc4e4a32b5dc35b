"""What the one task refuses of its landing before it pays for rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.tasks import run_to_end


@pytest.mark.parametrize("output", [" ", "{tmp}"], ids=["blank", "holds the input"])
def test_an_output_that_cannot_be_landed_in_is_refused_before_anything_is_paid(
    connect: Connect, tmp_path: Path, output: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    with KimiSimulator(speed=100) as sim:
        connect(sim)
        task = KimiBatchOperator(
            task_id="job",
            input=str(tmp_path / "in.jsonl"),
            prompt="{text}",
            output=output.format(tmp=tmp_path),
        )
        with pytest.raises(AirflowFailException, match="Nothing was sent"):
            run_to_end(task)
        assert not sim.batches


@pytest.mark.parametrize("wrong", [{"max_failed_rows": "many"}, {"price_list": "none"}], ids=str)
def test_a_wrong_parameter_of_the_landing_says_that_nothing_was_sent(
    connect: Connect, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with KimiSimulator(speed=100) as sim:
        connect(sim)
        task = KimiBatchOperator(task_id="job", input=["a"], output=str(tmp_path))
        for name, value in wrong.items():
            setattr(task, name, value)  # as a template renders it
        with pytest.raises(AirflowFailException, match="Nothing was sent"):
            run_to_end(task)
        assert not sim.batches


def test_a_line_break_in_the_name_of_an_output_is_refused_before_anything_is_paid(
    connect: Connect, tmp_path: Path
) -> None:
    """Airflow's paths drop it, so the result would lie in another directory than the task says."""
    with KimiSimulator(speed=100) as sim:
        connect(sim)
        task = KimiBatchOperator(task_id="job", input=["a"], output=f"{tmp_path}/{{{{ part }}}}/labels")
        with pytest.raises(AirflowFailException, match=r"with the character '\\n'.* Nothing was sent"):
            run_to_end(task, part="a\nb")
        assert not sim.batches
        assert not list(tmp_path.iterdir())


SECRET = "memory://AKIA:geheim@bucket/labels"


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_password_in_a_location_is_refused_before_anything_is_paid_or_shown(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    places: dict[str, Any] = {"input": ["a"], "output": str(tmp_path), name: "{{ secret }}"}
    with KimiSimulator(speed=100) as sim:
        connect(sim)
        task = KimiBatchOperator(task_id="job", **places)
        with pytest.raises(AirflowFailException, match=f"{name} holds a name and a password before its host") as caught:
            run_to_end(task, secret=SECRET)
        assert not sim.batches
        assert "geheim" not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: KimiBatchOperator(task_id="job", input=["a"], output=SECRET),
        lambda: KimiBatchOperator(task_id="job", input=SECRET, output="/x"),
        lambda: KimiCreateBatchOperator(task_id="create", input=SECRET),
        lambda: KimiBatchResultsOperator(task_id="results", batch_id="batch_1", output=SECRET),
        lambda: KimiBatchResultsOperator(task_id="results", batch_id="batch_1", output="/x", input=SECRET),
        lambda: KimiBatchResultsOperator(task_id="results", batch_id="batch_1", output="/x", merge_with=SECRET),
    ],
)
def test_a_password_that_a_dag_file_writes_into_a_location_is_refused_at_once(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="holds a name and a password before its host") as caught:
        make()
    assert "geheim" not in str(caught.value)
