"""The form of a CSV file: what separates its cells, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from airflow_provider_kimi.fields import check_choice, check_flag

Quoting = Literal["minimal", "all"]


@dataclass(frozen=True)
class CsvOptions:
    """The form of a CSV file.

    :param delimiter: What separates the cells: one ASCII character that is no letter or digit.
    :param bom: Whether the file begins with a byte order mark, by which Excel knows UTF-8. One that is read may always
        have it.
    :param quoting: Which cells are quoted: ``minimal`` for texts that need it, ``all`` for every cell with a value.
    :param formula_guard: Whether texts that a spreadsheet would read as a formula are written with an apostrophe before
        them.
    """

    delimiter: str = ","
    bom: bool = False
    quoting: Quoting = "minimal"
    formula_guard: bool = True

    def __post_init__(self) -> None:
        _check_delimiter(self.delimiter)
        check_flag("csv_options['bom']", self.bom)
        check_choice("csv_options['quoting']", self.quoting, get_args(Quoting))
        check_flag("csv_options['formula_guard']", self.formula_guard)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> CsvOptions:
        """Read the options of a task; those that it does not name, and None, are the defaults.

        :raises ValueError: An option is unknown, or has a value that it cannot have.
        """
        if options is None:
            return cls()
        names = [field.name for field in fields(cls)]
        if not isinstance(options, Mapping):
            raise ValueError(f"csv_options is {options!r}; it must be a dict, such as {{'delimiter': ';'}}")
        if unknown := [name for name in options if name not in names]:
            raise ValueError(f"csv_options has {unknown[0]!r}, which is no option; it may have {', '.join(names)}")
        return cls(**options)


def _check_delimiter(value: object) -> None:
    is_one = isinstance(value, str) and len(value) == 1 and value.isascii()
    if not is_one or str(value).isalnum() or str(value) in '"\r\n\0':
        raise ValueError(
            f"csv_options['delimiter'] is {value!r}; it must be one ASCII character that is no letter, digit, quote or "
            r"line break, such as ';' or '\t'"
        )
