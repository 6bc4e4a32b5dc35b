"""Submitting: what reaches the platform, and what is known when it does not answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_kimi import __version__
from airflow_provider_kimi.exceptions import KimiApiError, KimiNoAnswerError
from airflow_provider_kimi.flows.submit import submit
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order, request, write_jsonl
from tests.support.tasks import Attempt, run_task


def uploaded_lines(sim: KimiSimulator) -> list[Any]:
    """The one uploaded input file, decoded."""
    (file_id,) = sim.file_ids("batch")
    return [json.loads(line) for line in sim.file_content(file_id).split(b"\n") if line]


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", **parameters))


def test_the_create_operator_returns_and_pushes_as_the_contract_says(sim: KimiSimulator, hook: KimiHook) -> None:
    attempt = create(input=["one", "two"])
    (batch_id,) = sim.batches
    assert attempt.value == [batch_id]
    assert attempt.ti.xcoms == {
        "batch_id": batch_id,
        "input_file_ids": [sim.batches[batch_id].input_file_id],
        "request_count": 2,
    }
    assert [call.name for call in sim.journal] == ["upload_file", "create_batch"]


def test_every_batch_is_tagged(sim: KimiSimulator, hook: KimiHook) -> None:
    create(input=["one"], metadata={"team": "labels"}, system_prompt="Be brief.")
    (batch,) = sim.batches.values()
    metadata = batch.metadata
    assert metadata is not None
    assert metadata["airflow_dag_id"] == "reviews"
    assert metadata["airflow_run_id"] == "manual__2026-11-23T10:00:00+00:00"
    assert metadata["airflow_task_id"] == "create"
    assert metadata["airflow_map_index"] == "-1"
    assert metadata["kimi_shard"] == "1/1"
    assert metadata["kimi_provider_version"] == __version__
    assert metadata["kimi_input_fingerprint"].startswith("sha256:")
    assert len(metadata["kimi_job_key"]) == 32
    assert metadata["team"] == "labels"


def test_eight_pairs_of_the_user_fit_beside_ours(sim: KimiSimulator, hook: KimiHook) -> None:
    create(input=["one"], metadata={f"k{n}": "v" for n in range(8)}, system_prompt="Be brief.")
    (batch,) = sim.batches.values()
    assert batch.metadata is not None
    assert len(batch.metadata) == 16


class TestWhatIsSent:
    def test_a_ready_file_byte_for_byte(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
        content = b'{"custom_id": "a",  "method":"POST","url":"/v1/chat/completions","body":'
        content += b'{"model":"kimi-k2.6","messages":[{"role":"user","content":"caf\\u00e9 \xe2\x80\xa8"}]}}'
        (tmp_path / "in.jsonl").write_bytes(content)
        create(input=f"file://{tmp_path}/in.jsonl")
        (file_id,) = sim.file_ids("batch")
        assert sim.file_content(file_id) == content + b"\n"

    def test_a_table_through_the_prompt(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text('id,text,lang\n7,"好, ""很好""",zh\n', encoding="utf-8")
        create(
            input=str(tmp_path / "t.csv"),
            key_column="id",
            prompt="Classify {{as is}}: {text}",
            system_prompt="Language {lang}",
            request_params={"max_completion_tokens": 64},
        )
        assert uploaded_lines(sim) == [
            {
                "custom_id": "7",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "kimi-k2.6",
                    "messages": [
                        {"role": "system", "content": "Language zh"},
                        {"role": "user", "content": 'Classify {as is}: 好, "很好"'},
                    ],
                    "max_completion_tokens": 64,
                },
            }
        ]

    def test_a_csv_saved_by_a_spreadsheet_keeps_its_first_column(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path
    ) -> None:
        (tmp_path / "t.csv").write_text("text\nhello\n", encoding="utf-8-sig")
        create(input=str(tmp_path / "t.csv"), prompt="{text}")
        assert uploaded_lines(sim)[0]["body"]["messages"] == [{"role": "user", "content": "hello"}]

    def test_a_jsonl_table(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
        source = write_jsonl(tmp_path / "t.jsonl", [{"key": 1, "text": "a"}, {"key": 2, "text": "b"}])
        create(input=source, prompt="{text}", key_column="key")
        assert [line["custom_id"] for line in uploaded_lines(sim)] == ["1", "2"]

    def test_a_list_of_prompts(self, sim: KimiSimulator, hook: KimiHook) -> None:
        create(input=["a", "b"], system_prompt="Be {brief}.")
        lines = uploaded_lines(sim)
        assert [line["custom_id"] for line in lines] == ["row-00000001", "row-00000002"]
        assert lines[1]["body"]["messages"] == [
            {"role": "system", "content": "Be {brief}."},
            {"role": "user", "content": "b"},
        ]

    def test_a_list_of_chats(self, sim: KimiSimulator, hook: KimiHook) -> None:
        chat = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ]
        create(input=[chat])
        assert uploaded_lines(sim)[0]["body"]["messages"] == chat

    def test_a_list_of_ready_requests(self, sim: KimiSimulator, hook: KimiHook) -> None:
        create(input=[request("x"), request("y")])
        assert uploaded_lines(sim) == [request("x"), request("y")]

    def test_the_model_of_the_connection(self, sim: KimiSimulator, connect: Any) -> None:
        connect(sim, model="kimi-k2.7-code")
        create(input=["a"])
        assert uploaded_lines(sim)[0]["body"]["model"] == "kimi-k2.7-code"


@pytest.mark.parametrize("text", ["{{ conn.kimi_default.password }}", "{% for x in y %}", "{text}", "}", "{{", "{0}"])
class TestRowTextIsData:
    """T30: rendered, it would break the task or leak a secret."""

    def test_in_a_python_list(self, sim: KimiSimulator, hook: KimiHook, text: str) -> None:
        create(input=[text])
        assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == text

    def test_in_a_row_dict(self, sim: KimiSimulator, hook: KimiHook, text: str) -> None:
        create(input=[{"text": text}], prompt="Say: {text}")
        assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == f"Say: {text}"

    def test_in_a_ready_request(self, sim: KimiSimulator, hook: KimiHook, text: str) -> None:
        body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": text}]}
        create(input=[request("a", body=body)])
        assert uploaded_lines(sim)[0]["body"] == body

    def test_in_a_file(self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path, text: str) -> None:
        source = write_jsonl(tmp_path / "t.jsonl", [{"text": text}])
        create(input=source, prompt="{text}")
        assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == text


def test_a_uri_and_parameters_are_templates(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "day-7.jsonl", [{"text": "a"}])
    operator = KimiCreateBatchOperator(
        task_id="create",
        input=f"{tmp_path}/{{{{ name }}}}.jsonl",
        prompt="{text} {{ name }}",
        metadata={"source": "{{ name }}"},
        completion_window="{{ window }}",
    )
    run_task(operator, name="day-7", window="3d")
    (batch,) = sim.batches.values()
    assert batch.metadata is not None
    assert (batch.metadata["source"], batch.completion_window) == ("day-7", "3d")
    assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == "a { name }"


class TestARefusedCreate:
    def test_leaves_no_file_behind(self, sim: KimiSimulator, hook: KimiHook) -> None:
        sim.inject("create_batch", status=400, error_type="invalid_request_error", message="Invalid request: no")
        with pytest.raises(KimiApiError, match="Invalid request: no"):
            submit(hook, order(["a"]), TASK, LogRecord())
        assert sim.file_ids("batch") == []

    @pytest.mark.parametrize("fault", [{"status": 502, "accepted": True}, {"drop": True, "accepted": True}])
    def test_with_an_unknown_fate_is_not_sent_again_by_airflow(
        self, sim: KimiSimulator, hook: KimiHook, fault: dict[str, Any]
    ) -> None:
        """T1: the platform has stored the batch, and its answer is lost."""
        sim.inject("create_batch", **fault)
        with pytest.raises(AirflowFailException) as caught:
            create(input=["a"])
        (batch,) = sim.batches.values()
        assert batch.metadata is not None
        assert f"kimi_job_key={batch.metadata['kimi_job_key']}" in str(caught.value)
        assert "unknown" in str(caught.value)
        assert [call.name for call in sim.journal].count("create_batch") == 1
        assert len(sim.file_ids("batch")) == 1

    def test_by_a_full_account_says_so(self, sim: KimiSimulator, hook: KimiHook) -> None:
        sim.inject(
            "upload_file", status=400, error_type="invalid_request_error", message="exceeded the max file count 1000"
        )
        with pytest.raises(AirflowFailException, match="exceeded the max file count 1000"):
            create(input=["a"])

    def test_by_its_key_is_not_retried(self, sim: KimiSimulator, connect: Any) -> None:
        connect(sim, api_key="sk-wrong")
        with pytest.raises(AirflowFailException, match="is always refused by the other"):
            create(input=["a"])

    def test_upload_that_is_dropped_may_be_retried(self, sim: KimiSimulator, hook: KimiHook) -> None:
        sim.inject("upload_file", drop=True)
        with pytest.raises(KimiNoAnswerError):
            create(input=["a"])


def test_the_same_work_has_the_same_key_and_other_work_another(sim: KimiSimulator, hook: KimiHook) -> None:
    for source in (["a"], ["a"], ["b"]):
        submit(hook, order(source), TASK, LogRecord())
    keys = [batch.metadata["kimi_job_key"] for batch in sim.batches.values() if batch.metadata]
    assert keys[0] == keys[1] != keys[2]


def test_a_model_that_nobody_lists_is_warned_about(sim: KimiSimulator, hook: KimiHook) -> None:
    log = LogRecord()
    submit(hook, order(["a"], model="kimi-k9"), TASK, log)
    assert "not on the published list of batch models" in log.warnings[0]
