"""How large modules and functions may grow."""

import ast
from collections.abc import Iterator

import complexipy
import pytest

from tests.architecture.modules import MODULES, PACKAGE, tree_of

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40  # without its docstring

#: Cognitive complexity: and/or, comprehensions and conditional expressions count, and nesting counts twice.
MAX_COMPLEXITY = 15


def over_complex(module: str) -> Iterator[str]:
    for function in complexipy.code_complexity((PACKAGE / module).read_text(encoding="utf-8")).functions:
        if function.complexity > MAX_COMPLEXITY:
            yield f"{module} {function.name}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_for_and_fits_a_few_screens(module: str) -> None:
    assert ast.get_docstring(tree_of(module))
    text = (PACKAGE / module).read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_MODULE_LINES
    assert "complexipy" not in text, "a function does not exempt itself"


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_a_screen(module: str) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= MAX_FUNCTION_LINES, f"{module}: {node.name} has {lines} lines"


def test_every_function_can_be_followed() -> None:
    found = {name for module in MODULES for name in over_complex(module)}
    assert found == set(), f"their cognitive complexity is over {MAX_COMPLEXITY}"
