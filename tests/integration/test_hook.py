"""The hook against the simulated platform, over TCP."""

import asyncio
import io
import json
from itertools import count
from pathlib import Path

import pytest

from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiConnectionConfigError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import MOST_FILE_PAGES, KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.raw_server import connect_to, raw_server, reply


def test_the_hook_has_one_method_for_each_call_of_the_api(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    line = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]},
    }
    (tmp_path / "in").write_text(json.dumps(line))
    uploaded = hook.upload_file(tmp_path / "in", "in.jsonl")
    assert [file.id for file in hook.list_files()] == [uploaded.id]
    batch = hook.create_batch(uploaded.id, completion_window="3d", metadata={"who": "me"})
    assert (batch.status, batch.completion_window, batch.metadata) == ("validating", "3d", {"who": "me"})
    assert hook.get_batch(batch.id).id == batch.id
    assert [found.id for found in hook.list_batches().data] == [batch.id]
    sim.advance(60)
    output_id = hook.get_batch(batch.id).output_file_id
    assert output_id is not None
    content = io.BytesIO()
    assert hook.download_file(output_id, content) == len(sim.file_content(output_id))
    assert content.getvalue() == sim.file_content(output_id)
    other = hook.create_batch(uploaded.id)
    assert hook.cancel_batch(other.id).status == "cancelling"
    assert hook.delete_file(output_id)
    assert "kimi-k2.6" in [model.id for model in hook.list_models()]
    assert hook.get_balance().available_balance == 1000.0
    assert hook.estimate_tokens([{"role": "user", "content": "hello"}]) > 0
    assert [call.status for call in sim.journal] == [200] * len(sim.journal)


def test_the_connection_test_accepts_a_working_key(hook: KimiHook) -> None:
    works, sentence = hook.test_connection()
    assert works
    assert "accepts the key" in sentence


def test_the_connection_test_reports_a_missing_connection() -> None:
    works, sentence = KimiHook("kimi_absent").test_connection()
    assert not works
    assert "There is no Airflow connection 'kimi_absent'" in sentence


def test_the_connection_test_reports_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps({"conn_type": "kimi"}))
    works, sentence = KimiHook().test_connection()
    assert not works
    assert "has no API key" in sentence


def test_the_connection_test_reports_a_key_of_the_other_region(sim: KimiSimulator, connect: Connect) -> None:
    """A key of the other region reads as a bad key."""
    works, sentence = connect(sim, api_key="sk-of-another-region").test_connection()
    assert not works
    assert "Put a valid key into its API key field" in sentence
    assert "sk-of-another-region" not in sentence


def test_the_connection_test_reports_a_host_that_cannot_be_reached(connect: Connect) -> None:
    with KimiSimulator() as sim:
        hook = connect(sim)
    works, sentence = hook.test_connection()
    assert not works
    assert " refuses the connection while listing models." in sentence


def test_the_connection_test_reports_a_host_that_is_not_kimis(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject("list_models", status=200, html=True)
    works, sentence = hook.test_connection()
    assert not works
    assert "sent an answer that is not Kimi's" in sentence


def test_reading_an_unknown_batch_is_a_permanent_error(hook: KimiHook) -> None:
    with pytest.raises(KimiApiError) as caught:
        hook.get_batch("batch_gone")
    assert not caught.value.retryable
    assert caught.value.status_code == 404
    assert "reading batch 'batch_gone'" in str(caught.value)
    assert "another account or region" in str(caught.value)


def test_the_html_of_a_504_is_not_repeated(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject("get_batch", status=504, html=True)
    with pytest.raises(KimiApiError) as caught:
        hook.get_batch("batch_x")
    assert caught.value.retryable
    assert "<html>" not in str(caught.value)
    assert "goes on as it was" in str(caught.value)


def test_a_call_that_takes_too_long_names_its_timeout(sim: KimiSimulator, connect: Connect) -> None:
    sim.inject("get_batch", hang_seconds=3)
    with pytest.raises(KimiNoAnswerError, match=r"within 0\.2 s"):
        connect(sim, timeout=0.2).get_batch("batch_x")


@pytest.mark.parametrize(
    ("behaviour", "seconds"),
    [
        (Behaviour(calls_per_minute=1), 60),
        (Behaviour(calls_per_minute=1, retry_after_seconds=1), 1),
        (Behaviour(calls_per_minute=1, retry_after_date=True), 60),
    ],
    ids=["honest", "too short", "a date"],
)
def test_a_refused_call_says_how_long_the_platform_asks_to_wait(
    connect: Connect, behaviour: Behaviour, seconds: int
) -> None:
    with KimiSimulator(speed=0, behaviour=behaviour) as sim:
        hook = connect(sim)
        hook.list_models()
        with pytest.raises(KimiApiError) as caught:
            hook.list_models()
    wait = caught.value.retry_after_seconds
    assert wait is not None
    assert seconds <= wait <= seconds + 1, "a date has whole seconds"


def test_account_ids_in_a_429_are_hidden(sim: KimiSimulator, hook: KimiHook) -> None:
    text = "Your account org-1234567890abcdef<ak-abcdef123456> request reached max RPM: 3, try again after 1 s"
    sim.inject("list_models", status=429, error_type="rate_limit_reached_error", message=text, retry_after=7)
    with pytest.raises(KimiApiError) as caught:
        hook.list_models()
    assert caught.value.retryable
    assert caught.value.retry_after_seconds == 7
    assert "1234567890" not in str(caught.value)
    assert "abcdef123456" not in str(caught.value)


def test_the_error_of_the_sdk_is_not_chained(hook: KimiHook) -> None:
    with pytest.raises(KimiApiError) as caught:
        hook.get_batch("batch_gone")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_exhausted_balance_is_a_permanent_error(sim: KimiSimulator, hook: KimiHook) -> None:
    """A 429 that no waiting heals."""
    sim.inject(
        "create_batch", status=429, error_type="exceeded_current_quota_error", message="suspended: insufficient balance"
    )
    with pytest.raises(KimiApiError) as caught:
        hook.create_batch("file_x")
    assert not caught.value.retryable
    assert "Top up" in str(caught.value)


def test_a_create_is_sent_only_once_although_its_answer_is_lost(sim: KimiSimulator, hook: KimiHook) -> None:
    """The SDK's own retries would have made three batches."""
    sim.inject("create_batch", status=502, times=3)
    with pytest.raises(KimiApiError, match="Whether the batch exists, and is billed, is unknown"):
        hook.create_batch("file_x")
    assert [call.name for call in sim.journal] == ["create_batch"]


def test_the_key_is_not_in_the_text_of_the_settings(hook: KimiHook) -> None:
    assert hook.settings.api_key not in repr(hook.settings)


def test_a_host_that_looks_like_the_platform_has_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is compared whole, and it is the one that is called."""
    fields = {"conn_type": "kimi", "password": "sk-x", "host": "https://api.moonshot.ai.evil.example/v1"}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
    settings = KimiHook().settings
    assert settings.region is None
    assert settings.base_url == "https://api.moonshot.ai.evil.example/v1"


def test_http_is_refused_except_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "kimi", "password": "sk-x", "host": "http://gateway.example/v1"}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
    with pytest.raises(KimiConnectionConfigError, match="unencrypted"):
        _ = KimiHook().settings


def refuse_limits(request: bytes) -> list[bytes]:
    """A gateway that takes a limit of 20 at most; it lists two pages."""
    target = request.split(b" ")[1].decode()
    if "limit=" in target:
        return [
            reply(b'{"error": {"type": "invalid_request_error", "message": "limit must be at most 20"}}', "400 Bad")
        ]
    first, last = (20, 25) if "after=" in target else (0, 20)
    batches = [{"id": f"batch_{number}", "status": "completed"} for number in range(first, last)]
    return [reply(json.dumps({"data": batches, "has_more": first == 0}).encode())]


def test_a_page_size_that_is_refused_is_left_out_for_the_whole_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every create of the account fails, because its search does."""
    with raw_server(refuse_limits) as server:
        hook = connect_to(monkeypatch, server.base_url)
        found = find_batches(Calls(hook, LogRecord()), lambda batch: True)
    assert (len(found.batches), found.gap) == (25, "")
    assert [b"limit=" in request for request in server.requests] == [True, False, False]


def test_a_page_size_that_is_refused_is_left_out_in_an_event_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pages(hook: KimiHook) -> list[int]:
        first = await hook.alist_batches()
        second = await hook.alist_batches(after=first.data[-1].id)
        await hook.aclose()
        return [len(first.data), len(second.data)]

    with raw_server(refuse_limits) as server:
        assert asyncio.run(pages(connect_to(monkeypatch, server.base_url))) == [20, 5]
    assert [b"limit=" in request for request in server.requests] == [True, False, False]


def test_a_list_that_is_refused_for_another_reason_is_asked_for_once_more_and_remembers_nothing(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    sim.inject("list_batches", status=400, times=2)
    with pytest.raises(KimiApiError):
        hook.list_batches(after="batch_gone")
    assert [call.name for call in sim.journal] == ["list_batches"] * 2
    sim.inject("list_batches", status=403, times=1)
    with pytest.raises(KimiApiError):
        hook.list_batches()
    assert len(sim.journal) == 3


def test_every_page_of_the_files_is_read_where_the_platform_says_that_there_are_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No paging is documented. A list that says more and repeats itself is left."""
    pages = {
        b"": b'{"data": [{"id": "a"}, {"id": "b"}], "has_more": true}',
        b"b": b'{"data": [{"id": "c"}], "has_more": true}',
        b"c": b'{"data": [{"id": "c"}], "has_more": true}',
    }

    def answer(request: bytes) -> list[bytes]:
        return [reply(pages[request.split(b" ")[1].partition(b"after=")[2]])]

    with raw_server(answer) as server:
        found = connect_to(monkeypatch, server.base_url).list_files()
    assert [file.id for file in found] == ["a", "b", "c"]


def test_a_list_of_files_that_never_ends_is_left_and_not_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = count()

    def answer(request: bytes) -> list[bytes]:
        return [reply(json.dumps({"data": [{"id": f"file_{next(ids)}"}], "has_more": True}).encode())]

    with raw_server(answer) as server:
        page = connect_to(monkeypatch, server.base_url).list_all_files()
    assert len(page.data) == MOST_FILE_PAGES
    assert page.has_more


@pytest.mark.parametrize("call", ["get_batch", "aget_batch", "cancel_batch"])
def test_an_answer_about_another_batch_than_the_one_that_was_asked_for_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    other = b'{"id": "batch_other", "status": "completed", "output_file_id": "file_other"}'
    with raw_server(lambda request: [reply(other)]) as server:
        method = getattr(connect_to(monkeypatch, server.base_url), call)
        with pytest.raises(KimiApiError, match="is not Kimi's while .* 'batch_asked'.*must not change") as caught:
            asyncio.run(method("batch_asked")) if call.startswith("a") else method("batch_asked")
    assert caught.value.retryable
