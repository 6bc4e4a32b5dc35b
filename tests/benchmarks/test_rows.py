"""The rows of the benchmarks are the repository's own, and every contender can read them."""

import ast
from pathlib import Path

import pytest

from tests.benchmarks.land_files import ANSWER_BYTES, LINE_ENDS_IN_TEXT, write_batch
from tests.benchmarks.submit_rows import TEXT_BYTES, texts_of, write_ready, write_table

BENCHMARKS = sorted(Path(__file__).parent.glob("*.py"))


@pytest.mark.parametrize("size", [TEXT_BYTES, ANSWER_BYTES, 400])
def test_a_text_ends_a_line_at_the_newline_only(size: int) -> None:
    """A contender that cuts lines as Python does would lose its row, and be measured at another task."""
    for text in texts_of(size):
        assert len(text.splitlines()) == len(text.rstrip("\n").split("\n"))


def test_files_of_rows_are_cut_into_the_same_lines_by_every_reader(tmp_path: Path) -> None:
    write_ready(tmp_path / "ready", 100)
    write_table(tmp_path / "table", 100)
    write_batch(tmp_path, "batch", 100)
    for name in ("ready", "table", "batch-input", "batch-output"):
        assert len((tmp_path / name).read_text(encoding="utf-8").splitlines()) == 100


def test_the_check_beside_has_answers_that_python_cuts(tmp_path: Path) -> None:
    write_batch(tmp_path, "odd", 100, ending=LINE_ENDS_IN_TEXT)
    content = (tmp_path / "odd-output").read_bytes()
    assert content.count(b"\n") == 100
    assert len(content.decode().splitlines()) == 100 + 3 * 50


@pytest.mark.parametrize("module", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_needs_nothing_that_is_outside_the_repository(module: Path) -> None:
    """The real reviews lie beside it on some machines only, and the figures would be of other texts."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "tests.support.reviews" not in imported
