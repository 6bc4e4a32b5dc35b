"""The simulator is a program of its own: it can only confirm the provider because it shares nothing with it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_kimi.simulator

FOLDER = Path(airflow_provider_kimi.simulator.__file__).parent
PACKAGE = "airflow_provider_kimi"
ALLOWED = {*sys.stdlib_module_names, "starlette", "uvicorn"}


def imported(module: Path) -> set[str]:
    """Every module name that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + str(node.module))
    return names


@pytest.mark.parametrize("module", sorted(FOLDER.glob("*.py")), ids=lambda module: module.stem)
def test_a_module_imports_the_standard_library_the_server_and_the_simulator_only(module: Path) -> None:
    for name in imported(module):
        own = name == f"{PACKAGE}.simulator" or name.startswith(f"{PACKAGE}.simulator.")
        assert own or name.partition(".")[0] in ALLOWED, name


def test_the_package_exports_what_is_listed_here_and_nothing_else() -> None:
    listed = ["Answer", "Behaviour", "KimiSimulator", "Responder", "RowError", "Timing", "label_answer"]
    assert airflow_provider_kimi.simulator.__all__ == listed
    assert all(getattr(airflow_provider_kimi.simulator, name) for name in listed)


def test_importing_it_loads_nothing_else_of_the_provider_nor_airflow() -> None:
    script = "import sys, airflow_provider_kimi.simulator.__main__; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    loaded = ended.stdout.split()
    own = {name for name in loaded if name.startswith(f"{PACKAGE}.") and not name.startswith(f"{PACKAGE}.simulator")}
    assert own == set()
    assert not {"airflow", "openai", "httpx", "msgspec"} & set(loaded)
