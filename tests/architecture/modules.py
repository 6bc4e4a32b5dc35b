"""The modules of the package, and what each one imports at its top or inside a function."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "airflow_provider_kimi"

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
OWN_MODULES = [name for name in MODULES if not name.startswith("simulator/")]


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def _imports(module: str) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "", [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)


def imports_of(module: str) -> set[str]:
    """The names of the modules that a module imports."""
    return {imported for imported, _ in _imports(module)}


def own_imports_of(module: str) -> set[str]:
    """The modules of the package that a module imports, as paths; a folder's own is meant where no other is."""
    found = set()
    for imported, names in _imports(module):
        modules = {path for name in names or [""] if (path := _path(f"{imported}.{name}".rstrip("."))) in MODULES}
        found |= modules or {path for path in (_path(imported), _path(f"{imported}.__init__")) if path in MODULES}
    return found


def _path(dotted: str) -> str:
    return dotted.removeprefix("airflow_provider_kimi.").replace(".", "/") + ".py"
