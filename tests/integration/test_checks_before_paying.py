"""What the one task refuses of its landing before it pays for rows."""

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiBatchOperator
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
