"""The links on tasks: when it is pushed, and how Airflow stores it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.module_loading import import_string

from airflow_provider_kimi.compat import SHOWS_PAGES, SHOWS_WITHIN_PAGES
from airflow_provider_kimi.decorators.kimi_batch import _KimiBatchDecoratedOperator
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.get_provider_info import get_provider_info
from airflow_provider_kimi.links import BATCH_KEY, CONSOLE_KEY, KimiReportLink, KimiResultsLink
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.operators.landing import LandingOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.requests import submit_prompts
from tests.support.tasks import TaskInstanceRecord, run_task

TEMPLATE = "https://console.example/{batch_id}"
ALL = [
    *(KimiBatchOperator, KimiBatchResultsOperator, KimiCancelBatchOperator, KimiCreateBatchOperator),
    *(KimiDeleteFilesOperator, KimiOrphanBatchesOperator, KimiBatchSensor, _KimiBatchDecoratedOperator),
]


def link_of(task: Any) -> object:
    """The link that a task has pushed when it has deferred, returned or failed."""
    ti = TaskInstanceRecord(task_id=task.task_id)
    with suppress(KimiError):
        run_task(task, ti)
    return ti.xcoms.get(CONSOLE_KEY)


@pytest.mark.parametrize("operator", ALL, ids=lambda operator: str(operator.__name__))
def test_every_operator_and_the_sensor_have_the_link(operator: Any) -> None:
    links = operator.operator_extra_links
    assert (links[0].name, links[0].xcom_key) == ("Kimi console", CONSOLE_KEY)
    lands = issubclass(operator, LandingOperator)
    of_pages = ["Kimi batch", *(["Results", "Report"] if lands else [])] if SHOWS_PAGES else []
    assert [link.name for link in links[1:]] == of_pages
    known = [import_string(name) for name in get_provider_info()["extra-links"]]
    assert known[: len(links)] == [type(link) for link in links]


@pytest.mark.skipif(not SHOWS_PAGES, reason="this Airflow shows no pages of plugins")
def test_the_link_to_the_page_leads_to_the_one_batch_or_to_the_tab_below_the_path_of_airflow(
    sim: KimiSimulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(sim)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/team/airflow/")
    frame = "/plugin/kimi-batches" if SHOWS_WITHIN_PAGES else ""
    tab = "dags/reviews/runs/manual__2026-11-23T10%3A00%3A00%2B00%3A00/tasks"
    for rows, map_index, link in (
        (["a"], -1, f"/team/airflow{frame}/kimi/?batch={{batch_id}}&conn_id=kimi_default"),
        (["b", "c"], -1, f"/team/airflow/{tab}/create/plugin/kimi-batch"),
        (["d", "e"], 3, f"/team/airflow/{tab}/create/mapped/3/plugin/kimi-batch"),
        ([None], -1, f"/team/airflow/{tab}/create/plugin/kimi-batch"),
    ):
        ti = TaskInstanceRecord(task_id="create", map_index=map_index)
        task = KimiCreateBatchOperator(task_id="create", input=rows, max_rows_per_batch=1, reuse="never")
        with suppress(KimiError):
            run_task(task, ti)
        assert ti.xcoms[BATCH_KEY] == link.format(batch_id=list(sim.batches)[-1] if sim.batches else "")
    for to_tab in (KimiResultsLink(), KimiReportLink()):
        assert to_tab.get_link(None, ti_key=ti) == f"/team/airflow/{tab}/create/plugin/kimi-batch"


def test_the_link_is_there_when_a_task_has_deferred_returned_or_failed(
    sim: KimiSimulator, connect: Connect, tmp_path: Path
) -> None:
    hook = connect(sim, console_url=TEMPLATE)
    (batch_id,) = submit_prompts(hook, 2).batch_ids
    of_batch = TEMPLATE.format(batch_id=batch_id)
    output = str(tmp_path / "out")
    results = KimiBatchResultsOperator(task_id="results", batch_id=batch_id, output=output)
    assert link_of(KimiBatchSensor(task_id="wait", batch_id=batch_id)) == of_batch
    assert link_of(KimiCancelBatchOperator(task_id="cancel", batch_id=[batch_id])) == of_batch
    sim.advance(9000)
    assert link_of(results) == of_batch
    assert link_of(KimiDeleteFilesOperator(task_id="files", file_id="file-1")) == "https://console.example/"


def test_a_create_links_to_its_first_batch_and_one_that_sent_nothing_to_the_console(
    sim: KimiSimulator, connect: Connect, tmp_path: Path
) -> None:
    connect(sim, console_url=TEMPLATE)
    assert link_of(KimiCreateBatchOperator(task_id="create", input=[None])) == "https://console.example/"
    create = KimiCreateBatchOperator(task_id="create", input=["a", "b"], max_rows_per_batch=1)
    assert link_of(create) == TEMPLATE.format(batch_id=next(iter(sim.batches)))
    whole = KimiBatchOperator(task_id="label", input=["c"], output=str(tmp_path / "out"))
    assert link_of(whole) == TEMPLATE.format(batch_id=list(sim.batches)[2])


def test_a_connection_that_cannot_be_read_has_no_link(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim, console_url="javascript:alert(1)")
    assert link_of(KimiBatchSensor(task_id="wait", batch_id="batch-1")) is None
