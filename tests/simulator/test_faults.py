"""Scripted faults on the wire."""

import http.client
import json
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, UNTIL_COMPLETED, call, create, finish, lines, refused, upload

if TYPE_CHECKING:
    from openai import OpenAI


def unanswered(act: Any) -> bool:
    """Whether the SDK got no answer."""
    import openai

    try:
        act()
    except openai.APIConnectionError as error:
        return not isinstance(error, openai.APITimeoutError)
    return False


class TestAStatus:
    def test_a_status_is_an_error_envelope_with_the_given_text_once(self, sim: KimiSimulator, client: "OpenAI") -> None:
        sim.inject("list_models", status=503, error_type="server_unavailable", message="later")
        assert refused(client.models.list) == (503, "server_unavailable", "later")
        assert client.models.list().data

    def test_a_status_spoils_its_own_call_only(self, sim: KimiSimulator, client: "OpenAI") -> None:
        sim.inject("create_batch", status=500)
        file_id = upload(client)
        client.batches.list()
        assert refused(lambda: create(client, file_id)) == (500, "server_error", "simulated fault")
        assert not sim.batches
        assert [(sent.name, sent.status) for sent in sim.journal][-1] == ("create_batch", 500)

    def test_a_status_can_come_with_an_html_page(self, sim: KimiSimulator, client: "OpenAI") -> None:
        sim.inject("get_batch", status=504, html=True, times=2)
        reply = call(sim, "GET", "/batches/x")
        assert reply.status == 504
        assert reply.headers["content-type"].startswith("text/html")
        assert reply.body.startswith(b"<html>")
        assert refused(lambda: client.batches.retrieve("x")) == (504, None, "")

    def test_a_status_can_say_how_long_to_wait_in_both_headers(self, sim: KimiSimulator) -> None:
        sim.inject("list_files", status=429, error_type="engine_overloaded_error", retry_after=7)
        sim.inject("list_files", status=429, retry_after=0.5)
        sim.inject("list_files", status=429)
        first, second, third = (call(sim, "GET", "/files").headers for _ in range(3))
        assert (first["retry-after"], first["x-retry-after"]) == ("7", "7")
        assert second["retry-after"] == "0.5"
        assert "retry-after" not in third

    def test_a_status_can_spoil_an_upload_of_any_size(self, sim: KimiSimulator, client: "OpenAI") -> None:
        sim.inject("upload_file", status=500)
        assert refused(lambda: upload(client, b"x" * 5_000_000))[0] == 500
        assert sim.file_ids("batch") == []


class TestADroppedConnection:
    @pytest.mark.parametrize("name", ["create_batch", "upload_file"])
    def test_a_dropped_connection_gives_no_answer_and_does_nothing(
        self, sim: KimiSimulator, client: "OpenAI", name: Any
    ) -> None:
        file_id = upload(client)
        sim.inject(name, drop=True)
        assert unanswered(lambda: upload(client) if name == "upload_file" else create(client, file_id))
        assert (len(sim.file_ids("batch")), len(sim.batches)) == (1, 0)
        assert sim.journal[-1].status is None
        assert create(client, upload(client)).status == "validating"

    def test_a_connection_can_be_dropped_after_the_work_was_accepted(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        sim.inject("upload_file", drop=True, accepted=True)
        assert unanswered(lambda: upload(client))
        (file_id,) = sim.file_ids("batch")
        sim.inject("create_batch", drop=True, accepted=True)
        assert unanswered(lambda: create(client, file_id, metadata={"marker": "m1"}))
        (batch,) = client.batches.list().data
        assert (batch.metadata, batch.input_file_id) == ({"marker": "m1"}, file_id)


def test_a_502_can_hide_that_a_batch_was_accepted(sim: KimiSimulator, client: "OpenAI") -> None:
    sim.inject("create_batch", status=502, accepted=True)
    file_id = upload(client)
    assert refused(lambda: create(client, file_id))[0] == 502
    assert [batch.id for batch in client.batches.list()] == list(sim.batches)
    assert len(sim.batches) == 1


class TestACallThatIsDoneLate:
    def test_a_create_that_a_gateway_gave_up_on_is_carried_out_later(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        file_id, before = upload(client), int(sim.now())
        sim.inject("create_batch", status=504, html=True, done_after_seconds=900)
        assert refused(lambda: create(client, file_id, metadata={"marker": "m1"}))[0] == 504
        sim.advance(899)
        assert not sim.batches
        assert client.batches.list().data == []
        sim.advance(3600)
        (batch_id,) = sim.batches
        (batch,) = client.batches.list().data
        assert (batch.id, batch.created_at, batch.metadata) == (batch_id, before + 900, {"marker": "m1"})
        assert batch.completed_at == before + 900 + UNTIL_COMPLETED
        assert [sent.name for sent in sim.journal] == ["upload_file", "create_batch", "list_batches", "list_batches"]

    def test_late_calls_are_carried_out_in_the_order_in_which_they_are_due(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        file_id, before = upload(client), int(sim.now())
        for seconds in (300, 100, 200):
            sim.inject("create_batch", status=504, done_after_seconds=seconds)
            refused(partial(create, client, file_id))
        sim.advance(200)
        assert [int(batch.created_at) - before for batch in sim.batches.values()] == [100, 200]
        sim.advance(200)
        assert [int(batch.created_at) - before for batch in sim.batches.values()] == [100, 200, 300]

    def test_a_late_call_is_carried_out_at_the_next_call_of_a_clock_that_runs(self, start: Start) -> None:
        sim, client = start(options={"speed": 600.0})
        sim.inject("create_batch", drop=True, done_after_seconds=60)
        file_id = upload(client)
        assert unanswered(lambda: create(client, file_id))
        deadline = time.monotonic() + 10
        while not client.batches.list().data and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(sim.batches) == 1

    def test_a_late_call_that_is_refused_in_the_end_leaves_nothing_behind(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        file_id = upload(client)
        sim.inject("create_batch", status=504, done_after_seconds=60, times=2)
        assert refused(lambda: create(client, file_id))[0] == 504
        assert call(sim, "POST", "/batches", body=b"{").status == 504
        client.files.delete(file_id)
        sim.advance(60)
        assert not sim.batches

    def test_an_upload_a_delete_and_a_cancel_can_be_late_too(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = upload(client)
        batch_id = create(client, file_id).id
        for name in ("upload_file", "delete_file", "cancel_batch"):
            sim.inject(name, status=502, done_after_seconds=10)
        assert refused(lambda: upload(client, b"x" * 2_000_000))[0] == 502
        assert refused(lambda: client.files.delete(file_id))[0] == 502
        assert refused(lambda: client.batches.cancel(batch_id))[0] == 502
        assert (sim.file_ids("batch"), sim.status(batch_id)) == ([file_id], "validating")
        sim.advance(10)
        (late_id,) = sim.file_ids("batch")
        assert sim.file_content(late_id) == b"x" * 2_000_000
        assert sim.status(batch_id) == "cancelling"

    def test_a_call_cannot_be_done_late_and_answered(self, sim: KimiSimulator) -> None:
        for fault in ({}, {"accepted": True, "status": 504}, {"hang_seconds": 1.0}):
            with pytest.raises(ValueError, match="done_after_seconds needs a status or drop"):
                sim.inject("create_batch", done_after_seconds=1, **fault)


class TestAHangingCall:
    def test_a_hanging_call_is_answered_late(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", hang_seconds=0.3)
        started = time.monotonic()
        assert call(sim, "GET", "/models").status == 200
        assert time.monotonic() - started >= 0.3
        assert call(sim, "GET", "/models").status == 200

    def test_a_hanging_call_runs_into_the_clients_timeout_and_holds_up_no_other(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        import openai

        sim.inject("get_balance", hang_seconds=30)
        sim.inject("list_models", hang_seconds=30)
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.2).models.list()
        started = time.monotonic()
        assert client.models.list().data
        assert time.monotonic() - started < 5

    @pytest.mark.parametrize("accepted", [True, False])
    def test_a_hanging_call_that_the_client_leaves_is_done_only_if_it_was_accepted(
        self, sim: KimiSimulator, client: "OpenAI", accepted: bool
    ) -> None:
        import openai

        file_id = upload(client)
        sim.inject("create_batch", hang_seconds=0.3, accepted=accepted)
        with pytest.raises(openai.APITimeoutError):
            create(client.with_options(timeout=0.1), file_id)
        assert len(sim.batches) == accepted
        time.sleep(0.4)
        assert len(sim.batches) == accepted
        assert sim.journal[-1].status == (200 if accepted else None)

    def test_a_hanging_call_does_not_keep_the_simulator_from_ending(self, client: "OpenAI") -> None:
        with KimiSimulator() as sim:
            sim.inject("list_models", hang_seconds=30)
            assert unanswered_in_time(client.with_options(base_url=sim.base_url))
            started = time.monotonic()
        assert time.monotonic() - started < 3

    def test_a_hanging_call_can_end_in_an_error(self, sim: KimiSimulator, client: "OpenAI") -> None:
        sim.inject("list_models", hang_seconds=0.1, status=503)
        sim.inject("list_models", hang_seconds=0.1, drop=True)
        assert refused(client.models.list)[0] == 503
        assert unanswered(client.models.list)


class TestATrickledAnswer:
    def test_a_trickled_answer_comes_byte_by_byte_headers_included(self, sim: KimiSimulator) -> None:
        sim.inject("get_balance", trickle_seconds=0.001)
        with socket.create_connection(("127.0.0.1", int(sim.base_url.split(":")[2].removesuffix("/v1")))) as connection:
            request = f"GET /v1/users/me/balance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sim.api_key}\r\n\r\n"
            connection.sendall(request.encode())
            pieces = list(iter(lambda: connection.recv(65536), b""))
        head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
        assert len(pieces) > 20
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ndate: " in head
        assert json.loads(body)["status"] is True
        assert sim.journal[-1].status == 200

    def test_a_trickled_answer_is_read_by_the_sdk_to_its_end(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = upload(client, b"x" * 500)
        sim.inject("download_file", trickle_seconds=0.0001)
        sim.inject("get_file", trickle_seconds=0.0001, status=499)
        assert client.files.content(file_id).read() == b"x" * 500
        assert refused(lambda: client.files.retrieve(file_id))[0] == 499
        assert client.files.retrieve(file_id).id == file_id

    def test_a_trickled_answer_outlives_a_timeout_between_two_bytes_and_ends_when_the_client_leaves(
        self, sim: KimiSimulator
    ) -> None:
        sim.inject("list_models", trickle_seconds=0.05)
        connection = http.client.HTTPConnection("127.0.0.1", int(sim.base_url.split(":")[2][:-3]), timeout=0.5)
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {sim.api_key}"})
        assert connection.sock is not None
        started = time.monotonic()
        while time.monotonic() - started < 0.7:
            assert len(connection.sock.recv(1)) == 1
        connection.close()
        assert call(sim, "GET", "/models").status == 200

    def test_a_trickled_answer_does_not_keep_the_simulator_from_ending(self, client: "OpenAI") -> None:
        with KimiSimulator() as sim:
            sim.inject("list_models", trickle_seconds=30)
            assert unanswered_in_time(client.with_options(base_url=sim.base_url))
            started = time.monotonic()
        assert time.monotonic() - started < 3


class TestACutDownload:
    def test_a_download_cut_with_an_error_on_the_wire_is_noticed(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = str(finish(sim, client, *lines(10)).output_file_id)
        whole = sim.file_content(file_id)
        sim.inject("download_file", cut_after_bytes=700, times=2)
        with pytest.raises(http.client.IncompleteRead) as caught:
            call(sim, "GET", f"/files/{file_id}/content")
        assert caught.value.partial == whole[:700]
        assert unanswered(lambda: client.files.content(file_id))
        assert client.files.content(file_id).read() == whole

    def test_a_download_that_lacks_only_its_end_is_noticed(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = upload(client)
        for cut in (0, len(sim.file_content(file_id)), 10_000):
            sim.inject("download_file", cut_after_bytes=cut)
            with pytest.raises(http.client.IncompleteRead):
                call(sim, "GET", f"/files/{file_id}/content")

    def test_a_part_of_a_file_is_cut_too_and_its_last_part_comes_whole(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        file_id = str(finish(sim, client, *lines(10)).output_file_id)
        whole, got = sim.file_content(file_id), b""
        sim.inject("download_file", cut_after_bytes=700, times=None)
        while len(got) < len(whole):
            headers = {"Authorization": f"Bearer {KEY}"} | ({"range": f"bytes={len(got)}-"} if got else {})
            try:
                reply = call(sim, "GET", f"/files/{file_id}/content", headers=headers)
                got += reply.body
            except http.client.IncompleteRead as cut:
                got += cut.partial
                assert len(got) % 700 == 0
        assert got == whole
        assert reply.status == 206

    def test_a_download_cut_in_silence_looks_complete(self, sim: KimiSimulator, client: "OpenAI") -> None:
        file_id = str(finish(sim, client, *lines(10)).output_file_id)
        sim.inject("download_file", cut_after_bytes=700, cut_silently=True, times=2)
        reply = call(sim, "GET", f"/files/{file_id}/content")
        assert (reply.status, reply.headers["content-length"]) == (200, "700")
        assert client.files.content(file_id).read() == reply.body == sim.file_content(file_id)[:700]

    def test_any_other_answer_can_be_cut_too(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", cut_after_bytes=5)
        with pytest.raises(http.client.IncompleteRead) as caught:
            call(sim, "GET", "/models")
        assert caught.value.partial == b'{"obj'


class TestTheScript:
    def statuses(self, sim: KimiSimulator, count: int) -> list[int]:
        return [call(sim, "GET", "/models").status for _ in range(count)]

    def test_skip_lets_calls_pass_and_times_counts_the_spoilt_ones(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", status=500, skip=2, times=2)
        assert self.statuses(sim, 6) == [200, 200, 500, 500, 200, 200]

    def test_a_fault_with_times_of_none_never_ends(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", status=500, skip=1, times=None)
        assert self.statuses(sim, 10) == [200] + [500] * 9

    def test_a_fault_with_times_of_zero_does_nothing(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", status=500, times=0)
        sim.inject("list_models", status=503)
        assert self.statuses(sim, 2) == [503, 200]

    def test_faults_of_one_call_come_one_after_another(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", status=500, times=2)
        sim.inject("list_models", status=503, skip=1)
        assert self.statuses(sim, 5) == [500, 500, 200, 503, 200]

    def test_a_call_with_a_wrong_key_uses_no_fault_up(self, sim: KimiSimulator) -> None:
        sim.inject("list_models", status=500)
        assert call(sim, "GET", "/models", headers={"X": "no key"}).status == 401
        assert self.statuses(sim, 2) == [500, 200]

    def test_a_misspelt_fault_is_refused(self, sim: KimiSimulator) -> None:
        with pytest.raises(TypeError, match="stauts"):
            sim.inject("list_models", stauts=500)


def unanswered_in_time(client: "OpenAI") -> bool:
    """Whether listing the models takes more than 0.2 seconds."""
    import openai

    try:
        client.with_options(timeout=0.2).models.list()
    except openai.APITimeoutError:
        return True
    return False
