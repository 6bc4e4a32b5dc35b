"""`@task.llm_batch` on Kimi: real operator, real trigger, real adapter, over TCP against the simulator."""

import json
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.ai.exceptions import (
    LLMBatchCancelledError,
    LLMBatchInputError,
    LLMBatchJobError,
    LLMBatchOrphanLookupError,
    LLMBatchTimeoutError,
)
from pydantic import BaseModel

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiApiError, KimiInputError
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from tests.common_ai.running import BAD, GOOD, MODEL, NOT_THINKING, operator, run
from tests.conftest import Connect
from tests.support.tasks import TaskInstanceRecord

FAST = 1000.0


@pytest.fixture
def fast(connect: Connect) -> Iterator[KimiSimulator]:
    """A platform on which a batch takes milliseconds."""
    with KimiSimulator(speed=FAST, responder=labelled) as simulator:
        connect(simulator)
        yield simulator


def prompt_of(line: Any) -> str:
    text: str = line["body"]["messages"][-1]["content"]
    return text


def labelled(line: Any) -> Answer:
    return Answer("positive" if prompt_of(line) == GOOD else "negative")


def given_up(folder: Path, ti: TaskInstanceRecord, *requests: str, **changes: Any) -> None:
    """Run a try of a task that waits for a second, and leaves its batch running."""
    task = operator(folder, requests or (GOOD, BAD), timeout=1, deferrable=False, **changes)
    task.poll_interval = 1
    with pytest.raises(LLMBatchTimeoutError):
        run(task, ti)


def state_file(folder: Path) -> Path:
    (path,) = folder.rglob("_airflow_batch_state/*.json")
    return path


class Sentiment(Enum):
    POSITIVE = "positive"
    NEGATIVE = "negative"


class Review(BaseModel):
    sentiment: Sentiment
    sure: bool = True


class TestRows:
    def test_every_label_is_on_its_row(self, fast: KimiSimulator, tmp_path: Path) -> None:
        landed = run(operator(tmp_path, [GOOD, BAD] * 150))
        assert landed.column("output") == ["positive", "negative"] * 150
        assert landed.manifest["counts"] == {
            **{"succeeded": 300, "errored": 0, "invalid_output": 0},
            **{"expired": 0, "cancelled": 0, "missing": 0},
        }
        assert landed.manifest["adapter"] == "kimi"
        assert all(row["usage"]["input_tokens"] > 0 for row in landed.rows)

    def test_a_worker_that_waits_itself_lands_the_same(self, fast: KimiSimulator, tmp_path: Path) -> None:
        task = operator(tmp_path, deferrable=False)
        task.poll_interval = 1
        assert run(task).column("output") == ["positive", "negative"]

    def test_a_batch_carries_our_tags_and_the_keys_of_common_ai(self, fast: KimiSimulator, tmp_path: Path) -> None:
        landed = run(operator(tmp_path))
        (batch,) = fast.batches.values()
        metadata = batch.metadata or {}
        assert metadata["idempotency_key"] == landed.manifest["custom_id_prefix"]
        assert metadata.keys() >= {"kimi_job_key", "kimi_input_fingerprint", "kimi_shard", "kimi_provider_version"}

    def test_rows_that_failed_or_lack_an_answer_have_their_status(self, connect: Connect, tmp_path: Path) -> None:
        answers: dict[str, Answer | RowError | None] = {
            "a": Answer("positive"),
            "b": RowError("server_error", "it broke"),
            "c": None,
            "d": Answer("cut he", finish_reason="length"),
            "e": Answer(""),
            "f": Answer("one\u2028two\u0085three"),
        }
        with KimiSimulator(speed=FAST, responder=lambda line: answers[prompt_of(line)]) as sim:
            connect(sim)
            landed = run(operator(tmp_path, list(answers)))
        assert landed.column("status") == [
            *("success", "error", "missing"),
            *("invalid_output", "invalid_output", "success"),
        ]
        assert landed.column("error")[1]["message"] == "it broke"
        assert landed.column("raw_output")[3] == "cut he"
        assert landed.column("output")[5] == "one\u2028two\u0085three"

    def test_an_answer_is_checked_against_a_pydantic_type(self, connect: Connect, tmp_path: Path) -> None:
        answers = {
            "plain": '{"sentiment": "positive", "sure": false}',
            "fenced": '```json\n{"sentiment": "negative", "sure": true}\n```',
            "wrong": '{"sentiment": "mixed", "sure": true}',
        }
        with KimiSimulator(speed=FAST, responder=lambda line: Answer(answers[prompt_of(line)])) as sim:
            connect(sim)
            landed = run(operator(tmp_path, list(answers), output_type=Review))
        assert landed.column("output") == [
            {"sentiment": "positive", "sure": False},
            {"sentiment": "negative", "sure": True},
            None,
        ]
        assert landed.column("status")[2] == "invalid_output"
        assert landed.column("raw_output")[2] == answers["wrong"]

    @pytest.mark.parametrize("output_type", [Review, list[Review], Review | None])
    def test_a_schema_is_sent_in_the_form_that_kimi_takes(
        self, connect: Connect, tmp_path: Path, output_type: Any
    ) -> None:
        """The simulator refuses rows whose schema is outside of Kimi's own dialect, and answers by those within."""
        with KimiSimulator(speed=FAST) as sim:
            connect(sim)
            landed = run(operator(tmp_path, [GOOD], output_type=output_type))
        assert landed.column("status") == ["success"]

    def test_odd_lines_cost_no_other_row(self, sim: KimiSimulator, connect: Connect, tmp_path: Path) -> None:
        hook = connect(sim)
        ti = TaskInstanceRecord()
        given_up(tmp_path, ti, *[GOOD] * 4, cancel_on_timeout=False)
        (batch,) = sim.batches.values()
        sim.advance(3600)
        file_id = hook.get_batch(batch.id).output_file_id
        assert file_id
        lines = sim.file_content(file_id).splitlines()
        own = {int(line.split(b'"custom_id"')[1].split(b'"')[1].rpartition(b"-")[2]): line for line in lines}
        cut = own[0][: len(own[0]) // 2]
        sim.replace_content(file_id, b"\n".join([cut, b"{}", own[1], own[1], own[2], own[3]]) + b"\n")
        landed = run(operator(tmp_path, [GOOD] * 4), ti)
        assert landed.column("status") == ["error", "success", "success", "success"]
        assert len(sim.batches) == 1

    def test_a_line_of_another_task_takes_no_row(self, fast: KimiSimulator, tmp_path: Path) -> None:
        """A gateway has mixed up two files, and the lines of the other one come first."""
        ti = TaskInstanceRecord()
        run(operator(tmp_path), ti)
        (batch,) = fast.batches.values()
        assert batch.output_file_id
        own = fast.file_content(batch.output_file_id)
        good = next(line for line in own.splitlines() if b"positive" in line)
        key = good.split(b'"custom_id"')[1].split(b'"')[1].rpartition(b"-")[0]
        others = b"".join(good.replace(key + b"-0", b"another-%d" % place) + b"\n" for place in (0, 1))
        fast.replace_content(batch.output_file_id, others + own)
        landed = run(operator(tmp_path), ti)
        assert landed.column("output") == ["positive", "negative"]
        assert landed.column("custom_id") == [f"{key.decode()}-{place}" for place in (0, 1)]


class TestEnds:
    def test_an_expired_batch_lands_what_was_done(self, connect: Connect, tmp_path: Path) -> None:
        slow = Timing(working_seconds=200_000)
        with KimiSimulator(speed=2_000_000, timing=slow) as sim:
            connect(sim)
            landed = run(operator(tmp_path, [GOOD] * 20, completion_window="12h"))
        assert landed.manifest["terminal_reason"] == "expired"
        counts = landed.manifest["counts"]
        assert counts["expired"] > 0
        assert counts["succeeded"] + counts["expired"] == 20

    def test_a_cancelled_batch_is_paid_again_only_by_another_try(self, connect: Connect, tmp_path: Path) -> None:
        ti = TaskInstanceRecord()
        with KimiSimulator(speed=0) as sim:
            hook = connect(sim)
            given_up(tmp_path, ti, cancel_on_timeout=False)
            (batch_id,) = sim.batches
            hook.cancel_batch(batch_id)
            sim.advance(60)
            with pytest.raises(LLMBatchCancelledError):
                run(operator(tmp_path), ti)
            assert len(sim.batches) == 1
            given_up(tmp_path, ti, cancel_on_timeout=False)
            assert len(sim.batches) == 2

    def test_a_batch_that_failed_says_why(self, connect: Connect, tmp_path: Path) -> None:
        behaviour = Behaviour(reserve_balance=True)
        with KimiSimulator(speed=FAST, behaviour=behaviour, balance=0.0001) as sim:
            connect(sim)
            with pytest.raises(LLMBatchJobError, match="the platform reserves rows x max_completion_tokens"):
                run(operator(tmp_path))

    def test_a_timeout_cancels_the_batch(self, sim: KimiSimulator, connect: Connect, tmp_path: Path) -> None:
        connect(sim)
        given_up(tmp_path, TaskInstanceRecord())
        (batch_id,) = sim.batches
        assert sim.status(batch_id) == "cancelling"


class TestPaidOnce:
    def test_a_create_that_was_not_answered_is_found(self, fast: KimiSimulator, tmp_path: Path) -> None:
        fast.inject("create_batch", accepted=True, drop=True)
        assert run(operator(tmp_path)).column("output") == ["positive", "negative"]
        assert len(fast.batches) == 1

    def test_a_retry_attaches_to_a_batch_that_was_never_noted(self, fast: KimiSimulator, tmp_path: Path) -> None:
        """The worker died behind the create, before common.ai noted its answer."""
        ti = TaskInstanceRecord()
        run(operator(tmp_path), ti)
        noted = json.loads(state_file(tmp_path).read_text())
        noted |= dict.fromkeys(("batch_id", "adapter", "llm_conn_id", "model_id", "request_count", "submitted_at"))
        state_file(tmp_path).write_text(json.dumps(noted))
        task = operator(tmp_path, on_orphaned_intent="fail")  # so that only a batch that is found lets it go on
        assert run(task, ti).column("output") == ["positive", "negative"]
        assert len(fast.batches) == 1

    def test_a_lost_state_file_pays_nothing_again(self, fast: KimiSimulator, tmp_path: Path) -> None:
        ti = TaskInstanceRecord()
        run(operator(tmp_path), ti)
        state_file(tmp_path).unlink()
        assert run(operator(tmp_path), ti).column("output") == ["positive", "negative"]
        assert len(fast.batches) == 1

    def test_a_clear_lands_the_same_batch_again(self, fast: KimiSimulator, tmp_path: Path) -> None:
        ti = TaskInstanceRecord()
        first = run(operator(tmp_path), ti)
        assert run(operator(tmp_path), ti).rows == first.rows
        assert len(fast.batches) == 1

    def test_other_prompts_are_other_work(self, fast: KimiSimulator, tmp_path: Path) -> None:
        ti = TaskInstanceRecord()
        run(operator(tmp_path), ti)
        assert run(operator(tmp_path, [BAD]), ti).column("output") == ["negative"]
        assert len(fast.batches) == 2

    def test_a_new_batch_that_is_not_known_yet_is_not_paid_again(self, connect: Connect, tmp_path: Path) -> None:
        """common.ai submits again where the platform does not know a batch."""
        ti = TaskInstanceRecord()
        lagging = Behaviour(batch_lag_seconds=1000)
        with KimiSimulator(speed=FAST, behaviour=lagging, responder=labelled) as sim:
            connect(sim)
            assert run(operator(tmp_path), ti).column("output") == ["positive", "negative"]
            assert len(sim.batches) == 1

    def test_where_the_list_cannot_be_read_nothing_is_sent(self, fast: KimiSimulator, tmp_path: Path) -> None:
        ti = TaskInstanceRecord()
        fast.inject("create_batch", status=400, message="no")
        with pytest.raises(KimiApiError):
            run(operator(tmp_path), ti)
        fast.inject("list_batches", status=403, message="no")
        with pytest.raises(LLMBatchOrphanLookupError):
            run(operator(tmp_path), ti)
        assert not fast.batches


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"request_params": {"temperature": 0.2}}, "sets 'temperature', which the model fixes"),
            ({"model_id": "kimi:moonshot-v1-8k"}, "was retired"),
            ({"requests": [GOOD, ""]}, "has an empty content"),
            ({"requests": [{"prompt": GOOD}, {"prompt": BAD, "model": "kimi:kimi-k3"}]}, "name 2 models"),
            ({"requests": [{"prompt": GOOD, "model": "openai:gpt-5"}]}, "does not resolve to the 'kimi' adapter"),
        ],
    )
    def test_what_the_platform_would_refuse_is_refused_before_a_call(
        self, sim: KimiSimulator, connect: Connect, tmp_path: Path, changes: dict[str, Any], said: str
    ) -> None:
        connect(sim)
        with pytest.raises(LLMBatchInputError, match=said):
            run(operator(tmp_path, **changes))
        assert not sim.journal

    def test_wrong_input_ends_the_task_at_once(self, sim: KimiSimulator, connect: Connect, tmp_path: Path) -> None:
        connect(sim)
        with pytest.raises(KimiInputError) as raised:
            run(operator(tmp_path, request_params={"temperature": 0.2}))
        assert AirflowFailException in type(raised.value).__mro__

    def test_a_window_that_kimi_has_not_is_refused(self, sim: KimiSimulator, connect: Connect, tmp_path: Path) -> None:
        connect(sim)
        with pytest.raises(LLMBatchInputError, match="completion_window is '1h'"):
            run(operator(tmp_path, completion_window="1h"))
        assert not sim.batches

    def test_a_key_that_is_refused_ends_the_task_and_is_not_shown(
        self, sim: KimiSimulator, connect: Connect, tmp_path: Path
    ) -> None:
        connect(sim, api_key="sk-wrong-canary-1234567890")
        with pytest.raises(KimiApiError) as raised:
            run(operator(tmp_path))
        assert raised.value.status_code == 401
        assert "canary" not in str(raised.value)
        assert AirflowFailException in type(raised.value).__mro__

    def test_a_full_queue_is_waited_for(self, fast: KimiSimulator, tmp_path: Path) -> None:
        fast.inject("create_batch", status=429, message="too many batches in queue")
        assert run(operator(tmp_path)).column("output") == ["positive", "negative"]
        assert len(fast.batches) == 1

    def test_polls_that_are_refused_for_their_number_only_delay_a_wait(
        self, fast: KimiSimulator, tmp_path: Path
    ) -> None:
        fast.inject("get_batch", status=429, message="slow down", times=3)
        task = operator(tmp_path, deferrable=False)
        task.poll_interval = 1
        assert run(task).column("output") == ["positive", "negative"]

    def test_a_download_that_breaks_off_is_repeated(self, fast: KimiSimulator, tmp_path: Path) -> None:
        fast.inject("download_file", cut_after_bytes=100)
        assert run(operator(tmp_path)).column("output") == ["positive", "negative"]


def test_the_model_and_the_parameters_reach_the_platform(fast: KimiSimulator, tmp_path: Path) -> None:
    requests = [{"prompt": GOOD, "max_tokens": 50}, {"prompt": BAD, "system_prompt": "Say it shortly."}]
    run(operator(tmp_path, requests, system_prompt="Label it.", max_tokens=70))
    (batch,) = fast.batches.values()
    lines = [json.loads(line) for line in fast.file_content(batch.input_file_id).splitlines()]
    bodies = [line["body"] for line in lines]
    assert {body["model"] for body in bodies} == {MODEL.partition(":")[2]}
    assert [body["max_completion_tokens"] for body in bodies] == [50, 70]
    assert [body["messages"][0]["content"] for body in bodies] == ["Label it.", "Say it shortly."]
    assert Counter(str(body["thinking"]) for body in bodies) == {str(NOT_THINKING["thinking"]): 2}
