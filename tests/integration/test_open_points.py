"""What the documentation leaves open costs no row, no label and no money, whichever way the platform does it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCancelBatchOperator
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator, RowError, Timing
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, submit_prompts
from tests.support.tasks import run_task
from tests.support.waiting import first_poll, sensor, waited

#: Each differs from the others in one point.
PLATFORMS = {
    "a success has the status code 0": Behaviour(success_status_code=0),
    "a success has no status code": Behaviour(success_status_code=None),
    "an error has a type": Behaviour(error_shape="type"),
    "an error is a text": Behaviour(error_shape="text"),
    "an error is a response": Behaviour(error_shape="response"),
    "an absent file has an empty id": Behaviour(empty_file_id="empty"),
    "an absent file has no id": Behaviour(empty_file_id="absent"),
    "answers come in the order of the input": Behaviour(shuffle_output=False),
    "answers come shuffled": Behaviour(shuffle_output=True),
    "result files end without a newline": Behaviour(final_newline=False),
    "nothing is counted": Behaviour(null_request_counts=True),
    "a page lists two batches": Behaviour(max_list_limit=2),
    "a page lists two batches, the oldest first": Behaviour(max_list_limit=2, list_order="oldest_first"),
    "running batches are listed first": Behaviour(list_order="running_first"),
    "running batches are listed first, two on a page": Behaviour(list_order="running_first", max_list_limit=2),
    "every page is page one": Behaviour(list_after="ignored"),
    "every page behind the first is empty": Behaviour(list_after="empty"),
    "a page does not say whether there are more": Behaviour(has_more="absent", max_list_limit=2),
    "a page says that there are no more": Behaviour(has_more="false"),
    "the list shows no times": Behaviour(list_created_at=False),
    "the list shows no input files": Behaviour(list_input_file=False),
    "a list without rows is null": Behaviour(empty_list="null"),
    "a batch is known late": Behaviour(batch_lag_seconds=6),
    "reads are stale": Behaviour(stale_read_seconds=20),
    "files are open to their uploader only": Behaviour(file_access="uploader"),
    "a batch is listed late": Behaviour(list_lag_seconds=10),
    "a file is known late": Behaviour(file_lag_seconds=3),
    "result files are not listed": Behaviour(result_files_listed=False),
}
KEYS = [f"k{number}" for number in range(12)]
REFUSED, FORGOTTEN = "k3", "k7"


def echo(line: Mapping[str, Any]) -> Answer | RowError | None:
    """Answer a row with what it asked, so that a label on a wrong row is seen; two rows get none."""
    if line["custom_id"] == REFUSED:
        return RowError("server_error", "it broke")
    return None if line["custom_id"] == FORGOTTEN else Answer(line["body"]["messages"][0]["content"])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_row_of_a_job_is_paid_once_and_lands_with_its_own_answer(
    connect: Connect, tmp_path: Path, platform: str
) -> None:
    table = [{"id": key, "text": f"text of {key}"} for key in KEYS]
    wanted = order(table, prompt="{text}", key_column="id", max_rows_per_batch=4)
    with KimiSimulator(speed=0, behaviour=PLATFORMS[platform], responder=echo) as sim:
        hook = connect(sim)
        foreign = hook.upload_file(BytesIO(b"{}\n"), "foreign.jsonl").id
        for pause in (60, 3 * 86_400):
            sim.advance(pause)
            hook.create_batch(foreign)
        sim.advance(3 * 86_400)
        attempt = replace(ATTEMPT, run_after=sim.now())
        ids = submit(hook, wanted, attempt, LogRecord(), sim.advance).batch_ids
        for _ in range(3):
            hook.create_batch(foreign)
        again = submit(hook, wanted, replace(attempt, number=2), LogRecord(), sim.advance)
        assert (again.batch_ids, len(sim.batches)) == (ids, 2 + 3 + 3), "a retry pays nothing"
        event = asyncio.run(waited(hook, sim, Watch(tuple(ids), 30.0, sim.now() + 3600)))
        assert (event.outcome, {end.status for end in event.batches.values()}) == ("ended", {"completed"})
        sim.advance(3600)  # until then, a row without a line may still come
        results = KimiBatchResultsOperator(
            task_id="results",
            batch_id=ids[::-1],
            output=str(tmp_path),
            input=table,
            key_column="id",
            delete_remote_files=True,
        )
        counts = run_task(results).value["counts"]
        landed = land(hook, tmp_path, ids, input=table, key_column="id")
        files = {*sim.file_ids("batch"), *sim.file_ids("batch_output")}
        for batch in (sim.batches[batch_id] for batch_id in ids):
            assert not files & {batch.input_file_id, batch.output_file_id, batch.error_file_id}, "all of it is deleted"
    rows = landed.rows()
    assert [row["id"] for row in rows] == KEYS
    assert {row["id"]: row["content"] for row in rows if row["status"] == "succeeded"} == {
        key: f"text of {key}" for key in KEYS if key not in (REFUSED, FORGOTTEN)
    }
    assert (rows[3]["status"], rows[3]["error_message"], rows[7]["status"]) == ("failed", "it broke", "missing")
    assert rows[3]["error_code"] == ("error" if PLATFORMS[platform].error_shape == "text" else "server_error")
    assert {status: count for status, count in counts.items() if count} == {
        **{"total": 12, "succeeded": 10, "failed": 1, "missing": 1}
    }
    assert [row["custom_id"] for row in landed.rows("dead_letter.jsonl")] == [REFUSED, FORGOTTEN]
    assert [len(landed.rows(name)) for name in ("output.jsonl", "error.jsonl")] == [10, 1]


class TestABatchThatEndedEarly:
    @pytest.mark.parametrize("unfinished", ["absent", "error_file"])
    @pytest.mark.parametrize("kept", [True, False], ids=["output", "no output"])
    @pytest.mark.parametrize("status", ["expired", "cancelled"])
    def test_every_row_is_landed_or_given_back_whatever_an_early_end_leaves_of_the_files(
        self, connect: Connect, tmp_path: Path, status: str, kept: bool, unfinished: Any
    ) -> None:
        behaviour = Behaviour(expired_output=kept, cancelled_output=kept, unfinished_rows=unfinished)
        with KimiSimulator(speed=0, behaviour=behaviour) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 10).batch_ids
            sim.advance(13)
            if status == "cancelled":
                hook.cancel_batch(batch_id)
            else:
                sim.batches[batch_id].expires_at = sim.now()
            sim.advance(60)
            landed = land(hook, tmp_path, [batch_id])
        done = 5 if kept else 0
        assert landed.statuses == ({"succeeded": 5, status: 5} if kept else {status: 10})
        names = [f"row-{number:08d}" for number in range(1, 11)]
        assert [row["custom_id"] for row in landed.rows()] == names
        assert [row["custom_id"] for row in landed.rows("dead_letter.jsonl")] == names[done:]

    def test_every_row_of_a_batch_that_failed_without_a_reason_is_given_back(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        with KimiSimulator(speed=0, balance=0) as sim:
            hook = connect(sim)
            (batch_id,) = submit_prompts(hook, 3).batch_ids
            sim.advance(60)
            with pytest.raises(AirflowFailException, match="the most common cause is the balance.*left no error file"):
                first_poll(sensor(batch_id))
            landed = land(hook, tmp_path, [batch_id])
        assert landed.statuses == {"failed": 3}
        assert len(landed.rows("dead_letter.jsonl")) == 3


class TestResultFilesThatAreKeptForAWhile:
    @pytest.mark.parametrize("retention", [None, 3600])
    def test_a_result_outlives_its_files_and_one_without_files_is_never_made_up(
        self, connect: Connect, tmp_path: Path, retention: int | None
    ) -> None:
        with KimiSimulator(speed=0, behaviour=Behaviour(result_retention_seconds=retention)) as sim:
            hook = connect(sim)
            ids = submit_prompts(hook, 3).batch_ids
            sim.advance(3600)
            first = land(hook, tmp_path / "in time", ids)
            sim.advance(30 * 86_400)
            assert land(hook, tmp_path / "in time", ids).manifest == first.manifest
            assert first.statuses == {"succeeded": 3}
            if retention is None:
                assert land(hook, tmp_path / "late", ids).statuses == {"succeeded": 3}
            else:
                with pytest.raises(KimiApiError, match="does not exist, was deleted"):
                    land(hook, tmp_path / "late", ids)
                assert list((tmp_path / "late").iterdir()) == []


@contextmanager
def insisting(connect: Connect, behaviour: Behaviour) -> Iterator[tuple[KimiSimulator, KimiHook, list[Any]]]:
    """A platform, and requests of which the last has a key that the models fix."""
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
    with KimiSimulator(speed=0, behaviour=behaviour) as sim:
        yield sim, connect(sim), [request("good", body=body), request("odd", body={**body, "temperature": 0})]


#: Moonshot's validator refuses it at the level `ultra` only: an optional text with its default.
OPTIONAL = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}}}
#: And at the level `strict` too.
TWO_TYPES = {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}


class TestASchemaThatThePlatformRefuses:
    @pytest.mark.parametrize(
        ("level", "refuses", "schema", "statuses"),
        [
            ("ultra", "row", OPTIONAL, ["failed", "failed"]),
            ("strict", "row", TWO_TYPES, ["failed", "failed"]),
            ("strict", "row", OPTIONAL, ["succeeded", "succeeded"]),
            ("off", "row", TWO_TYPES, ["succeeded", "succeeded"]),
            ("ultra", "batch", TWO_TYPES, ["failed", "failed"]),
        ],
    )
    @pytest.mark.parametrize("shape", ["error", "response"])
    def test_a_schema_that_is_sent_all_the_same_costs_every_row_and_is_named(
        self,
        connect: Connect,
        tmp_path: Path,
        level: Any,
        refuses: Any,
        schema: dict[str, Any],
        statuses: list[str],
        shape: Any,
    ) -> None:
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        behaviour = Behaviour(schema_level=level, refused_schemas=refuses, error_shape=shape)
        with KimiSimulator(speed=0, behaviour=behaviour) as sim:
            hook = connect(sim)
            asked = order(["a", "b"], request_params={"response_format": wanted}, rules=ParameterRules("off"))
            ids = submit(hook, asked, ATTEMPT, LogRecord()).batch_ids
            sim.advance(60)
            rows = land(hook, tmp_path, ids).rows()
        assert [row["status"] for row in rows] == statuses
        if "failed" in statuses:
            said = "response_format.json_schema is not a valid moonshot flavored json schema, details: <At path"
            assert all(said in row["error_message"] for row in rows)


class TestAParameterThatTheModelsFix:
    @pytest.mark.parametrize("outcome", ["batch", "row", "ignore"])
    def test_a_parameter_that_is_taken_out_costs_no_row(self, connect: Connect, tmp_path: Path, outcome: Any) -> None:
        with insisting(connect, Behaviour(forbidden_keys=outcome)) as (sim, hook, rows):
            ids = submit(hook, order(rows, rules=ParameterRules("drop")), ATTEMPT, LogRecord()).batch_ids
            sim.advance(60)
            assert land(hook, tmp_path, ids).statuses == {"succeeded": 2}

    @pytest.mark.parametrize(
        ("outcome", "statuses"),
        [("batch", ["failed", "failed"]), ("row", ["succeeded", "failed"]), ("ignore", ["succeeded", "succeeded"])],
    )
    def test_a_parameter_that_is_sent_all_the_same_costs_what_the_platform_says_and_names_itself(
        self, connect: Connect, tmp_path: Path, outcome: Any, statuses: list[str]
    ) -> None:
        with insisting(connect, Behaviour(forbidden_keys=outcome)) as (sim, hook, rows):
            ids = submit(hook, order(rows, rules=ParameterRules("off")), ATTEMPT, LogRecord()).batch_ids
            sim.advance(60)
            landed = land(hook, tmp_path, ids)
        assert [row["status"] for row in landed.rows()] == statuses
        assert statuses[1] == "succeeded" or "temperature may not be set" in landed.by_id["odd"]["error_message"]

    @pytest.mark.parametrize("when", ["failed", "refused"])
    def test_a_faulty_line_costs_its_own_shard_only_and_is_named(
        self, connect: Connect, tmp_path: Path, when: Literal["failed", "refused"]
    ) -> None:
        reason = "line 1: temperature may not be set"
        with insisting(connect, Behaviour(line_errors=when)) as (sim, hook, rows):
            wanted = order(rows, rules=ParameterRules("off"), max_rows_per_batch=1)
            if when == "refused":
                with pytest.raises(KimiApiError, match=f"{reason}.*1 of the 2 batches of this task exist") as caught:
                    submit(hook, wanted, ATTEMPT, LogRecord())
                assert not caught.value.retryable
                assert list(sim.batches)[0] in str(caught.value)
                assert len(sim.file_ids("batch")) == 1, "the refused file does not stay"
            else:
                submit(hook, wanted, ATTEMPT, LogRecord())
            ids = list(sim.batches)
            sim.advance(60)
            if when == "failed":
                with pytest.raises(AirflowFailException, match=f"1 of 2 batches did not complete.*{reason}"):
                    first_poll(sensor(ids))
            assert land(hook, tmp_path, ids).by_id["good"]["status"] == "succeeded"


@pytest.mark.parametrize("pattern", [".+", r"[A-Za-z0-9._:~-]{1,64}"])
def test_rows_of_any_key_come_back_under_it_whatever_names_the_platform_takes(
    connect: Connect, tmp_path: Path, pattern: str
) -> None:
    keys = ["plain", "a b", "评价 7", "k" * 300, "a/b?c", "{{ ds }}", "😀", "line\nend", "-1", "'; drop"]
    table = [{"id": key, "text": f"text of {key}"} for key in keys]
    with KimiSimulator(speed=0, behaviour=Behaviour(custom_id_pattern=pattern), responder=echo) as sim:
        hook = connect(sim)
        ids = submit(hook, order(table, prompt="{text}", key_column="id"), ATTEMPT, LogRecord()).batch_ids
        sim.advance(60)
        rows = land(hook, tmp_path, ids, input=table, key_column="id").rows()
    assert [(row["id"], row["status"], row["content"]) for row in rows] == [
        (key, "succeeded", f"text of {key}") for key in keys
    ]


class TestThinkingThatUsesUpACap:
    @pytest.mark.parametrize("below", [1500, 4096])
    @pytest.mark.parametrize("cap", [1024, 4095, 4096])
    def test_a_cap_that_may_starve_an_answer_is_warned_about_and_an_empty_answer_is_not_a_label(
        self, connect: Connect, tmp_path: Path, below: int, cap: int
    ) -> None:
        log = LogRecord()
        with KimiSimulator(speed=0, behaviour=Behaviour(starve_below_tokens=below)) as sim:
            hook = connect(sim)
            ids = submit(hook, order(["hi"], request_params={"max_completion_tokens": cap}), ATTEMPT, log).batch_ids
            sim.advance(60)
            landed = land(hook, tmp_path, ids)
        starved = cap < below
        assert landed.statuses == {"truncated" if starved else "succeeded": 1}
        assert not starved or "covers thinking as well as the answer" in str(log.warnings)
        assert len(landed.rows("dead_letter.jsonl")) == starved


class TestMoneyThatIsReserved:
    @pytest.mark.parametrize("reserved", [True, False])
    def test_a_batch_too_dear_for_the_balance_says_so_and_runs_with_the_cap_that_the_message_names(
        self, connect: Connect, reserved: bool
    ) -> None:
        with KimiSimulator(speed=0, behaviour=Behaviour(reserve_balance=reserved), balance=1.0) as sim:
            hook = connect(sim)
            (dear,) = submit(hook, order(["hi"] * 10), ATTEMPT, LogRecord()).batch_ids
            sim.advance(60)
            if reserved:
                remedy = "balance.*set a realistic max_completion_tokens in request_params"
                with pytest.raises(AirflowFailException, match=remedy):
                    first_poll(sensor(dear))
            capped = order(["hi"] * 10, request_params={"max_completion_tokens": 4096}, on_changed_input="fresh")
            (cheap,) = submit(hook, capped, ATTEMPT, LogRecord()).batch_ids
            sim.advance(60)
            assert (sim.status(dear) == "failed", sim.status(cheap)) == (reserved, "completed")


class TestAModelOfTomorrow:
    @pytest.mark.parametrize("batchable", [True, False])
    def test_a_model_that_the_provider_does_not_know_is_tried_with_a_warning_and_never_priced(
        self, connect: Connect, tmp_path: Path, batchable: bool
    ) -> None:
        log = LogRecord()
        batch_models = ("kimi-k2.6", "kimi-k9") if batchable else ("kimi-k2.6",)
        behaviour = Behaviour(models=("kimi-k2.6", "kimi-k9"), batch_models=batch_models)
        with KimiSimulator(speed=0, behaviour=behaviour) as sim:
            hook = connect(sim)
            ids = submit(hook, order(["hi"], model="kimi-k9"), ATTEMPT, log).batch_ids
            sim.advance(60)
            landed = land(hook, tmp_path, ids)
        assert "kimi-k9" in str(log.warnings)
        assert landed.statuses == {"succeeded" if batchable else "failed": 1}
        assert landed.manifest["cost"] is None
        assert batchable or "model 'kimi-k9' not found" in landed.rows()[0]["error_message"]


class TestACancelThatIsRepeated:
    @pytest.mark.parametrize("status", [200, 400])
    def test_a_cancel_whose_answer_was_lost_is_a_result_whatever_the_second_one_gets(
        self, connect: Connect, status: Literal[200, 400]
    ) -> None:
        timing = Timing(cancelling_seconds=600)
        with KimiSimulator(speed=0, timing=timing, behaviour=Behaviour(cancel_again_status=status)) as sim:
            (batch_id,) = submit_prompts(connect(sim), 3).batch_ids
            sim.inject("cancel_batch", status=503, accepted=True)
            cancel = KimiCancelBatchOperator(task_id="cancel", batch_id=batch_id, wait_for_termination=False)
            assert run_task(cancel).value == {batch_id: "cancelling"}
            assert [call.status for call in sim.journal if call.name == "cancel_batch"] == [503, status]
