"""What Airflow finds, and what it costs where nobody looks."""

from importlib.metadata import entry_points
from typing import Any

import pytest
from airflow import plugins_manager
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_kimi.decorators.kimi_batch import _KimiBatchDecoratedOperator
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.ui.plugin import KimiPlugin
from airflow_provider_kimi.ui.task_view import OPERATORS


def test_airflow_finds_the_plugin_through_the_package() -> None:
    found = [point for point in entry_points(group="airflow.plugins") if point.name == "kimi"]
    assert [point.load() for point in found] == [KimiPlugin]


HAS_PAGES = hasattr(AirflowPlugin, "external_views")


@pytest.mark.skipif(not HAS_PAGES, reason="this Airflow shows no pages of plugins")
def test_the_page_is_in_the_navigation_below_the_path_of_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/team/airflow/")
    view, tab = KimiPlugin().external_views
    assert (view["href"], view["destination"], view["url_route"]) == ("/team/airflow/kimi/", "nav", "kimi-batches")
    assert tab["href"].startswith("/team/airflow/kimi/?dag_id={DAG_ID}&")


@pytest.mark.skipif(not HAS_PAGES, reason="this Airflow shows no pages of plugins")
def test_the_tab_is_on_task_instances_and_airflow_3_4_shows_it_for_our_operators_only() -> None:
    _, tab = KimiPlugin().external_views
    assert (tab["name"], tab["destination"], tab["url_route"]) == ("Kimi batch", "task_instance", "kimi-batch")
    assert tab["applies_to"] == {"task.template_fields": ["kimi_conn_id"]}
    operators: list[Any] = [
        KimiBatchOperator,
        KimiBatchResultsOperator,
        KimiCancelBatchOperator,
        KimiCreateBatchOperator,
    ]
    operators += [KimiDeleteFilesOperator, KimiOrphanBatchesOperator, KimiBatchSensor, _KimiBatchDecoratedOperator]
    assert {operator.__name__ for operator in operators} == OPERATORS
    assert all("kimi_conn_id" in operator.template_fields for operator in operators)


@pytest.mark.skipif(not HAS_PAGES, reason="this Airflow shows no pages of plugins")
def test_this_airflow_takes_both_views() -> None:
    from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

    for view in KimiPlugin().external_views:
        assert ExternalViewResponse.model_validate(view).href == view["href"]


@pytest.mark.skipif(HAS_PAGES, reason="make test-lowest runs it on Airflow 2.11")
def test_below_airflow_3_1_the_plugin_adds_nothing_and_breaks_nothing() -> None:
    plugins_manager.ensure_plugins_loaded()
    assert "kimi" in [plugin.name for plugin in plugins_manager.plugins or []]  # type: ignore[attr-defined]
    assert not [source for source in plugins_manager.import_errors if "kimi" in source]  # type: ignore[attr-defined]
    assert KimiPlugin().fastapi_apps == []
    assert KimiPlugin().external_views == []
