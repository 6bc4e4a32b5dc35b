"""Where the page of batches cannot be served, Airflow's API server starts all the same."""

from pathlib import Path

from tests.support.missing import run_without

PROGRAM = """
from airflow_provider_kimi.ui.plugin import KimiPlugin
plugin = KimiPlugin()
print(plugin.fastapi_apps, plugin.external_views)
"""


def test_where_the_page_cannot_be_served_the_plugin_adds_nothing(tmp_path: Path) -> None:
    assert run_without(("fastapi", "fastapi-*"), PROGRAM, tmp_path).endswith("[] []\n")
