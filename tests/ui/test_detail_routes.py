"""One batch: who sees it, what it costs to read it, and who may cancel it."""

import asyncio
import json
import logging
from dataclasses import replace
from io import BytesIO
from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

pytest.importorskip("fastapi", reason="Airflow 2 has no page of ours")

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.simulator import KimiSimulator, RowError, Timing
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.ui.account import MOST_BATCHES
from airflow_provider_kimi.ui.single_reads import MOST_KEPT
from tests.support.logs import LogRecord
from tests.support.requests import order, request, spoiling, submit, submit_prompts
from tests.ui.pages import OWN, Pages


def calls(sim: KimiSimulator, name: str) -> int:
    return [call.name for call in sim.journal].count(name)


def batch_of_hidden_dag(hook: KimiHook) -> str:
    hidden = Attempt(TaskIdentity("salaries", "manual__1", "label"))
    (batch_id,) = submit(hook, order(["a"]), hidden, LogRecord()).batch_ids
    return batch_id


def batch_of_another(hook: KimiHook, lines: int = 1, **changes: Any) -> str:
    content = "\n".join(json.dumps(request(str(n), **changes)) for n in range(lines)).encode()
    return hook.create_batch(hook.upload_file(BytesIO(content), "rows.jsonl").id).id


def batches_that_are_newer(sim: KimiSimulator, than: str) -> None:
    """So many that the list does not show an old one."""
    created = int(sim.now()) + 10
    for n in range(MOST_BATCHES):
        sim.add_odd_batch({"id": f"newer_{n}", "status": "completed", "created_at": created + n})


class TestDetail:
    async def test_a_batch_of_the_list_is_shown_without_a_request_of_its_own(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.advance(13)
        (listed,) = (await pages.batches())["batches"]
        walks = calls(sim, "list_batches")
        shown = await pages.batch(batch_id)
        assert (calls(sim, "list_batches"), calls(sim, "get_batch")) == (walks, 0)
        assert shown["batch"].keys() > listed.keys() - {"is_mine"}, "the view says what the list says, and more"
        names = ("id", "status", "done", "failed", "remaining", "total", "task_path")
        assert [shown["batch"][name] for name in names] == [listed[name] for name in names]
        assert (shown["age_seconds"], shown["error"], shown["errors"]) == (0.0, "", None)
        assert shown["batch"]["may_cancel"] is False, "a viewer may not"
        assert [time["status"] for time in shown["batch"]["times"]] == ["created", "in_progress"]
        assert [file["kind"] for file in shown["batch"]["files"]] == ["input"]
        assert (await pages.batch(batch_id, "user"))["batch"]["may_cancel"] is True

    async def test_a_batch_that_is_hidden_from_a_user_looks_like_one_that_does_not_exist(
        self, pages: Pages, hook: KimiHook
    ) -> None:
        hidden = batch_of_hidden_dag(hook)
        assert (await pages.batch(hidden, "admin"))["batch"]["dag_id"] == "salaries"
        replies = [await pages.get("/batch", batch=name) for name in (hidden, "batch_absent")]
        said = [reply.json()["detail"].replace(hidden, "X").replace("batch_absent", "X") for reply in replies]
        assert [reply.status_code for reply in replies] == [404, 404]
        assert said[0] == said[1]
        assert "There is no batch 'X' that you may see" in said[0]

    async def test_an_old_batch_that_the_list_lacks_is_read_once_for_all_and_never_again_when_it_has_ended(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.advance(90_000)
        batches_that_are_newer(sim, batch_id)
        shown = await asyncio.gather(*(pages.batch(batch_id) for _ in range(20)))
        assert {each["batch"]["status"] for each in shown} == {"completed"}
        pages.now += 10_000
        await pages.batch(batch_id)
        assert calls(sim, "get_batch") == 1

    async def test_whoever_asks_for_a_thousand_made_up_ids_sends_few_requests_and_fills_no_memory(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        await pages.batches()
        for n in range(5):
            reply = await pages.get("/batch", batch=f"made_up_{n}")
            assert reply.status_code == 404
        assert calls(sim, "get_batch") == 5
        assert pages.slept == 4 * 200, "a tenth of 3 requests a minute"
        sim.inject("get_batch", times=1000, hang_seconds=100)
        asked = [asyncio.create_task(pages.get("/batch", batch=f"again_{n}")) for n in range(3 * MOST_KEPT)]
        async with asyncio.timeout(60):
            dropped = [(await each).json() for each in islice(asyncio.as_completed(asked), 2 * MOST_KEPT)]
        assert pages.slept >= 200 * (calls(sim, "get_batch") - 1), "each request waits for its turn"
        assert all((each["batch"], each["age_seconds"]) == (None, None) for each in dropped)
        for task in asked:
            task.cancel()

    @pytest.mark.parametrize("name", ["../models", "..", "a/../b", "a b", "", "x" * 10_000, "a\nb", "{}", "%2e%2e/x"])
    async def test_what_can_be_no_id_is_asked_for_nowhere(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, name: str
    ) -> None:
        await pages.batches()
        before = len(sim.journal)
        assert (await pages.get("/batch", batch=name)).status_code == 404
        assert [call.path for call in sim.journal[before:]] in ([], ["/v1/batches/%252e%252e%2Fx"])
        reply = await pages.send("POST", f"/batches/{quote(name, safe='')}/cancel", "admin", OWN)
        assert reply.status_code in (404, 307, 405)
        assert calls(sim, "cancel_batch") == 0

    async def test_a_hostile_batch_is_found_by_what_the_list_shows_of_its_id(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        sim.add_odd_batch({"id": "b" * 10_240, "status": "in_progress", "metadata": {"a": "<script>"}})
        (listed,) = (await pages.batches())["batches"]
        shown = await pages.batch(listed["id"])
        assert shown["batch"]["metadata"] == [["a", "<script>"]]
        assert calls(sim, "get_batch") == 0

    async def test_files_have_their_sizes_once_the_list_of_files_is_read_which_is_read_once(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        batch_id = batch_of_another(hook)
        (file,) = (await pages.batch(batch_id))["batch"]["files"]
        while file["bytes"] is None:
            await asyncio.sleep(0.05)
            (file,) = (await pages.batch(batch_id))["batch"]["files"]
        assert file["bytes"] == len(json.dumps(request("0")))
        pages.now += 10_000
        await pages.batch(batch_id)
        await asyncio.sleep(0.2)
        assert calls(sim, "list_files") == 1

    async def test_an_error_file_is_read_once_and_shown_as_codes_without_its_texts(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        batch_id = batch_of_another(hook, 3, url="/v1/somewhere/else")
        sim.advance(10_000)
        shown = await pages.batch(batch_id)
        assert shown["batch"]["status"] == "failed"
        (code,) = shown["errors"]["codes"]
        assert (code["code"], code["lines"]) == ("invalid_request_error", [1, 2, 3])
        assert "somewhere" not in json.dumps(shown)
        pages.now += 10_000
        await pages.batch(batch_id)
        assert calls(sim, "download_file") == 1

    async def test_a_platform_that_fails_is_told_in_words_without_the_key(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, connection: Any
    ) -> None:
        connection("kimi_default", sim, password="sk-wrong-key-0123456789")
        shown = await pages.batch("batch_1")
        assert (shown["batch"], shown["age_seconds"]) == (None, None)
        assert "key" in shown["error"]
        assert "sk-wrong" not in json.dumps(shown)

    async def test_neither_the_prompt_nor_the_answers_nor_the_key_are_in_what_a_browser_gets(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        wanted = order([{"text": "SECRET ROW"}], prompt="SECRET PROMPT {text}", system_prompt="SECRET SYSTEM")
        (batch_id,) = submit(hook, wanted, Attempt(TaskIdentity("reviews", "r", "t")), LogRecord()).batch_ids
        assert "kimi_recipe" in (sim.batches[batch_id].metadata or {}), "the packed prompt is among the tags"
        sim.advance(90_000)
        text = json.dumps(await pages.batch(batch_id, "admin"))
        assert "kimi_job_key" in text
        assert "kimi_recipe" not in text
        assert "SECRET" not in text
        assert sim.api_key not in text


class TestCancel:
    async def test_who_may_edit_the_dag_cancels_and_everybody_sees_it_at_once_without_a_walk(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.advance(13)
        await pages.batches()
        walks = calls(sim, "list_batches")
        reply = await pages.cancel(batch_id)
        assert reply.status_code == 200
        assert (reply.json()["batch"]["status"], reply.json()["error"]) == ("cancelling", "")
        assert reply.json()["batch"]["may_cancel"] is False
        assert (await pages.batches())["batches"][0]["status"] == "cancelling"
        assert (await pages.batch(batch_id))["batch"]["status"] == "cancelling"
        assert calls(sim, "list_batches") == walks
        assert f"User 'somebody' cancels batch {batch_id!r} over connection 'kimi_default'." in caplog.messages
        assert sim.api_key not in caplog.text

    async def test_a_cancel_is_in_the_audit_log_of_airflow(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        from airflow.models import Log
        from airflow.utils.session import create_session

        (batch_id,) = submit_prompts(hook, 4).batch_ids
        assert (await pages.cancel(batch_id, "viewer")).status_code == 403
        assert (await pages.cancel(batch_id)).status_code == 200
        with create_session() as session:
            (entry,) = session.query(Log).filter(Log.event == "kimi_cancel_batch")
            assert entry.owner == "somebody"
            assert json.loads(str(entry.extra))["batch_id"] == batch_id

    async def test_the_audit_log_names_the_dag_of_a_batch_whatever_else_a_request_names(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        """Airflow shows an entry that names no DAG to all who may see the audit log."""
        from airflow.models import Log
        from airflow.utils.session import create_session

        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.add_odd_batch({"id": "forged", "status": "in_progress", "metadata": {"airflow_dag_id": "\ud800" * 9999}})
        json_body = OWN | {"Content-Type": "application/json"}
        for name, role in ((batch_id, "user"), ("forged", "admin")):
            odd = {"dag_id": "salaries", "task_id": "x", "run_id": "x", "password": "x"}
            assert (await pages.cancel(name, role, json_body, **odd)).status_code == 200
        with create_session() as session:
            entries = list(session.query(Log).filter(Log.event == "kimi_cancel_batch").order_by(Log.id))
            ours, forged = [(each.dag_id, each.run_id, each.task_id) for each in entries]
            assert ours == ("reviews", "manual__1", "label")
            assert (len(str(forged[0])), *forged[1:]) == (250, None, None), "the column of PostgreSQL takes no more"
            assert [json.loads(str(each.extra)) for each in entries] == [
                {"batch_id": name, "conn_id": "kimi_default", "method": "POST"} for name in (batch_id, "forged")
            ]

    async def test_who_may_only_look_is_refused_and_nothing_is_sent(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        await pages.batches()
        before = len(sim.journal)
        reply = await pages.cancel(batch_id, "viewer")
        assert reply.status_code == 403
        assert "what runs goes on and is billed" in reply.json()["detail"]
        assert (await pages.cancel(batch_id, None)).status_code == 401
        assert (await pages.cancel(batch_id, "")).status_code in (401, 403)
        assert len(sim.journal) == before

    async def test_the_right_is_that_to_the_dag_of_the_tags_whatever_dag_the_query_names(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        hidden = batch_of_hidden_dag(hook)
        assert (await pages.cancel(hidden, "user", dag_id="reviews")).status_code == 404
        assert calls(sim, "cancel_batch") == 0
        assert (await pages.cancel(hidden, "admin", dag_id="reviews")).status_code == 200
        assert calls(sim, "cancel_batch") == 1

    async def test_a_batch_that_the_platform_shows_under_another_dag_now_is_judged_by_that(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        hidden = batch_of_hidden_dag(hook)
        await pages.batches(role="admin")
        listed = pages.app.state.accounts.of("kimi_default").batch_list
        batch = listed.seen.value.batches[hidden]
        older = msgspec.structs.replace(batch, metadata=batch.metadata | {"airflow_dag_id": "reviews"})
        listed.correct(lambda known: replace(known, batches={hidden: older}))
        assert (await pages.batch(hidden, "user"))["batch"]["may_cancel"] is True
        assert (await pages.cancel(hidden, "user")).status_code == 403
        assert calls(sim, "cancel_batch") == 0

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec-Fetch-Site": "same-origin"},
            OWN | {"Sec-Fetch-Site": "cross-site"},
            OWN | {"Sec-Fetch-Site": "same-site"},
            OWN | {"Sec-Fetch-Site": "none"},
            {"X-Requested-With": "x", "Origin": "https://evil.example"},
            {"X-Requested-With": "x", "Origin": "null"},
            {"X-Requested-With": "x", "Origin": "http://[::1"},
            OWN | {"Sec-Fetch-Site": "cross-site", "Authorization": "Basic eDp5"},
            {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://airflow"},
        ],
    )
    async def test_a_page_of_another_site_cancels_nothing_with_the_cookie_of_a_user(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, headers: dict[str, str]
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        assert (await pages.cancel(batch_id, "admin", headers)).status_code == 403
        assert calls(sim, "cancel_batch") == 0

    async def test_a_browser_without_fetch_metadata_is_known_by_its_origin(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        headers = {"X-Requested-With": "kimi-batches", "Origin": "http://airflow"}
        assert (await pages.cancel(batch_id, "user", headers)).status_code == 200

    async def test_no_get_cancels(self, pages: Pages, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        assert (await pages.send("GET", f"/batches/{batch_id}/cancel", "admin", OWN)).status_code == 405
        assert calls(sim, "cancel_batch") == 0

    async def test_a_program_cancels_with_a_token(self, pages: Pages, sim: KimiSimulator, hook: KimiHook) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        for role, status in (("viewer", 403), ("user", 200)):
            headers = {"Authorization": f"Bearer {pages.token_of(role)}"}
            assert (await pages.cancel(batch_id, None, headers)).status_code == status
        assert calls(sim, "cancel_batch") == 1

    async def test_a_cancel_that_comes_too_late_is_no_error(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        await pages.batches()
        sim.advance(90_000)
        reply = (await pages.cancel(batch_id)).json()
        assert (reply["batch"]["status"], reply["error"]) == ("completed", "")
        assert calls(sim, "cancel_batch") == 0

    async def test_two_who_cancel_at_once_both_see_that_it_is_cancelled(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        await pages.batches()
        replies = [reply.json() for reply in await asyncio.gather(*(pages.cancel(batch_id) for _ in range(5)))]
        assert [(reply["batch"]["status"], reply["error"]) for reply in replies] == [("cancelling", "")] * 5
        assert calls(sim, "cancel_batch") == 1

    async def test_a_cancel_that_fails_says_why_and_what_is_true(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.inject("cancel_batch", status=500)
        reply = (await pages.cancel(batch_id)).json()
        assert reply["batch"]["may_cancel"] is True
        assert "The batch may be cancelling, or running and billed." in reply["error"]
        assert sim.api_key not in json.dumps(reply)

    async def test_a_walk_that_began_before_a_cancel_does_not_bring_the_old_status_back(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        await pages.batches()
        assert (await pages.cancel(batch_id)).status_code == 200
        sim.batches[batch_id].cancelling_at = None  # as that walk has read it
        for seconds, status in ((0, "cancelling"), (60, "cancelling"), (60, "validating")):
            pages.now += seconds
            assert (await pages.batches())["batches"][0]["status"] == status

    async def test_a_batch_that_no_task_made_needs_the_right_to_all_dags(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        batch_id = batch_of_another(hook)
        shown = await pages.batch(batch_id)
        assert (shown["batch"]["is_ours"], shown["batch"]["outcomes"]["clear"]) == (False, "clear_stranger")
        assert [(await pages.cancel(batch_id, role)).status_code for role in ("viewer", "user")] == [403, 403]
        assert (await pages.batch(batch_id, "user"))["batch"]["may_cancel"] is False, "a user may edit some DAGs"
        assert (await pages.cancel(batch_id, "admin")).status_code == 200


@pytest.fixture
def failing_rows() -> Any:
    with KimiSimulator(
        speed=0, timing=Timing(1, 10, 1), responder=spoiling({"1": RowError("content_filter", "SECRET")})
    ) as sim:
        yield sim


async def test_rows_that_failed_are_counted_by_their_codes(
    pages: Pages, failing_rows: KimiSimulator, connect: Any
) -> None:
    batch_id = batch_of_another(connect(failing_rows), 3)
    failing_rows.advance(100)
    shown = await pages.batch(batch_id)
    assert shown["errors"] == {"codes": [{"code": "content_filter", "count": 1, "lines": []}], "is_whole": True}
    assert "SECRET" not in json.dumps(shown)


async def test_of_a_large_error_file_the_first_megabyte_counts(pages: Pages, connect: Any) -> None:
    long = RowError("content_filter", "x" * 300_000)
    with KimiSimulator(speed=0, timing=Timing(1, 10, 1), responder=spoiling(dict.fromkeys("01234", long))) as sim:
        batch_id = batch_of_another(connect(sim), 5)
        sim.advance(100)
        shown = await pages.batch(batch_id)
    assert shown["errors"] == {"codes": [{"code": "content_filter", "count": 3, "lines": []}], "is_whole": False}
