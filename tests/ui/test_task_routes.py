"""The tab of a task instance: what it says, and to whom."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="Airflow 2 has no page of ours")

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.in_turns import BATCH_IDS_KEY
from airflow_provider_kimi.jobs.job_run import MANIFEST_KEY
from airflow_provider_kimi.kills.airflow import RETURNED_KEY, WAITING_FOR_KEY
from airflow_provider_kimi.links import CONSOLE_KEY
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.triggers.batch import PROGRESS_KEY
from airflow_provider_kimi.ui.landed_result import REPLAY_DAG
from airflow_provider_kimi.ui.task_view import XCOM_KEYS
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit, submit_prompts
from tests.ui.database import store_run, store_task
from tests.ui.pages import Pages

TASK = ATTEMPT.task
OTHER = TaskIdentity("reviews", "manual__1", "bash")
HIDDEN = TaskIdentity("salaries", "manual__1", "label")
SAMPLES = Path(__file__).parents[1] / "records" / "samples"
MANIFEST = json.loads((SAMPLES / "manifest.jsonl").read_text().splitlines()[-1])
OURS = {"kimi_conn_id": "kimi_default"}


async def task(pages: Pages, identity: TaskIdentity = TASK, role: str = "viewer", **changes: str) -> Any:
    """What the tab gets."""
    asked = {"dag_id": identity.dag_id, "run_id": identity.run_id, "task_id": identity.task_id}
    asked["map_index"] = "{MAP_INDEX}" if identity.map_index < 0 else str(identity.map_index)
    reply = await pages.get("/task", role, **asked | changes)
    assert reply.status_code == 200, reply.text
    return reply.json()


class TestAccess:
    @pytest.mark.parametrize(
        "changes",
        [
            {"dag_id": "absent"},
            {"run_id": "absent"},
            {"task_id": "../label"},
            {"map_index": "0"},
            {"map_index": "x"},
            {"map_index": "9" * 400},
            {"dag_id": "re\x00views"},
            {"dag_id": "salaries"},
        ],
        ids=str,
    )
    async def test_a_task_instance_that_is_not_there_or_hidden_is_absent(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, changes: dict[str, str]
    ) -> None:
        store_task(TASK, fields=OURS)
        store_task(HIDDEN, fields=OURS)
        names = {"dag_id": TASK.dag_id, "run_id": TASK.run_id, "task_id": TASK.task_id} | changes
        reply = await pages.get("/task", **names)
        assert reply.status_code == 404
        assert reply.json() == {"detail": "There is no task instance of these names that you may see."}
        assert sim.journal == []

    async def test_the_administrator_sees_the_hidden_dag(self, pages: Pages, hook: KimiHook) -> None:
        store_task(HIDDEN, fields=OURS)
        assert (await task(pages, HIDDEN, "admin"))["task"]["dag_id"] == "salaries"

    async def test_an_xcom_that_names_the_batch_of_a_hidden_dag_does_not_show_it(
        self, pages: Pages, hook: KimiHook
    ) -> None:
        (batch_id,) = submit(hook, order(["a"]), Attempt(HIDDEN), LogRecord()).batch_ids
        store_task(TASK, fields=OURS, xcoms={"batch_ids": [batch_id]})
        assert (await task(pages))["batches"] == []
        assert [batch["id"] for batch in (await task(pages, role="admin"))["batches"]] == [batch_id]


class TestBatches:
    async def test_the_batches_of_the_present_try_are_shown_as_in_the_list(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (earlier,) = submit_prompts(hook, 2).batch_ids
        (present,) = submit(hook, order(["a"], reuse="never"), ATTEMPT, LogRecord()).batch_ids
        sim.advance(13)
        store_task(TASK, fields=OURS, xcoms={"batch_ids": [present]}, try_number=2)
        shown = await task(pages)
        assert (shown["task"]["state"], shown["task"]["try_number"], shown["error"]) == ("deferred", 2, "")
        listed = {batch["id"]: batch for batch in (await pages.batches())["batches"]}
        assert [batch | {"is_mine": False} for batch in shown["batches"]] == [listed[present]]
        assert earlier in listed

    async def test_until_a_try_has_named_batches_those_that_the_task_has_tagged_are_shown(
        self, pages: Pages, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        store_task(TASK, state="running", fields=OURS)
        store_task(TaskIdentity("reviews", "manual__1", "label", 3), state="running", fields=OURS)
        assert [batch["id"] for batch in (await task(pages))["batches"]] == [batch_id]
        assert (await task(pages, TaskIdentity("reviews", "manual__1", "label", 3)))["batches"] == []

    async def test_shards_are_in_order_and_a_batch_that_is_not_listed_is_unknown(
        self, pages: Pages, hook: KimiHook
    ) -> None:
        ids = submit(hook, order(["a", "b", "c"], max_rows_per_batch=1), ATTEMPT, LogRecord()).batch_ids
        fields = OURS | {"batch_id": str([*reversed(ids), "batch_of_yore"])}
        store_task(TASK, operator="KimiBatchSensor", fields=fields)
        batches = (await task(pages))["batches"]
        assert [batch["id"] for batch in batches if batch["status"] != "unknown"] == ids
        assert [batch["id"] for batch in batches if batch["status"] == "unknown"] == ["batch_of_yore"]

    async def test_a_clear_and_a_mark_as_failed_are_told_for_a_task_that_waits(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 2)
        store_task(TASK, fields=OURS)
        store_task(OTHER, operator="KimiBatchSensor", state="success", fields=OURS)
        assert (await task(pages))["outcomes"] == {
            "clear": ["clear_goes_on"],
            "mark_failed": ["mark_failed_cancels"],
        }
        assert (await task(pages, OTHER))["outcomes"] == {"clear": []}

    async def test_a_connection_that_is_gone_is_told_beside_what_the_task_left(
        self, pages: Pages, sim: KimiSimulator
    ) -> None:
        store_task(TASK, fields={"kimi_conn_id": "absent"}, xcoms={"return_value": json.dumps(MANIFEST)})
        shown = await task(pages)
        assert "There is no Airflow connection 'absent' of type 'kimi'" in shown["error"]
        assert shown["task"]["result"]["status"] == MANIFEST["status"]
        assert sim.journal == []


class TestOtherTasks:
    async def test_a_task_of_another_operator_is_told_apart_and_asks_the_platform_nothing(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        store_task(OTHER, operator="BashOperator", fields={"bash_command": "true"})
        shown = await task(pages, OTHER)
        assert shown["task"]["is_ours"] is False
        assert sim.journal == []

    async def test_a_subclass_of_an_operator_is_known_by_its_connection(self, pages: Pages, hook: KimiHook) -> None:
        store_task(OTHER, operator="LabelReviews", fields=OURS)
        assert (await task(pages, OTHER))["task"]["is_ours"] is True


class TestNumbers:
    async def test_an_operator_has_the_name_that_airflow_shows(self, pages: Pages, hook: KimiHook) -> None:
        store_task(TASK, operator="_KimiBatchDecoratedOperator", operator_name="@task.kimi_batch", fields=OURS)
        assert (await task(pages))["task"]["operator"] == "@task.kimi_batch"

    async def test_progress_is_shown_with_the_time_of_its_poll(self, pages: Pages, hook: KimiHook) -> None:
        at = "2026-11-30T12:00:00+00:00"
        stored = {"statuses": {"in_progress": 1}, "total": 9, "completed": 4, "failed": 1, "rows_per_minute": 0.02}
        store_task(TASK, fields=OURS, xcoms={"progress": stored | {"expected_end": at, "polled_at": at}})
        shown = (await task(pages))["task"]["progress"]
        assert (shown["done"], shown["failed"], shown["remaining"], shown["total"]) == (4, 1, 4, 9)
        assert (shown["polled_at"], shown["expected_end"], shown["rows_per_minute"]) == (at, at, 0.02)
        assert Progress.from_dict(stored).polled_at is None

    async def test_a_result_shows_numbers_and_plain_locations(self, pages: Pages, hook: KimiHook) -> None:
        landed = MANIFEST | {"results_file": "s3://aws_default@bucket/out/results.jsonl"}
        store_task(TASK, state="success", fields=OURS, xcoms={"return_value": landed})
        result = (await task(pages))["task"]["result"]
        assert result["counts"]["total"] == MANIFEST["counts"]["total"]
        assert result["cost"]["currency"] == MANIFEST["cost"]["currency"]
        assert ["results_file", "s3://bucket/out/results.jsonl"] in result["files"]
        assert result["is_whole"] is True

    async def test_its_dead_letters_are_asked_again_over_the_same_connection(
        self, pages: Pages, hook: KimiHook
    ) -> None:
        files = {"results_file": "file:///out/results.jsonl", "dead_letter_file": "file:///out/dead_letter.jsonl"}
        landed = MANIFEST | files | {"failures": []}
        store_task(TASK, state="success", fields=OURS, xcoms={"return_value": landed})
        assert (await task(pages))["task"]["result"]["replay_conf"]["kimi_conn_id"] == "kimi_default"

    async def test_a_result_between_two_rounds_is_not_the_whole_one(self, pages: Pages, hook: KimiHook) -> None:
        store_task(TASK, fields=OURS, xcoms={"manifest": MANIFEST})
        assert (await task(pages))["task"]["result"]["is_whole"] is False


class TestResultOfABatch:
    async def test_a_batch_that_has_ended_shows_the_result_of_its_run_that_it_is_part_of(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        lands = TaskIdentity("reviews", "manual__1", "land")
        others = TaskIdentity("reviews", "manual__2", "land")
        store_task(lands, state="success", xcoms={"return_value": MANIFEST | {"batch_ids": [batch_id]}})
        store_task(others, state="success", xcoms={"return_value": MANIFEST | {"batch_ids": [batch_id], "rounds": 9}})
        assert (await pages.get("/batch", batch=batch_id)).json()["result"] is None, "it runs"
        sim.advance(9000)
        pages.now += 600
        shown = (await pages.get("/batch", batch=batch_id)).json()
        assert (shown["result"]["rounds"], shown["result"]["landed_by"]) == (MANIFEST["rounds"], "land")
        assert shown["result"]["path"] == "dags/reviews/runs/manual__1/tasks/land/plugin/kimi-batch"
        assert shown["replay_path"] is None, "Airflow has no such DAG"

    async def test_a_manifest_that_names_other_batches_is_not_its_result(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 2).batch_ids
        sim.advance(9000)
        edited = MANIFEST | {"batch_ids": ["batch_of_yore"], "model": batch_id}
        store_task(TASK, state="success", xcoms={"return_value": edited, "manifest": [batch_id]})
        assert (await pages.get("/batch", batch=batch_id)).json()["result"] is None


async def test_the_dag_that_asks_dead_letters_again_is_offered_to_those_who_may_start_it(
    pages: Pages, hook: KimiHook
) -> None:
    store_task(TASK, state="success", fields=OURS, xcoms={"return_value": MANIFEST})
    store_run(REPLAY_DAG, "manual__1")
    assert (await task(pages, role="admin"))["replay_path"] == "dags/example_kimi_replay"
    assert (await task(pages))["replay_path"] is None


def test_the_xcoms_that_are_read_are_those_that_tasks_push() -> None:
    keys = {MANIFEST_KEY, RETURNED_KEY, BATCH_IDS_KEY, WAITING_FOR_KEY, PROGRESS_KEY, CONSOLE_KEY, "batch_id"}
    assert set(XCOM_KEYS) == keys


HUGE = 10**400
HOSTILE: list[dict[str, Any]] = [
    {"return_value": MANIFEST | {"model": "<script>alert(1)</script>", "counts": {"total": HUGE, "failed": -3}}},
    {"return_value": MANIFEST | {"cost": {"amount": HUGE, "currency": {"a": 1}}, "usage": {"total_tokens": HUGE}}},
    {"return_value": MANIFEST | {"cost": {"amount": "12", "currency": "x" * 9999}, "completed_at": "<b>now</b>"}},
    {"return_value": MANIFEST | {"results_file": "/etc/" + "x" * 99_999, "output_file": "javascript:alert(1)"}},
    {"return_value": MANIFEST | {"batch_ids": ["../../x", "<script>", "a b", "batch_1"]}},
    {"return_value": "[" * 10_000, "batch_ids": {"a": 1}, "manifest": 5, "progress": "x"},
    {"return_value": json.dumps([1, None, {"a": 2}]), "progress": [1]},
    {"return_value": [[["batch_1"]]], "progress": {"total": HUGE, "completed": -HUGE, "rows_per_minute": 1e999}},
    {"progress": {"statuses": {"<script>" * 999: HUGE} | {str(n): n for n in range(999)}, "to_come": 2}},
    {"progress": {"expected_end": "0001-01-01T00:00:00", "polled_at": "9999-12-31T23:59:59-23:59"}},
    {"progress": {"polled_at": "soon"}, "return_value": {"batch_ids": None}},
    {"progress": {"total": 1}, "batch_ids": "x" * 300_000},
    {"batch_ids": [f"batch_{n}" for n in range(9000)]},
]


@pytest.mark.parametrize("xcoms", HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_an_xcom_holds_the_tab_gets_short_plain_json(
    pages: Pages, sim: KimiSimulator, hook: KimiHook, xcoms: dict[str, Any]
) -> None:
    fields = {"kimi_conn_id": ["a", "list"], "batch_id": "*** Truncated. ['batch_1', 'bat"}
    store_task(TASK, state="success", fields=fields, xcoms=xcoms)
    shown = await task(pages)
    text = json.dumps(shown["task"], ensure_ascii=False, allow_nan=False)
    assert len(text) < 25_000
    assert len(shown["batches"]) <= 1000
    assert not any(call.name != "list_batches" for call in sim.journal), "no file is opened, and no other thing read"
