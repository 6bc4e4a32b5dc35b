"""What a submit sends to the platform, and what it knows where no answer comes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_kimi import __version__
from airflow_provider_kimi.exceptions import KimiApiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, write_jsonl
from tests.support.tasks import Attempt, links_of_batch, run_task


def uploaded_lines(sim: KimiSimulator) -> list[Any]:
    """The one uploaded input file, decoded."""
    (file_id,) = sim.file_ids("batch")
    return [json.loads(line) for line in sim.file_content(file_id).split(b"\n") if line]


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", **parameters))


def test_the_create_operator_returns_batch_ids_and_pushes_input_files_and_row_count(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    attempt = create(input=["one", "two"])
    (batch_id,) = sim.batches
    assert attempt.value == [batch_id]
    assert attempt.ti.xcoms == {
        "batch_id": batch_id,
        "input_file_ids": [sim.batches[batch_id].input_file_id],
        "request_count": 2,
        **links_of_batch(batch_id),
    }
    assert [call.name for call in sim.journal] == [
        "list_batches",
        "list_models",
        "upload_file",
        "create_batch",
        "list_batches",
        "list_files",
    ]


def test_every_batch_is_tagged_with_its_task_and_its_work(sim: KimiSimulator, hook: KimiHook) -> None:
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


def test_eight_metadata_pairs_of_the_user_fit_beside_those_of_the_provider(sim: KimiSimulator, hook: KimiHook) -> None:
    create(input=["one"], metadata={f"k{n}": "v" for n in range(8)}, system_prompt="Be brief.")
    (batch,) = sim.batches.values()
    assert batch.metadata is not None
    assert len(batch.metadata) == 16


def test_a_file_of_ready_requests_is_sent_byte_for_byte(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    content = b'{"custom_id": "a",  "method":"POST","url":"/v1/chat/completions","body":'
    content += b'{"model":"kimi-k2.6","messages":[{"role":"user","content":"caf\\u00e9 \xe2\x80\xa8"}]}}'
    (tmp_path / "in.jsonl").write_bytes(content)
    create(input=f"file://{tmp_path}/in.jsonl")
    (file_id,) = sim.file_ids("batch")
    assert sim.file_content(file_id) == content + b"\n"


def test_each_row_of_a_table_is_sent_as_its_rendered_prompt(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
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
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("text\nhello\n", encoding="utf-8-sig")
    create(input=str(tmp_path / "t.csv"), prompt="{text}")
    assert uploaded_lines(sim)[0]["body"]["messages"] == [{"role": "user", "content": "hello"}]


def test_rows_of_a_jsonl_table_are_sent_under_the_keys_of_their_key_column(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "t.jsonl", [{"key": 1, "text": "a"}, {"key": 2, "text": "b"}])
    create(input=source, prompt="{text}", key_column="key")
    assert [line["custom_id"] for line in uploaded_lines(sim)] == ["1", "2"]


def test_a_list_of_prompts_is_sent_under_numbered_ids_with_the_system_prompt_as_it_is(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    create(input=["a", "b"], system_prompt="Be {brief}.")
    lines = uploaded_lines(sim)
    assert [line["custom_id"] for line in lines] == ["row-00000001", "row-00000002"]
    assert lines[1]["body"]["messages"] == [
        {"role": "system", "content": "Be {brief}."},
        {"role": "user", "content": "b"},
    ]


def test_a_list_of_chats_is_sent_with_every_message(sim: KimiSimulator, hook: KimiHook) -> None:
    chat = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    create(input=[chat])
    assert uploaded_lines(sim)[0]["body"]["messages"] == chat


def test_a_list_of_ready_requests_is_sent_as_it_is(sim: KimiSimulator, hook: KimiHook) -> None:
    create(input=[request("x"), request("y")])
    assert uploaded_lines(sim) == [request("x"), request("y")]


def test_requests_are_sent_with_the_model_of_the_connection(sim: KimiSimulator, connect: Any) -> None:
    connect(sim, model="kimi-k2.7-code")
    create(input=["a"])
    assert uploaded_lines(sim)[0]["body"]["model"] == "kimi-k2.7-code"


#: Texts of rows that break a task, or put a secret into a prompt, if they are rendered.
template_like = pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ conn.kimi_default.password }}", id="a Jinja expression"),
        pytest.param("{% for x in y %}", id="a Jinja statement"),
        pytest.param("{text}", id="a placeholder by name"),
        pytest.param("{0}", id="a placeholder by number"),
        pytest.param("}", id="a single brace"),
        pytest.param("{{", id="a doubled brace"),
    ],
)


@template_like
def test_text_in_a_python_list_is_not_rendered(sim: KimiSimulator, hook: KimiHook, text: str) -> None:
    create(input=[text])
    assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == text


@template_like
def test_text_in_a_row_dict_is_not_rendered(sim: KimiSimulator, hook: KimiHook, text: str) -> None:
    create(input=[{"text": text}], prompt="Say: {text}")
    assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == f"Say: {text}"


@template_like
def test_text_in_a_ready_request_is_not_rendered(sim: KimiSimulator, hook: KimiHook, text: str) -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": text}]}
    create(input=[request("a", body=body)])
    assert uploaded_lines(sim)[0]["body"] == body


@template_like
def test_text_in_a_file_is_not_rendered(sim: KimiSimulator, hook: KimiHook, tmp_path: Path, text: str) -> None:
    source = write_jsonl(tmp_path / "t.jsonl", [{"text": text}])
    create(input=source, prompt="{text}")
    assert uploaded_lines(sim)[0]["body"]["messages"][0]["content"] == text


def test_the_uri_of_an_input_and_the_parameters_are_templates(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
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


@pytest.mark.parametrize(
    "ignored",
    [{"system_prompt": "x"}, {"key_column": "x"}, {"request_params": {"max_completion_tokens": 9}}],
    ids=lambda ignored: next(iter(ignored)),
)
def test_parameters_that_ready_requests_would_ignore_are_refused(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, ignored: dict[str, Any]
) -> None:
    for source in (write_jsonl(tmp_path / "in.jsonl", [request()]), [request()]):
        with pytest.raises(AirflowFailException, match=f"so {next(iter(ignored))} would have no effect"):
            create(input=source, **ignored)
    assert sim.journal == []


def test_a_path_object_is_the_same_input_as_its_text(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [request()])
    create(input=tmp_path / "in.jsonl")
    create(input=ObjectStoragePath(f"file://{tmp_path}/in.jsonl"))
    assert len(sim.batches) == 1


def test_another_tasks_output_inside_a_list_is_refused_when_the_dag_is_parsed() -> None:
    upstream = KimiCreateBatchOperator(task_id="upstream", input=["a"])
    with pytest.raises(ValueError, match="Pass that output itself"):
        KimiCreateBatchOperator(task_id="create", input=[upstream.output, "b"])


def test_a_refused_create_leaves_no_file_behind(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject("create_batch", status=400, error_type="invalid_request_error", message="Invalid request: no")
    with pytest.raises(KimiApiError, match="Invalid request: no"):
        submit(hook, order(["a"]), ATTEMPT, LogRecord())
    assert sim.file_ids("batch") == []


def test_an_upload_to_a_full_account_fails_with_the_reason_of_the_platform(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject(
        "upload_file", status=400, error_type="invalid_request_error", message="exceeded the max file count 1000"
    )
    with pytest.raises(AirflowFailException, match="exceeded the max file count 1000"):
        create(input=["a"])


def test_a_refused_api_key_fails_the_task_without_a_retry(sim: KimiSimulator, connect: Any) -> None:
    connect(sim, api_key="sk-wrong")
    with pytest.raises(AirflowFailException, match="Put a valid key into its API key field"):
        create(input=["a"])


def test_an_upload_that_is_never_answered_may_be_retried(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject("upload_file", drop=True, times=None)
    with pytest.raises(KimiNoAnswerError):
        submit(hook, order(["a"]), ATTEMPT, LogRecord())


def test_the_same_work_has_the_same_job_key_and_other_work_another(sim: KimiSimulator, hook: KimiHook) -> None:
    for mark, source in enumerate((["a"], ["a"], ["b"])):
        submit(hook, order(source, reuse="never"), replace(ATTEMPT, mark=str(mark)), LogRecord())
    keys = [batch.metadata["kimi_job_key"] for batch in sim.batches.values() if batch.metadata]
    assert keys[0] == keys[1] != keys[2]


def test_a_model_outside_the_published_list_of_batch_models_is_logged_and_submitted(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    log = LogRecord()
    submit(hook, order(["a"], model="kimi-k3"), ATTEMPT, log)
    assert "not on the published list of batch models" in log.warnings[0]
    assert len(sim.batches) == 1
