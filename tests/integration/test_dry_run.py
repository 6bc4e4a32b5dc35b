"""A dry run says what a job will take, and leaves the platform as it was."""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.jobs.answer_sizes import answer_size
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.submit import checked_job
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, no_pause, order, write_jsonl
from tests.support.reviews import reviews_file
from tests.support.tasks import run_task, run_to_end

QUICK = Timing(validating_seconds=1, working_seconds=5, finalizing_seconds=1)
ASKED: dict[str, Any] = {
    "task_id": "job",
    "prompt": "Is this positive or negative? {text}",
    "output_schema": ["positive", "negative"],
    "thinking": "disabled",
    "poke_interval": 0.1,
}
SPENDING = Spending(PRICE_LISTS["cn"], answer_size(None), "CNY")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def reviews(folder: Path, chance: random.Random) -> dict[str, Any]:
    """2,000 short reviews."""
    lines = reviews_file(folder).read_bytes().splitlines()
    chance.shuffle(lines)
    (folder / "short.jsonl").write_bytes(b"\n".join(lines))
    return {"input": f"{folder}/short.jsonl", "key_column": "review_id"}


def long_texts(folder: Path, chance: random.Random) -> dict[str, Any]:
    """Texts of very unlike lengths: of a few the longest holds a tenth of all."""
    words = ("good", "bad", "很好", "太差", "hotel ", "😀")
    sizes = [int(chance.lognormvariate(4, 1.5)) + 1 for _ in range(500)]
    rows = [{"text": "".join(chance.choices(words, k=size))} for size in sizes]
    return {"input": write_jsonl(folder / "long.jsonl", rows), "system_prompt": "You read reviews of hotels."}


def pictures(folder: Path, chance: random.Random) -> dict[str, Any]:
    """Few columns of text beside a picture that is larger than all of them."""
    (folder / "a.png").write_bytes(PNG)
    rows = [
        {"text": "x" * chance.randrange(10, 90), "place": f"shop {number}", "picture": f"{folder}/a.png"}
        for number in range(120)
    ]
    asked = {"prompt": "Positive or negative? {place}: {text}", "image_column": "picture"}
    return {"input": write_jsonl(folder / "pictures.jsonl", rows), **asked}


def of_few_rows(folder: Path, chance: random.Random) -> dict[str, Any]:
    return {"input": [{"text": "很好" * chance.randrange(1, 50)} for _ in range(20)]}


DATA = [reviews, long_texts, pictures, of_few_rows]
Data = Callable[[Path, random.Random], dict[str, Any]]


def job(folder: Path, **parameters: Any) -> KimiBatchOperator:
    return KimiBatchOperator(**{"output": f"{folder}/out", **ASKED, **parameters})


@pytest.mark.parametrize("data", DATA)
def test_a_dry_run_is_within_a_fifth_of_what_the_job_takes(connect: Connect, tmp_path: Path, data: Data) -> None:
    asked = data(tmp_path, random.Random(1))
    with KimiSimulator(speed=100, timing=QUICK) as sim:
        connect(sim)
        dry = run_task(job(tmp_path, **asked, dry_run=True)).value
        assert {call.name for call in sim.journal} == {"estimate_tokens", "list_files", "get_balance"}
        manifest = run_to_end(job(tmp_path, **asked)).value
    used = manifest["usage"]
    assert dry["prompt_tokens"]["expected"] == pytest.approx(used["prompt_tokens"], rel=0.2)
    assert dry["prompt_tokens"]["low"] <= used["prompt_tokens"] <= dry["prompt_tokens"]["high"]
    assert dry["completion_tokens"]["low"] <= used["completion_tokens"] <= dry["completion_tokens"]["high"]
    total = dry["prompt_tokens"]["expected"] + dry["completion_tokens"]["expected"]
    assert total == pytest.approx(used["total_tokens"], rel=0.2)
    assert dry["cost"]["expected"] == pytest.approx(manifest["cost"]["amount"], rel=0.2)
    assert dry["cost"]["low"] <= manifest["cost"]["amount"] <= dry["cost"]["high"]
    assert (dry["rows"], dry["shards"]) == (manifest["counts"]["total"], 1)


@pytest.mark.parametrize("data", DATA[:3])
def test_the_interval_of_a_dry_run_holds_the_truth_in_18_of_20_samples(
    connect: Connect, tmp_path: Path, data: Data
) -> None:
    """Each order of the rows is another input, and so another sample."""
    asked = data(tmp_path, random.Random(2))
    rows = asked["input"]
    lines = Path(rows).read_bytes().splitlines()
    held = []
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        truth = None
        for number in range(20):
            random.Random(number).shuffle(lines)
            Path(rows).write_bytes(b"\n".join(lines))
            found = run_task(job(tmp_path, **asked, dry_run=True)).value["prompt_tokens"]
            truth = truth or _counted_by_the_platform(tmp_path, asked)
            held.append(found["low"] <= truth <= found["high"])
    assert sum(held) >= 18
    assert len(sim.batches) == 0


def _counted_by_the_platform(folder: Path, asked: dict[str, Any]) -> int:
    """What the same rows take when they are really asked."""
    with KimiSimulator(speed=0) as other, pytest.MonkeyPatch.context() as patch:
        fields = {"conn_type": "kimi", "host": other.base_url, "password": other.api_key}
        patch.setenv("AIRFLOW_CONN_OTHER", json.dumps(fields))
        operator = job(folder, **asked, kimi_conn_id="other")
        run_task(operator)
        other.advance(90_000)
        return int(run_to_end(operator).value["usage"]["prompt_tokens"])


def test_the_same_input_is_estimated_alike(connect: Connect, tmp_path: Path) -> None:
    asked = reviews(tmp_path, random.Random(3))
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        first, second = (run_task(job(tmp_path, **asked, dry_run=True)).value for _ in range(2))
    assert first == second
    assert Counter(call.name for call in sim.journal)["estimate_tokens"] <= 60


def test_the_report_is_small_and_holds_nothing_of_a_row(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"secret {number}", "id": f"key-{number}"} for number in range(200)]
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        asked = {"input": rows, "key_column": "id", "prompt": "hidden prompt {text}"}
        attempt = run_task(job(tmp_path, **asked, max_rows_per_batch=2, dry_run=True))
    report, logged = attempt.value, capsys.readouterr().out
    written = json.dumps(report)
    assert len(written) < 8_000
    assert not any(word in written + logged for word in ("secret", "key-", "hidden"))
    assert {"rows", "shards", "files_used", "files_kept", "balance", "assumptions"} < report.keys()
    assert (report["rows"], report["shards"], report["files_used"], report["files_kept"]) == (200, 100, 100, 0)
    assert (report["balance"], report["cost"]["currency"]) == (1000.0, "CNY")
    assert report["cost"]["price_list_date"] == "2026-09-01"
    table = logged.split("Dry run: nothing was uploaded or created.")[1]
    for line in ("prompt tokens ", "completion tokens ", "cost (CNY) ", "Files: 100 would be used; 0 of 1,000"):
        assert line in table
    assert not (tmp_path / "out").exists()
    assert "batch_ids" not in attempt.ti.xcoms


def test_answers_that_think_and_have_no_cap_are_named(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        report = run_task(job(tmp_path, input=[{"text": "a"}] * 3, thinking=None, dry_run=True)).value
    assert report["completion_tokens"] == {"low": 3, "expected": 3 * (4096 + 8), "high": 3 * 32_768}
    said = " ".join(report["assumptions"])
    assert "The model thinks before 3 of the answers: 4,096 tokens each" in said
    assert "high is its cap of 32,768 tokens" in said


def test_requests_with_their_own_caps_are_counted_by_these(connect: Connect, tmp_path: Path) -> None:
    def body(row: Any) -> dict[str, Any]:
        cap = {"max_completion_tokens": row["cap"]} if row["cap"] else {}
        return {"messages": [{"role": "user", "content": "hi"}], "thinking": {"type": "disabled"}, **cap}

    rows = [{"cap": 100}, {"cap": 200}, {"cap": None}]
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        report = run_task(
            job(tmp_path, input=rows, body=body, prompt=None, output_schema=None, thinking=None, dry_run=True)
        ).value
    assert report["completion_tokens"] == {"low": 3, "expected": 100 + 200 + 250, "high": 100 + 200 + 32_768}


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": True}, {"status": 404}, {"status": 400}], ids=str)
def test_a_platform_that_does_not_count_is_made_up_for_by_bytes(connect: Connect, fault: dict[str, Any]) -> None:
    with KimiSimulator(speed=0) as sim:
        for call in ("estimate_tokens", "get_balance", "list_files"):
            sim.inject(call, **fault, times=None)
        calls = Calls(connect(sim), LogRecord(), no_pause)
        with checked_job(calls, order(["x" * 144] * 10), ATTEMPT) as (made, _):
            report = SPENDING.report(made)
    size = 10 * (16 + 144)
    assert report["prompt_tokens"] == {"low": -(-size // 6), "expected": size / 4, "high": size / 2}
    assert report["assumptions"][0].startswith("Prompt tokens: the platform could not be asked; 4 bytes of text")
    assert (report["balance"], report["files_kept"]) == (None, None)


def test_a_refused_key_ends_a_dry_run(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim, api_key="sk-wrong")
        with pytest.raises(AirflowFailException, match="key"):
            run_task(job(tmp_path, input=[{"text": "x"}], dry_run=True))


def test_a_model_without_a_price_is_estimated_without_a_cost(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        asked = {"input": [{"text": "x"}], "model": "kimi-k3", "dry_run": True}
        report = run_task(job(tmp_path, **asked)).value
        own = {"currency": "EUR", "date": "2026-11-01", "models": {"kimi-k3": {"input": 1, "output": 2}}}
        priced = run_task(job(tmp_path, **asked, price_list=own)).value
    assert report["cost"] is None
    assert "The price of model kimi-k3 is not known; pass it as price_list." in report["assumptions"]
    assert priced["cost"]["currency"] == "EUR"
    assert priced["cost"]["expected"] == pytest.approx(
        (priced["prompt_tokens"]["expected"] + 2 * priced["completion_tokens"]["expected"]) / 1e6
    )


def test_pictures_that_are_to_be_uploaded_are_not_sent_to_be_counted(connect: Connect, tmp_path: Path) -> None:
    asked = pictures(tmp_path, random.Random(4)) | {"media": "upload"}
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        report = run_task(job(tmp_path, **asked, dry_run=True)).value
        assert sim.journal[0].name == "estimate_tokens"
        assert report["prompt_tokens"]["expected"] > 0
        run_task(job(tmp_path, **asked))
        uploads = [call.name for call in sim.journal].count("upload_file")
    assert report["files_used"] == uploads == 3  # requests, their digests, and the picture
    assert "Images and videos that are to be uploaded are not counted." in report["assumptions"]


def test_the_calls_of_a_dry_run_keep_to_the_rate_of_the_connection(connect: Connect) -> None:
    pauses: list[float] = []
    with KimiSimulator(speed=0, behaviour=Behaviour(calls_per_minute=10)) as sim:

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            sim.advance(seconds)

        calls = Calls(connect(sim, requests_per_minute=10), LogRecord(), sleep)
        wanted = order([f"row {number}" for number in range(500)])
        with checked_job(calls, wanted, ATTEMPT) as (made, _):
            report = SPENDING.report(made)
        counted = [call.status for call in sim.journal if call.name == "estimate_tokens"]
    assert counted == [200] * len(counted)
    assert 15 <= len(counted) <= 20  # what two minutes let through; a request that is drawn twice is counted once
    assert pauses == [6.0] * (len(counted) - 1)
    assert report["rows"] == 500


@pytest.mark.parametrize("given", ["{{ params.dry }}", True])
def test_a_dry_run_may_be_a_template(connect: Connect, tmp_path: Path, given: Any) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        report = run_task(job(tmp_path, input=[{"text": "x"}], dry_run=given), params={"dry": True}).value
    assert report["dry_run"] is True


@pytest.mark.parametrize("parameters", [{"dry_run": "yes"}, {"dry_run": 1}, {"max_cost": "cheap"}, {"max_cost": -1}])
def test_a_wrong_value_is_refused_while_the_dag_is_parsed(tmp_path: Path, parameters: dict[str, Any]) -> None:
    with pytest.raises(KimiInputError, match=next(iter(parameters))):
        job(tmp_path, input=[{"text": "x"}], **parameters)


def test_a_decorated_function_can_be_tried_dry(connect: Connect, tmp_path: Path) -> None:
    def rows() -> Any:
        yield from ({"text": f"x{number}"} for number in range(50))

    with DAG("dry", schedule=None):
        labels: Any = task.kimi_batch(**{**ASKED, "output": f"{tmp_path}/out", "dry_run": True})(rows)()
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        report = run_task(labels.operator).value
    assert report["rows"] == 50
    assert sim.batches == {}
