"""Every endpoint: what it answers, and what it refuses."""

import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from tests.simulator.conftest import Start
from tests.simulator.wire import ENDPOINT, HELLO, KEY, RETIRED, call, create, finish, jsonl, line, refused, upload

if TYPE_CHECKING:
    from openai import OpenAI

ENDPOINTS = [
    ("upload_file", "POST", "/files"),
    ("list_files", "GET", "/files"),
    ("get_file", "GET", "/files/file_x"),
    ("download_file", "GET", "/files/file_x/content"),
    ("delete_file", "DELETE", "/files/file_x"),
    ("create_batch", "POST", "/batches"),
    ("list_batches", "GET", "/batches"),
    ("get_batch", "GET", "/batches/batch_x"),
    ("cancel_batch", "POST", "/batches/batch_x/cancel"),
    ("list_models", "GET", "/models"),
    ("get_balance", "GET", "/users/me/balance"),
    ("estimate_tokens", "POST", "/tokenizers/estimate-token-count"),
    ("chat", "POST", "/chat/completions"),
]


class TestTheKey:
    @pytest.mark.parametrize(("name", "method", "path"), ENDPOINTS, ids=[name for name, _, _ in ENDPOINTS])
    @pytest.mark.parametrize(
        ("header", "error_type", "message"),
        [
            pytest.param({"X": "y"}, "incorrect_api_key_error", "Incorrect API key provided", id="no header"),
            pytest.param(
                {"Authorization": "Bearer "}, "incorrect_api_key_error", "Incorrect API key provided", id="blank key"
            ),
            pytest.param(
                {"Authorization": f"Basic {KEY}"},
                "incorrect_api_key_error",
                "Incorrect API key provided",
                id="another scheme",
            ),
            pytest.param(
                {"Authorization": "Bearer sk-kimi-x"},
                "invalid_authentication_error",
                "Invalid Authentication",
                id="another key",
            ),
        ],
    )
    def test_every_endpoint_answers_a_bad_key_with_401(
        self, lasting: KimiSimulator, name: str, method: str, path: str, header: Any, error_type: str, message: str
    ) -> None:
        assert call(lasting, method, path, headers=header).error == (401, error_type, message)
        assert (lasting.journal[-1].name, lasting.journal[-1].authorized) == (name, False)

    def test_the_sdk_reads_the_401_of_a_bad_key(self, sim: KimiSimulator, client: "OpenAI") -> None:
        wrong = client.with_options(api_key="sk-of-another-region")
        assert refused(wrong.models.list) == (401, "invalid_authentication_error", "Invalid Authentication")

    def test_a_large_upload_with_a_bad_key_gets_its_401(self, client: "OpenAI") -> None:
        wrong = client.with_options(api_key="sk-wrong")
        assert refused(lambda: upload(wrong, b"x" * 20_000_000))[0] == 401

    def test_the_key_of_a_simulator_can_be_chosen(self, start: Start) -> None:
        sim, client = start(options={"api_key": "sk-mine"})
        assert sim.api_key == "sk-mine"
        assert refused(client.models.list)[0] == 401
        assert client.with_options(api_key="sk-mine").models.list().data


class TestFiles:
    def test_a_file_has_the_documented_shape(self, sim: KimiSimulator, client: "OpenAI") -> None:
        created_at = int(sim.now())
        file_id = upload(client, jsonl(line()), "reviews.jsonl")
        shape = {
            "id": file_id,
            "object": "file",
            "bytes": len(jsonl(line())),
            "created_at": created_at,
            "filename": "reviews.jsonl",
            "purpose": "batch",
            "status": "ready",
            "status_details": "",
            "file_type": "jsonl",
        }
        assert file_id.startswith("file_")
        assert call(sim, "GET", f"/files/{file_id}").json() == shape
        assert call(sim, "GET", "/files").json() == {
            "object": "list",
            "data": [shape],
            "first_id": "",
            "last_id": "",
            "has_more": False,
        }
        assert [file.id for file in client.files.list()] == [file_id]

    def test_a_file_comes_back_byte_for_byte_as_plain_text(self, sim: KimiSimulator, client: "OpenAI") -> None:
        content = "\u2028\x85 很好\r\n\n".encode() + bytes(range(256))
        file_id = upload(client, content)
        assert client.files.content(file_id).read() == content
        assert sim.file_content(file_id) == content
        assert call(sim, "GET", f"/files/{file_id}/content").headers["content-type"].startswith("text/plain")

    def test_a_deleted_file_is_gone_and_cannot_be_deleted_twice(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = upload(client)
        assert call(sim, "DELETE", f"/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
        missing = (404, "resource_not_found_error", f"file {file_id} not found")
        assert refused(lambda: client.files.delete(file_id)) == missing
        assert refused(lambda: client.files.retrieve(file_id)) == missing
        assert refused(lambda: client.files.content(file_id)) == missing
        assert refused(lambda: create(client, file_id))[0] == 400
        assert client.files.list().data == []


class TestBatches:
    def test_a_batch_has_the_documented_shape_with_explicit_nulls(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = upload(client)
        now = int(sim.now())
        fields = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
        created = call(sim, "POST", "/batches", fields)
        assert created.status == 200
        shape = created.json()
        assert shape == {
            "id": shape["id"],
            "object": "batch",
            "endpoint": ENDPOINT,
            "input_file_id": file_id,
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "in_progress_at": None,
            "expires_at": now + 86_400,
            "finalizing_at": None,
            "completed_at": None,
            "failed_at": None,
            "cancelling_at": None,
            "cancelled_at": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": None,
        }
        assert shape["id"].startswith(f"batch_{now:08x}")
        assert call(sim, "GET", f"/batches/{shape['id']}").json() == shape
        assert call(sim, "GET", "/batches").json() == {"object": "list", "data": [shape], "has_more": False}

    def test_a_batch_echoes_its_metadata_even_half_a_surrogate_pair(self, sim: KimiSimulator, client: "OpenAI") -> None:
        metadata = {"dag": "标注", "odd": "\ud83d", "empty": ""}
        batch_id = create(client, upload(client), metadata={"plain": "yes"}).id
        assert client.batches.retrieve(batch_id).metadata == {"plain": "yes"}
        fields = {"input_file_id": upload(client), "endpoint": ENDPOINT, "completion_window": "1d"}
        assert call(sim, "POST", "/batches", {**fields, "metadata": metadata}).json()["metadata"] == metadata

    def test_a_batch_is_unknown_under_another_id(self, lasting_client: "OpenAI") -> None:
        missing = (404, "resource_not_found_error", "batch batch_gone not found")
        assert refused(lambda: lasting_client.batches.retrieve("batch_gone")) == missing
        assert refused(lambda: lasting_client.batches.cancel("batch_gone")) == missing


class TestOutputAndErrorFiles:
    def test_result_files_hold_the_documented_lines_and_are_files_like_any_other(self, start: Start) -> None:
        def respond(request: Any) -> Answer | RowError:
            if request["custom_id"] == "bad":
                return RowError("content_filter", "high risk")
            return Answer("好", "length", reasoning_content="hm", cached_tokens=2)

        sim, client = start(options={"responder": respond})
        batch = finish(sim, client, line("good"), line("bad"))
        assert batch.output_file_id
        assert batch.error_file_id
        output = json.loads(client.files.content(batch.output_file_id).read())
        body = output["response"].pop("body")
        assert output == {
            "id": "good",
            "custom_id": "good",
            "response": {"status_code": 200, "request_id": ""},
            "error": None,
        }
        assert body["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "好", "reasoning_content": "hm"},
                "finish_reason": "length",
            }
        ]
        assert (body["object"], body["model"]) == ("chat.completion", "kimi-k2.6")
        usage = body["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["cached_tokens"] == 2
        assert usage["completion_tokens_details"] == {"reasoning_tokens": 2}
        assert json.loads(client.files.content(batch.error_file_id).read()) == {
            "id": "bad",
            "custom_id": "bad",
            "response": None,
            "error": {"code": "content_filter", "message": "high risk"},
        }
        listed = {file.id: (file.purpose, file.created_at) for file in client.files.list()}
        assert listed[batch.output_file_id] == ("batch_output", batch.completed_at)
        assert client.files.delete(batch.output_file_id).deleted

    def test_result_files_are_valid_utf8_whatever_a_custom_id_holds(self, sim: KimiSimulator, client: "OpenAI") -> None:
        batch = finish(sim, client, json.dumps(line("half \ud83d")).encode(), line("行\u2028"))
        assert batch.output_file_id
        rows = [json.loads(row) for row in sim.file_content(batch.output_file_id).decode().split("\n") if row]
        assert {row["custom_id"] for row in rows} == {"half \ud83d", "行\u2028"}


class TestTheOtherEndpoints:
    def test_models_are_listed_with_their_context_lengths(self, sim: KimiSimulator, client: "OpenAI") -> None:
        listed = [model.id for model in client.models.list()]
        assert listed == ["kimi-k3", "kimi-k2.6", "kimi-k2.7-code", "kimi-k2.7-code-highspeed"]
        models = {model["id"]: model for model in call(sim, "GET", "/models").json()["data"]}
        assert models["kimi-k2.6"]["context_length"] == 262_144
        assert models["kimi-k3"]["context_length"] == 1_048_576
        assert models["kimi-k2.6"]["owned_by"] == "moonshot"

    @pytest.mark.parametrize("model", RETIRED)
    def test_a_retired_model_is_an_unknown_one(self, lasting: KimiSimulator, model: str) -> None:
        fields = {"model": model, "messages": HELLO}
        for path in ("/chat/completions", "/tokenizers/estimate-token-count"):
            assert call(lasting, "POST", path, fields).error[:2] == (404, "resource_not_found_error")

    def test_the_balance_is_what_the_simulator_was_given(self, start: Start) -> None:
        sim, _ = start(options={"balance": 12.5})
        assert call(sim, "GET", "/users/me/balance").json() == {
            "code": 0,
            "scode": "0x0",
            "status": True,
            "data": {"available_balance": 12.5, "voucher_balance": 0.0, "cash_balance": 12.5},
        }

    def test_tokens_are_counted_more_for_more_text(self, lasting: KimiSimulator) -> None:
        def count(content: object) -> int:
            fields = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": content}]}
            reply = call(lasting, "POST", "/tokenizers/estimate-token-count", fields).json()
            assert list(reply) == ["data"]
            return int(reply["data"]["total_tokens"])

        parts = [{"type": "text", "text": "hello world, hello"}, {"type": "image_url", "image_url": "ms://x"}]
        assert 0 < count("hello") < count("hello world, hello") == count(parts)

    def test_a_chat_call_is_answered_at_once(self, lasting_client: "OpenAI") -> None:
        answer = lasting_client.chat.completions.create(
            model="kimi-k2.6",
            messages=[{"role": "user", "content": "Labels: good, bad. I love it"}],
            temperature=0.6,
            top_p=0.95,
            n=1,
        )
        assert answer.choices[0].message.content == "good"
        assert answer.usage is not None
        assert answer.usage.total_tokens > 0

    @pytest.mark.parametrize(
        ("fields", "status", "error_type"),
        [
            pytest.param({"temperature": 0}, 400, "invalid_request_error", id="fixed value changed"),
            pytest.param({"n": 2}, 400, "invalid_request_error", id="two choices"),
            pytest.param({"stream": True}, 400, "invalid_request_error", id="stream"),
            pytest.param({"messages": []}, 400, "invalid_request_error", id="no messages"),
            pytest.param({"messages": ["hi"]}, 400, "invalid_request_error", id="message is not an object"),
            pytest.param({"model": "kimi-latest"}, 404, "resource_not_found_error", id="unknown model"),
            pytest.param({"model": ["x"]}, 404, "resource_not_found_error", id="model is not text"),
        ],
    )
    def test_a_chat_call_is_refused_with_the_documented_status(
        self, lasting: KimiSimulator, fields: Any, status: int, error_type: str
    ) -> None:
        sent = {"model": "kimi-k2.6", "messages": HELLO, **fields}
        assert call(lasting, "POST", "/chat/completions", sent).error[:2] == (status, error_type)

    def test_a_chat_call_without_money_on_the_account_is_refused(self, start: Start) -> None:
        sim, _ = start(options={"balance": 0})
        reply = call(sim, "POST", "/chat/completions", {"model": "kimi-k2.6", "messages": HELLO})
        assert reply.error[:2] == (429, "exceeded_current_quota_error")


class TestOddInput:
    @pytest.mark.parametrize("path", ["/batches", "/chat/completions", "/tokenizers/estimate-token-count"])
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"{", id="not JSON"),
            pytest.param(b"\xff\xfe", id="not UTF-8"),
            pytest.param(b"[]", id="no object"),
            pytest.param(b"[" * 100_000, id="too deep"),
            pytest.param(b"1" * 10_000, id="too many digits"),
        ],
    )
    def test_a_body_that_is_not_a_json_object_gets_an_error_envelope(
        self, lasting: KimiSimulator, path: str, body: bytes
    ) -> None:
        assert call(lasting, "POST", path, body=body).error[:2] == (400, "invalid_request_error")

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            pytest.param("multipart/form-data; boundary=x", b"broken", id="broken"),
            pytest.param("multipart/form-data", b"--x", id="no boundary"),
            pytest.param("application/json", b"{}", id="JSON"),
            pytest.param(
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n',
                id="file is a field",
            ),
            pytest.param(
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\ntext\r\n--x--\r\n',
                id="no purpose",
            ),
        ],
    )
    def test_an_upload_without_a_file_gets_an_error_envelope(
        self, lasting: KimiSimulator, kind: str, body: bytes
    ) -> None:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": kind}
        assert call(lasting, "POST", "/files", body=body, headers=headers).error[:2] == (400, "invalid_request_error")

    def test_an_unknown_url_is_answered_as_the_platform_does(self, lasting: KimiSimulator) -> None:
        reply = call(lasting, "GET", "/caching")
        assert reply.status == 404
        assert reply.json()["error"] == "url.not_found"
        assert set(reply.json()) == {"error", "message", "url"}

    def test_an_error_in_a_responder_is_answered_with_500_and_its_text(self, start: Start) -> None:
        def respond(request: Any) -> Answer:
            raise LookupError("no such prompt")

        sim, client = start(options={"responder": respond})
        broken = (500, "server_error", "LookupError: no such prompt")
        chat = {"model": "kimi-k2.6", "messages": HELLO}
        assert call(sim, "POST", "/chat/completions", chat).error == broken
        batch_id = create(client, upload(client)).id
        sim.advance(60)
        for _ in range(2):
            assert refused(lambda: client.batches.retrieve(batch_id)) == broken
        assert sim.journal[-1].status == 500


class TestEveryAnswer:
    def test_every_answer_carries_a_request_id_of_its_own_under_kimis_name(self, lasting: KimiSimulator) -> None:
        replies = [call(lasting, method, path) for _, method, path in ENDPOINTS]
        assert len({reply.headers["msh-request-id"] for reply in replies}) == len(ENDPOINTS)
        assert not any("x-request-id" in reply.headers for reply in replies)

    def test_every_answer_is_dated_by_the_simulated_clock(self, sim: KimiSimulator) -> None:
        sim.advance(3 * 86_400)
        sim.inject("list_models", cut_after_bytes=10, cut_silently=True)
        sim.inject("get_balance", status=504, html=True)
        replies = [call(sim, method, path) for _, method, path in ENDPOINTS]
        replies += [
            call(sim, "GET", "/caching"),
            call(sim, "PUT", "/files"),
            call(sim, "GET", "/files", headers={"X": ""}),
        ]
        assert {parsedate_to_datetime(reply.headers["date"]).timestamp() for reply in replies} == {int(sim.now())}

    def test_every_call_is_in_the_journal_in_order(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = upload(client)
        sim.advance(10)
        client.batches.list(limit=7)
        assert refused(lambda: client.files.retrieve("file_gone"))[0] == 404
        assert [(sent.name, sent.path, sent.status) for sent in sim.journal] == [
            ("upload_file", "/v1/files", 200),
            ("list_batches", "/v1/batches?limit=7", 200),
            ("get_file", "/v1/files/file_gone", 404),
        ]
        assert sim.journal[1].at - sim.journal[0].at == 10
        assert all(sent.authorized for sent in sim.journal)
        sim.status(create(client, file_id).id)
        sim.file_content(file_id)
        assert [sent.name for sent in sim.journal[3:]] == ["create_batch"]
