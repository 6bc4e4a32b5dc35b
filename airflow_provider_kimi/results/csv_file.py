"""Results as CSV, in which null and an empty text differ, and no text is a spreadsheet's formula."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.results.arrow_types import as_text

#: What makes a spreadsheet read a cell as a formula, and what it reads as a number all the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")

#: By whether a file begins with a byte order mark.
ENCODING = {False: "utf-8", True: "utf-8-sig"}


class Cells:
    """Writes values as cells: null is an empty cell, an empty text is a quoted one.

    :param guarded: How many cells have an apostrophe before them, so that no spreadsheet reads a formula.
    :param is_simple: Whether a text is its own cell.
    """

    def __init__(self, options: CsvOptions) -> None:
        self.guarded = 0
        self._guards = options.formula_guard
        nothing = r"[^\s\S]"
        bare = nothing if options.quoting == "all" else f'[^"\r\n{re.escape(options.delimiter)}]+'
        self._is_bare = re.compile(bare).fullmatch
        self.is_simple = re.compile(f"(?![{re.escape(''.join(_FORMULA))}]){bare}").fullmatch

    def guarded_cell(self, value: Any) -> str:
        """A cell that is no formula."""
        if self._guards and value.__class__ is str and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
            self.guarded += 1
            value = f"'{value}"
        return self.cell(value)

    def cell(self, value: Any) -> str:
        """A cell of just this value."""
        if value is None:
            return ""
        text = as_text(value)
        return text if self._is_bare(text) else '"' + text.replace('"', '""') + '"'


def is_guarded(cell: str) -> bool:
    """Whether a cell has an apostrophe before what a spreadsheet would read as a formula."""
    text = cell.removeprefix('"')
    return text.startswith("'") and text[1:].startswith(_FORMULA)


def write_csv(
    rows: Iterable[Mapping[str, Any]],
    target: Path,
    columns: Sequence[str],
    keys: Collection[str],
    options: CsvOptions,
) -> int:
    """Write rows with a header, and return how many cells are guarded.

    :param keys: Columns that name rows, which are never changed.
    """
    cells = Cells(options)
    is_simple = cells.is_simple
    write = [cells.cell if name in keys else cells.guarded_cell for name in columns]
    with target.open("w", encoding=ENCODING[options.bom], newline="") as file:
        for row in chain([dict(zip(columns, columns, strict=True))], rows):
            values = map(row.get, columns)
            line = [
                "" if value is None else value if value.__class__ is str and is_simple(value) else cell(value)
                for cell, value in zip(write, values, strict=True)
            ]
            file.write(options.delimiter.join(line) + "\r\n")
    return cells.guarded
