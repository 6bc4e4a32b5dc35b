"""Who may import whom, how large things may grow, and what may never be loaded early."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_kimi"
TESTS = PACKAGE.parent / "tests"

#: Each layer may import itself and the layers before it.
LAYERS = (
    *(
        "__init__",
        "exceptions",
        "api",
        "records",
        "compat",
        "fields",
        "files",
        "hooks",
        "calls",
        "requests",
        "submission",
    ),
    *("waiting", "results", "account", "airflow_errors", "context"),
    *("lineage", "outlets", "triggers", "sensors", "operators", "get_provider_info"),
)

#: An import inside a function that goes up on purpose.
EXCEPTIONS = {("hooks/kimi.py", "get_provider_info")}  # the form of Airflow below 3.2 shows the same fields

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
OWN_MODULES = [name for name in MODULES if not name.startswith("simulator/")]

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40

OPERATOR_MODULES = (
    "operators.batch",
    "operators.files",
    "operators.orphans",
    "sensors.batch",
    "triggers.batch",
    "triggers.outside",
    "hooks.kimi",
    "get_provider_info",
)


def imports_of(module: str) -> Iterator[tuple[str, bool]]:
    """Every imported module, and whether it is imported at module level."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    top_level = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "", id(node) in top_level
        elif isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top_level) for alias in node.names)


def layer_of(module: str) -> str:
    return module.split("/", maxsplit=1)[0].removesuffix(".py")


@pytest.mark.parametrize("module", OWN_MODULES)
def test_a_layer_imports_only_the_layers_before_it(module: str) -> None:
    allowed = LAYERS[: LAYERS.index(layer_of(module)) + 1]
    for imported, _ in imports_of(module):
        if imported == "airflow_provider_kimi":
            continue
        if imported.startswith("airflow_provider_kimi."):
            layer = imported.split(".")[1]
            assert layer in allowed or (module, layer) in EXCEPTIONS, f"{module} imports {imported}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("simulator/")])
def test_the_simulator_imports_nothing_of_the_provider(module: str) -> None:
    own = [name for name, _ in imports_of(module) if name.startswith("airflow_provider_kimi")]
    assert all(name.startswith("airflow_provider_kimi.simulator") for name in own)


@pytest.mark.parametrize("module", OWN_MODULES)
def test_nothing_of_the_provider_imports_the_simulator(module: str) -> None:
    assert not [name for name, _ in imports_of(module) if name.startswith("airflow_provider_kimi.simulator")]


@pytest.mark.parametrize("module", [name for name in OWN_MODULES if layer_of(name) in ("api", "exceptions")])
def test_the_core_knows_no_airflow_and_no_clock(module: str) -> None:
    roots = {name.split(".")[0] for name, _ in imports_of(module)}
    assert not roots & {"airflow", "time", "random", "os", "asyncio", "socket", "logging"}


@pytest.mark.parametrize("module", OWN_MODULES)
def test_airflow_is_imported_through_compat(module: str) -> None:
    late_lookups = {
        "airflow.providers.common.compat.connection",
        "airflow.providers.common.compat.openlineage.facet",
        "airflow.providers.openlineage.extractors",
    }
    found = {name for name, _ in imports_of(module) if name.split(".")[0] == "airflow"}
    assert module == "compat.py" or found <= late_lookups


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_readable(module: str) -> None:
    text = (PACKAGE / module).read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_MODULE_LINES
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{module} does not say what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= MAX_FUNCTION_LINES, f"{module}: {node.name} has {lines} lines"


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
    assert not {name.split(".")[0] for name in added} & {
        "openai",
        "httpx",
        "httpx2",
        "httpcore",
        "requests",
        "aiohttp",
        "pyarrow",
        "starlette",
        "fsspec",
    }


def test_no_test_patches_our_code_or_mocks_the_sdk() -> None:
    forbidden = ("unittest.mock", "pytest_mock", "monkeypatch.setattr", "mocker", "respx", "MagicMock")
    for path in TESTS.rglob("*.py"):
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], path
