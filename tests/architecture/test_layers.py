"""Who may import whom, and what may never be loaded early."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.modules import MODULES, OWN_MODULES, PACKAGE, imports_of, own_imports_of

#: Each layer may import itself and the layers before it.
LAYERS = (
    *(
        "__init__",
        "exceptions",
        "api",
        "records",
        "addresses",
        "metrics",
        "fields",
        "choices",
        "compat",
        "stats",
        "rendering",
        "files",
        "cache",
        "hooks",
        "calls",
        "kills",
        "budgets",
        "requests",
        "submission",
    ),
    *("waiting", "results", "report", "account", "airflow_errors", "context"),
    *(
        "lineage",
        "links",
        "outlets",
        "retry_policy",
        "triggers",
        "jobs",
        "sensors",
        "operators",
        "decorators",
        "tasks",
        "common_ai",
        "get_provider_info",
        "ui",
    ),
)

#: Who hands over to `tasks` when a task runs. A parse of a DAG file loads none of that.
HANDING_OVER = ("sensors", "operators")

#: An import inside a function that goes up on purpose.
EXCEPTIONS = {("hooks/kimi.py", "get_provider_info")}  # the form of Airflow below 3.2 shows the same fields

OPERATOR_MODULES = (
    "operators.batch",
    "operators.cache",
    "operators.files",
    "operators.orphans",
    "decorators.kimi_batch",
    "sensors.batch",
    "triggers.batch",
    "triggers.ended_batches",
    "hooks.kimi",
    "links",
    "get_provider_info",
    "ui.plugin",
)

#: What only the adapter for common.ai imports, which nothing loads but common.ai itself.
OF_COMMON_AI = {
    "common_ai/adapter.py": {
        "airflow.providers.common.ai.batch.base",
        "airflow.providers.common.ai.batch.output_schema",
    },
    "common_ai/errors.py": {"airflow.providers.common.ai.exceptions"},
    "common_ai/result_items.py": {"airflow.providers.common.ai.batch.base"},
}

#: What only the API server has, and the plugin that Airflow loads before anything else.
OF_THE_SERVER = {
    "ui/plugin.py": {"airflow.configuration", "airflow.plugins_manager"},
    "ui/access.py": {
        "airflow.api_fastapi.app",
        "airflow.api_fastapi.auth.managers.models.resource_details",
        "airflow.api_fastapi.common.db.common",
        "airflow.api_fastapi.core_api.security",
        "airflow.api_fastapi.logging.decorators",
        "airflow.models.connection",
        "airflow.models.variable",
        "airflow.utils.session",
    },
    "ui/airflow_records.py": {
        "airflow.models.dag",
        "airflow.models.dagrun",
        "airflow.models.renderedtifields",
        "airflow.models.taskinstance",
        "airflow.models.variable",
        "airflow.models.xcom",
        "airflow.utils.session",
    },
}


def layer_of(module: str) -> str:
    return module.split("/", maxsplit=1)[0].removesuffix(".py")


def hands_over(module: str, imported: str) -> bool:
    return layer_of(module) in HANDING_OVER and layer_of(imported) == "tasks"


@pytest.mark.parametrize("module", OWN_MODULES)
def test_a_layer_imports_only_the_layers_before_it(module: str) -> None:
    allowed = LAYERS[: LAYERS.index(layer_of(module)) + 1]
    for imported in own_imports_of(module):
        layer = layer_of(imported)
        is_on_purpose = hands_over(module, imported) or (module, layer) in EXCEPTIONS
        assert layer in allowed or is_on_purpose, f"{module} imports {imported}"


def test_no_module_imports_itself_through_others() -> None:
    graph = {
        name: {imported for imported in own_imports_of(name) if not hands_over(name, imported)} for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle, each imported by the next: {' '.join(error.args[1])}")


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("simulator/")])
def test_the_simulator_imports_nothing_of_the_provider(module: str) -> None:
    own = [name for name in imports_of(module) if name.startswith("airflow_provider_kimi")]
    assert all(name.startswith("airflow_provider_kimi.simulator") for name in own)


@pytest.mark.parametrize("module", OWN_MODULES)
def test_nothing_of_the_provider_imports_the_simulator(module: str) -> None:
    assert not [name for name in imports_of(module) if name.startswith("airflow_provider_kimi.simulator")]


@pytest.mark.parametrize("module", [name for name in OWN_MODULES if layer_of(name) in ("api", "exceptions")])
def test_the_core_knows_no_airflow_and_no_clock(module: str) -> None:
    roots = {name.split(".")[0] for name in imports_of(module)}
    assert not roots & {"airflow", "time", "random", "os", "asyncio", "socket", "logging"}


@pytest.mark.parametrize("module", OWN_MODULES)
def test_airflow_is_imported_through_compat(module: str) -> None:
    late_lookups = {
        "airflow.providers.common.compat.connection",
        "airflow.providers.common.compat.openlineage.facet",
        "airflow.providers.openlineage.extractors",
    }
    found = {name for name in imports_of(module) if name.split(".")[0] == "airflow"}
    assert layer_of(module) == "compat" or found <= late_lookups | (OF_THE_SERVER | OF_COMMON_AI).get(module, set())


def test_nothing_but_common_ai_loads_the_adapter_for_it() -> None:
    assert not {
        name for name in OWN_MODULES if layer_of(name) != "common_ai" and any(map(of_common_ai, own_imports_of(name)))
    }


def of_common_ai(module: str) -> bool:
    return layer_of(module) == "common_ai"


#: What a parse of a DAG file may load beside the provider and Python's own modules, if `airflow.sdk` has not already.
AT_PARSE = {"airflow", "airflow_provider_kimi", "asgiref", "pydantic"}


@pytest.mark.parametrize("module", OPERATOR_MODULES)
def test_importing_it_loads_no_sdk_and_no_http_client(module: str) -> None:
    """Airflow 3.3 itself loads httpx, for its logging; counted is what our module adds to it."""
    program = f"""
import sys
import airflow.sdk
before = set(sys.modules)
import airflow_provider_kimi.{module}
print(*(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    added = set(done.stdout.split())
    assert f"airflow_provider_kimi.{module}" in added or module == "get_provider_info"
    assert {name.split(".")[0] for name in added} - sys.stdlib_module_names <= AT_PARSE
    assert not [name for name in added if name.startswith("airflow_provider_kimi.tasks")]


def test_no_test_patches_our_code_or_mocks_the_sdk() -> None:
    forbidden = ("unittest.mock", "pytest_mock", "monkeypatch.setattr", "mocker", "respx", "MagicMock")
    for path in (PACKAGE.parent / "tests").rglob("*.py"):
        if path not in (Path(__file__), PACKAGE.parent / "tests/protocol/test_mutations.py"):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], path
