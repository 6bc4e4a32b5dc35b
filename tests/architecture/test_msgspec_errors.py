"""Errors of msgspec are ValueErrors since its version 0.21 only, so that whoever means them names them."""

import ast
from collections.abc import Iterator

import msgspec
import pytest

from airflow_provider_kimi.files.line_ids import UNREADABLE
from tests.architecture.modules import MODULES, tree_of

ALIAS = "read = msgspec.json.Decoder(int).decode\n"


def careless(tree: ast.Module) -> Iterator[int]:
    """The lines of blocks that call msgspec and catch ValueErrors, but no error of msgspec."""
    aliases = {
        ast.unparse(target)
        for node in tree.body
        if isinstance(node, ast.Assign) and "msgspec." in ast.unparse(node.value)
        for target in node.targets
    }
    for node in ast.walk(tree):
        caught = " ".join(_caught(node))
        if "ValueError" in caught and "msgspec." not in caught:
            names = {part.id for block in _body(node) for part in ast.walk(block) if isinstance(part, ast.Name)}
            if names & {"msgspec", *aliases}:
                yield node.lineno  # type: ignore[attr-defined]


def _caught(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Try):
        yield from (ast.unparse(handler.type) for handler in node.handlers if handler.type)
    if isinstance(node, ast.With | ast.AsyncWith):
        yield from (text for item in node.items if "suppress(" in (text := ast.unparse(item.context_expr)))


def _body(node: ast.AST) -> list[ast.stmt]:
    return node.body if isinstance(node, ast.Try | ast.With | ast.AsyncWith) else []


@pytest.mark.parametrize("module", MODULES)
def test_whoever_catches_a_value_error_around_msgspec_catches_its_own_errors_too(module: str) -> None:
    assert list(careless(tree_of(module))) == []


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    msgspec.json.decode(line)\nexcept (KeyError, ValueError):\n    pass",
        "try:\n    print(read(line))\nexcept (TypeError, ValueError):\n    pass",
        "try:\n    read(line)\nexcept (KeyError, ValueError):\n    pass\nexcept OSError:\n    pass",
        "with suppress(KeyError, ValueError):\n    read(line)",
    ],
)
def test_a_careless_block_is_found(code: str) -> None:
    assert list(careless(ast.parse(ALIAS + code))) == [2]
    assert list(careless(ast.parse(ALIAS + code.replace("ValueError", "ValueError, msgspec.MsgspecError")))) == []


def test_what_a_line_that_cannot_be_read_raises_has_the_errors_of_msgspec() -> None:
    assert {ValueError, msgspec.MsgspecError, RecursionError} == set(UNREADABLE)
