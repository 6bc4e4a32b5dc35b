"""The page about versions names the environments of the matrix, and tests that exist."""

import re
from pathlib import Path

from tests.matrix.cells import CELLS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "versions.md").read_text()


def test_each_line_of_the_table_is_an_environment_of_the_matrix() -> None:
    lines = re.findall(r"^\| (\S+) \| (3\.\d+) \| .* passed", PAGE, re.MULTILINE)
    assert lines
    assert set(lines) <= {(cell.airflow, cell.python) for cell in CELLS}


def test_each_difference_names_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/\S+)::(\w+)`", PAGE)
    assert len(named) > 10
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []
