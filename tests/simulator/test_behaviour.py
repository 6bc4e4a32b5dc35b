"""Every switch of `Behaviour` changes what its docstring says."""

import ast
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import Answer, Behaviour, RowError, Timing
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, call, create, finish, jsonl, line, lines, refused, rows_of, submit, upload

if TYPE_CHECKING:
    pass

DAY = 86_400


def failing(request: Any) -> RowError:
    """A responder to which every row is bad."""
    return RowError("content_filter", "high risk", 451)


def test_every_switch_has_a_test_here_and_one_of_the_provider() -> None:
    """A switch that no test of the provider needs is not worth its code; random schedules do not count as a test."""
    switches = {field.name for field in dataclasses.fields(Behaviour)}
    tests = Path(__file__).parents[1]
    own = {path for path in tests.rglob("*.py") if path.parent.name == "simulator"}
    of_the_provider = set(tests.rglob("*.py")) - own - set((tests / "chaos").iterdir())
    assert switches - {name for path in own for name in keywords(path, "start", "ended")} == set()
    assert switches - {name for path in of_the_provider for name in keywords(path, "Behaviour")} == set()


def keywords(path: Path, *functions: str) -> set[str]:
    """The keywords with which a file calls functions."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    names = ((getattr(call.func, "id", None) or getattr(call.func, "attr", None), call) for call in calls)
    return {str(word.arg) for name, call in names if name in functions for word in call.keywords}


class TestResultLines:
    @pytest.mark.parametrize("status_code", [200, 0])
    def test_success_status_code_is_written(self, start: Start, status_code: int) -> None:
        sim, client = start(success_status_code=status_code)
        (row,) = rows_of(sim, finish(sim, client).output_file_id)
        assert row["response"]["status_code"] == status_code

    def test_success_status_code_of_none_leaves_the_key_out(self, start: Start) -> None:
        sim, client = start(success_status_code=None)
        (row,) = rows_of(sim, finish(sim, client).output_file_id)
        assert set(row["response"]) == {"request_id", "body"}
        assert row["response"]["body"]["choices"]

    @pytest.mark.parametrize(
        ("shape", "response", "error"),
        [
            ("error", None, {"code": "content_filter", "message": "high risk"}),
            ("type", None, {"type": "content_filter", "message": "high risk"}),
            ("text", None, "high risk"),
            (
                "response",
                {
                    "status_code": 451,
                    "request_id": "",
                    "body": {"error": {"type": "content_filter", "message": "high risk"}},
                },
                None,
            ),
            ("empty", {"status_code": 0, "request_id": "", "body": ""}, None),
        ],
    )
    def test_error_shape_spells_an_error(self, start: Start, shape: str, response: object, error: object) -> None:
        sim, client = start(error_shape=shape, options={"responder": failing})
        batch = finish(sim, client, line("x"))
        assert batch.output_file_id is None
        assert rows_of(sim, batch.error_file_id) == [
            {"id": "x", "custom_id": "x", "response": response, "error": error}
        ]

    @pytest.mark.parametrize("key", ["max_completion_tokens", "max_tokens"])
    def test_starve_below_tokens_lets_thinking_use_up_a_small_cap(self, start: Start, key: str) -> None:
        outcomes: dict[tuple[int | None, str], Any] = {}
        for below in (1500, 3000, None):
            sim, client = start(
                starve_below_tokens=below, options={"responder": lambda _: Answer("yes", cached_tokens=1)}
            )
            rows = [line("few", {key: 1499}), line("enough", {key: 1500}), line("any")]
            rows.append(line("not thinking", {key: 64, "thinking": {"type": "disabled"}}))
            for row in rows_of(sim, finish(sim, client, *rows).output_file_id):
                body = row["response"]["body"]
                outcomes[below, row["custom_id"]] = (body["choices"][0], body["usage"])
        starved = {case for case, (choice, _) in outcomes.items() if choice["finish_reason"] == "length"}
        assert starved == {(1500, "few"), (3000, "few"), (3000, "enough")}
        for below, custom_id in starved:
            choice, usage = outcomes[below, custom_id]
            assert choice["message"]["content"] == ""
            assert choice["message"]["reasoning_content"]
            assert usage["completion_tokens"] == (1499 if custom_id == "few" else 1500)
            assert usage["cached_tokens"] == 1
        assert {outcomes[case][0]["message"]["content"] for case in outcomes.keys() - starved} == {"yes"}

    def test_starve_below_tokens_is_for_a_chat_call_too_but_not_for_errors(self, start: Start) -> None:
        fields = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
        for below, reason in ((1500, "length"), (None, "stop")):
            sim, _ = start(starve_below_tokens=below)
            choice = call(sim, "POST", "/chat/completions", fields).json()["choices"][0]
            assert choice["finish_reason"] == reason
        sim, client = start(starve_below_tokens=1500, options={"responder": failing})
        assert finish(sim, client, line(body={"max_tokens": 9})).output_file_id is None
        assert call(sim, "POST", "/chat/completions", fields).error[1] == "content_filter"

    def test_shuffle_output_changes_the_order_of_the_lines_only(self, start: Start) -> None:
        orders = {}
        for shuffled in (True, False):
            sim, client = start(shuffle_output=shuffled)
            output = rows_of(sim, finish(sim, client, *lines(40)).output_file_id)
            orders[shuffled] = [row["custom_id"] for row in output]
        asked = [f"row-{number}" for number in range(40)]
        assert orders[False] == asked
        assert orders[True] != asked
        assert sorted(orders[True]) == sorted(asked)

    @pytest.mark.parametrize("ended", [True, False])
    def test_final_newline_ends_both_files(self, start: Start, ended: bool) -> None:
        def respond(request: Any) -> Answer | RowError:
            return Answer("x") if request["custom_id"] == "row-0" else RowError("bad", "bad")

        sim, client = start(final_newline=ended, options={"responder": respond})
        batch = finish(sim, client, *lines(3))
        for file_id, count in ((batch.output_file_id, 1), (batch.error_file_id, 2)):
            assert file_id
            content = sim.file_content(file_id)
            assert content.endswith(b"}\n" if ended else b"}")
            assert content.count(b"\n") == (count if ended else count - 1)


class TestTheBatchObject:
    @pytest.mark.parametrize(
        ("spelling", "shown"), [("null", {"error_file_id": None}), ("empty", {"error_file_id": ""})]
    )
    def test_empty_file_id_spells_a_missing_file(self, start: Start, spelling: str, shown: dict[str, str]) -> None:
        sim, client = start(empty_file_id=spelling)
        batch = call(sim, "GET", f"/batches/{finish(sim, client).id}").json()
        assert shown.items() <= batch.items()
        assert batch["output_file_id"].startswith("file_")

    def test_empty_file_id_absent_drops_the_key(self, start: Start) -> None:
        sim, client = start(empty_file_id="absent")
        batch_id = submit(client)
        assert not {"output_file_id", "error_file_id"} & call(sim, "GET", f"/batches/{batch_id}").json().keys()
        sim.advance(60)
        batch = call(sim, "GET", f"/batches/{batch_id}").json()
        assert "error_file_id" not in batch
        assert batch["output_file_id"].startswith("file_")

    def test_null_request_counts_are_null_to_the_end(self, start: Start) -> None:
        sim, client = start(null_request_counts=True)
        batch_id = submit(client)
        for seconds in (0, 10, 60):
            sim.advance(seconds)
            assert call(sim, "GET", f"/batches/{batch_id}").json()["request_counts"] is None
        assert client.batches.retrieve(batch_id).request_counts is None

    def test_batch_lag_seconds_hides_a_new_batch_from_reads_of_its_id_only(self, start: Start) -> None:
        sim, client = start(batch_lag_seconds=6)
        batch_id = submit(client)
        sim.advance(5)
        missing = (404, "resource_not_found_error", f"batch {batch_id} not found")
        assert refused(lambda: client.batches.retrieve(batch_id)) == missing
        assert [batch.status for batch in client.batches.list()] == ["in_progress"]
        assert sim.status(batch_id) == "in_progress"
        assert client.batches.cancel(batch_id).status == "cancelling"
        sim.advance(1)
        assert client.batches.retrieve(batch_id).status == "cancelling"

    @pytest.mark.parametrize(("spelling", "absent"), [("null", None), ("empty", ""), ("absent", "no key")])
    def test_late_file_seconds_keep_the_ids_of_both_files_back_after_the_end(
        self, start: Start, spelling: str, absent: str | None
    ) -> None:
        def respond(request: Any) -> Answer | RowError:
            return Answer("x") if request["custom_id"] == "row-0" else RowError("bad", "bad")

        sim, client = start(late_file_seconds=30, empty_file_id=spelling, options={"responder": respond})
        batch_id = submit(client, *lines(3))
        for seconds in (25, 29):
            sim.advance(seconds)
            shape = call(sim, "GET", f"/batches/{batch_id}").json()
            assert [shape] == call(sim, "GET", "/batches").json()["data"]
            assert shape["status"] == "completed"
            assert shape["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
            assert {shape.get(name, "no key") for name in ("output_file_id", "error_file_id")} == {absent}
        sim.advance(1)
        batch = client.batches.retrieve(batch_id)
        assert [len(rows_of(sim, file_id)) for file_id in (batch.output_file_id, batch.error_file_id)] == [1, 2]

    def test_late_file_seconds_count_from_the_end_of_an_expired_batch_too(self, start: Start) -> None:
        sim, client = start(late_file_seconds=30, options={"timing": Timing(0, 2 * DAY)})
        batch_id = submit(client, *lines(4))
        for seconds, known in ((DAY, False), (29, False), (1, True)):
            sim.advance(seconds)
            batch = client.batches.retrieve(batch_id)
            assert (batch.status, batch.output_file_id is not None) == ("expired", known)

    def test_stale_read_seconds_show_a_batch_as_it_was(self, start: Start) -> None:
        sim, client = start(stale_read_seconds=10)
        batch_id = submit(client, *lines(4))

        def seen() -> Any:
            shape = client.batches.retrieve(batch_id)
            assert list(client.batches.list()) == [shape]
            return shape

        statuses = []
        for seconds in (0, 9, 3.5, 11, 9.5, 2):  # 25 seconds after its create it is complete
            sim.advance(seconds)
            batch = seen()
            counts = batch.request_counts
            statuses.append((sim.status(batch_id), batch.status, counts.completed, batch.output_file_id is not None))
        assert statuses == [
            ("validating", "validating", 0, False),
            ("in_progress", "validating", 0, False),
            ("in_progress", "validating", 0, False),
            ("finalizing", "in_progress", 2, False),
            ("completed", "finalizing", 4, False),
            ("completed", "completed", 4, True),
        ]
        assert seen().completed_at == seen().created_at + 25

    def test_stale_read_seconds_hide_a_cancel_from_reads_but_not_from_its_own_answer(self, start: Start) -> None:
        sim, client = start(stale_read_seconds=6, list_order="running_first")
        batch_id = submit(client, *lines(4))
        sim.advance(13)
        assert client.batches.cancel(batch_id).status == "cancelling"
        shown = []
        for _ in range(4):
            batch = client.batches.retrieve(batch_id)
            shown.append((batch.status, batch.cancelling_at is None, batch.cancelled_at is None))
            sim.advance(4)
        assert refused(lambda: client.batches.cancel(batch_id))[0] == 400
        assert shown == [
            ("in_progress", True, True),
            ("in_progress", True, True),
            ("cancelling", False, True),
            ("cancelled", False, False),
        ]


class TestResultFiles:
    def test_result_files_listed_can_be_hidden_and_still_fetched(self, start: Start) -> None:
        for listed in (True, False):
            sim, client = start(result_files_listed=listed)
            batch = finish(sim, client)
            assert batch.output_file_id
            shown = [file.id for file in client.files.list()]
            assert shown == [batch.input_file_id, *([batch.output_file_id] if listed else [])]
            assert client.files.content(batch.output_file_id).read()
            assert sim.file_ids("batch_output") == [batch.output_file_id]

    def test_result_retention_seconds_end_the_files_but_not_the_batch(self, start: Start) -> None:
        sim, client = start(result_retention_seconds=3600)
        batch = finish(sim, client)
        assert batch.output_file_id
        sim.advance(3599)
        assert client.files.content(batch.output_file_id).read()
        sim.advance(1)
        assert refused(lambda: client.files.content(str(batch.output_file_id)))[0] == 404
        assert [file.id for file in client.files.list()] == [batch.input_file_id]
        assert client.batches.retrieve(batch.id).output_file_id == batch.output_file_id


class TestFilesOfAnotherKey:
    KEYS = {"other_keys": ["sk-other"]}

    @pytest.mark.parametrize(("ranges", "status", "begin"), [(True, 206, 10), (False, 200, 0)])
    def test_ranges_says_whether_a_part_of_a_file_can_be_downloaded(
        self, start: Start, ranges: bool, status: int, begin: int
    ) -> None:
        sim, client = start(ranges=ranges)
        file_id = upload(client)
        headers = {"Authorization": f"Bearer {KEY}", "Range": "bytes=10-"}
        reply = call(sim, "GET", f"/files/{file_id}/content", headers=headers)
        assert (reply.status, reply.body) == (status, sim.file_content(file_id)[begin:])

    def test_file_access_of_the_organization_opens_every_file_to_every_key(self, start: Start) -> None:
        sim, client = start(file_access="organization", options=self.KEYS)
        other = client.with_options(api_key="sk-other")
        batch = finish(sim, client)
        assert batch.output_file_id
        assert other.files.content(batch.output_file_id).read() == sim.file_content(batch.output_file_id)
        assert create(other, batch.input_file_id).status == "validating"
        assert other.files.delete(batch.input_file_id).deleted

    def test_file_access_of_the_uploader_closes_a_file_to_other_keys_that_still_see_it(self, start: Start) -> None:
        sim, client = start(file_access="uploader", options=self.KEYS)
        other = client.with_options(api_key="sk-other")
        batch = finish(sim, client)
        file_ids = [batch.input_file_id, str(batch.output_file_id)]
        for file_id in file_ids:
            denied = (403, "permission_denied_error", f"file {file_id} belongs to another user")
            assert refused(partial(other.files.content, file_id)) == denied
            assert refused(partial(other.files.delete, file_id)) == denied
            assert other.files.retrieve(file_id).id == file_id
            assert client.files.content(file_id).read()
        message = f"Invalid request: input file {batch.input_file_id} not found"
        assert refused(lambda: create(other, batch.input_file_id)) == (400, "invalid_request_error", message)
        assert [file.id for file in other.files.list()] == file_ids
        assert other.batches.retrieve(batch.id) == batch
        assert finish(sim, other).status == "completed"

    def test_other_keys_share_the_batches_and_the_rate_limit_of_the_organization(self, start: Start) -> None:
        sim, client = start(calls_per_minute=3, options=self.KEYS)
        other = client.with_options(api_key="sk-other")
        batch_id = submit(client)
        assert other.batches.retrieve(batch_id).id == batch_id
        assert refused(lambda: client.models.list())[0] == 429
        assert refused(lambda: client.with_options(api_key="sk-unknown").models.list())[0] == 401


class TestTheAccount:
    def test_max_active_batches_counts_those_that_have_not_ended(self, start: Start) -> None:
        sim, client = start(max_active_batches=2)
        file_id = upload(client)
        first = create(client, file_id)
        create(client, file_id)
        assert refused(lambda: create(client, file_id))[:2] == (429, "rate_limit_reached_error")
        client.batches.cancel(first.id)
        sim.advance(5)
        create(client, file_id)
        assert len(sim.batches) == 3

    def test_max_queued_rows_counts_the_rows_of_batches_that_have_not_ended(self, start: Start) -> None:
        sim, client = start(max_queued_rows=3)
        file_id = upload(client, jsonl(line("a"), line("b")))
        create(client, file_id)
        status, kind, message = refused(lambda: create(client, file_id))
        assert (status, kind) == (429, "rate_limit_reached_error")
        assert "at most 3 enqueued requests" in message
        sim.advance(60)
        create(client, file_id)
        assert len(sim.batches) == 2

    def test_full_queue_may_fail_batches_later(self, start: Start) -> None:
        sim, client = start(max_active_batches=1, full_queue="failed")
        file_id = upload(client)
        statuses = [create(client, file_id).id for _ in range(2)]
        sim.advance(60)
        assert [sim.status(batch_id) for batch_id in statuses] == ["completed", "failed"]

    def test_lacking_money_may_refuse_the_create(self, start: Start) -> None:
        sim, client = start(lacking_money="refused", options={"balance": 0})
        file_id = upload(client)
        assert refused(lambda: create(client, file_id))[:2] == (429, "exceeded_current_quota_error")
        sim.top_up(10)
        create(client, file_id)
        assert len(sim.batches) == 1

    def test_calls_per_minute_are_refused_with_the_time_to_wait(self, start: Start) -> None:
        sim, _ = start(calls_per_minute=3)
        statuses = []
        for seconds in (0, 20, 20, 19):
            sim.advance(seconds)
            reply = call(sim, "GET", "/models")
            statuses.append(reply.status)
        assert statuses == [200, 200, 200, 429]
        assert reply.error[1] == "rate_limit_reached_error"
        assert reply.headers["retry-after"] == reply.headers["x-retry-after"] == "1"
        assert call(sim, "GET", "/models", headers={"X": "no key"}).status == 401
        sim.advance(1)
        assert call(sim, "GET", "/models").status == 200
        assert call(sim, "GET", "/models").headers["retry-after"] == "20"

    def test_chats_at_once_are_refused_while_so_many_are_under_way(self, start: Start) -> None:
        def slowly(request: Any) -> Answer:
            begun.set()
            assert going.wait(10)
            return Answer("yes")

        begun, going = Event(), Event()
        sim, client = start(chats_at_once=1, options={"responder": slowly})
        asked: Any = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(lambda: client.chat.completions.create(**asked))
            assert begun.wait(10)
            reply = call(sim, "POST", "/chat/completions", asked)
            going.set()
            assert first.result().choices[0].message.content == "yes"
        assert (reply.status, reply.headers["retry-after"]) == (429, "1")
        assert "concurrency" in reply.error[2]
        assert client.chat.completions.create(**asked).choices
        assert sim.chat_usage == {"calls": 2, "prompt_tokens": 8, "completion_tokens": 6}

    def test_retry_after_seconds_replace_the_honest_time_in_the_headers_only(self, start: Start) -> None:
        sim, _ = start(calls_per_minute=1, retry_after_seconds=1)
        assert call(sim, "GET", "/models").status == 200
        reply = call(sim, "GET", "/models")
        assert (reply.headers["retry-after"], reply.headers["x-retry-after"]) == ("1", "1")
        assert "try again after 60 seconds" in reply.error[2]
        sim.advance(59)
        assert call(sim, "GET", "/models").status == 429
        sim.advance(1)
        assert call(sim, "GET", "/models").status == 200

    def test_retry_after_date_writes_a_moment_that_is_not_too_early(self, start: Start) -> None:
        sim, _ = start(calls_per_minute=1, retry_after_date=True)
        sim.inject("get_balance", status=429, retry_after=7.5)
        refused_by_a_fault = call(sim, "GET", "/users/me/balance")
        assert call(sim, "GET", "/models").status == 200
        refused_by_the_limit = call(sim, "GET", "/models")
        for reply, wait in ((refused_by_a_fault, 7.5), (refused_by_the_limit, 60)):
            assert reply.status == 429
            moment = parsedate_to_datetime(reply.headers["retry-after"]).timestamp()
            assert 0 <= moment - (sim.now() + wait) < 1
            assert reply.headers["x-retry-after"] == reply.headers["retry-after"]
            assert reply.headers["retry-after"].endswith(" GMT")
