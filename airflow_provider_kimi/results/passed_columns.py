"""Which columns of the input go into the results, and under which names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.fields import check_columns
from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.requests.values import BYTES

#: Classes of most values.
_HOLD_NOTHING = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True)
class Selection:
    """The columns that were chosen, by their names in the input.

    :param select: The only ones, in this order; None for all.
    :param exclude: Those that are left out; None for none.
    """

    select: Sequence[str] | None = None
    exclude: Sequence[str] | None = None

    @classmethod
    def of(cls, select: object, exclude: object) -> "Selection":
        """Read the parameters of a task.

        :raises ValueError: One is no list of names, or both are given.
        """
        check_columns("select", select)
        check_columns("exclude", exclude)
        if select is not None and exclude is not None:
            raise ValueError("select and exclude are both given; give the columns to land, or those to leave out")
        return cls(_names(select), _names(exclude))

    @property
    def named(self) -> Sequence[str]:
        """The names that it says."""
        return self.select or self.exclude or ()


#: All columns of the input.
EVERY_COLUMN = Selection()


def _names(given: Any) -> Sequence[str] | None:
    return None if given is None else tuple(map(str.__str__, [given] if isinstance(given, str) else given))


def kept(row: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    """The columns of a row that were chosen."""
    if selection.select is not None:
        return {name: row[name] for name in selection.select if name in row}
    left_out = selection.exclude or ()
    return {name: value for name, value in row.items() if name not in left_out}


def result_names(columns: Iterable[str], fields: Sequence[str] = ()) -> dict[str, str]:
    """The name in the results of each column of the input, which hides none of ours.

    :param fields: The fields of the results; those that are not usual are ours too.
    """
    return free_names(columns, (*RESULT_FIELDS, *fields), "input_")


def free_names(columns: Iterable[str], taken: Iterable[str], prefix: str) -> dict[str, str]:
    """A name for each column that is neither taken nor that of another one: its own, or with prefixes before it."""
    columns = list(columns)
    names: dict[str, str] = {}
    used = set(taken)
    for column in columns:
        name = column
        while name in used or (name != column and name in columns):
            name = f"{prefix}{name}"
        used.add(name)
        names[column] = name
    return names


def holds_bytes(value: object) -> bool:
    """Whether a value holds bytes at any depth: most likely images, which are not repeated with every answer."""
    if value.__class__ in _HOLD_NOTHING:
        return False
    if isinstance(value, Mapping):
        return any(map(holds_bytes, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_bytes, value))
    return isinstance(value, BYTES)


class PassedColumns:
    """Takes the columns of each row, and knows at the end whether the input has all that were named."""

    def __init__(self, selection: Selection, gold_column: str | None = None) -> None:
        self._selection = selection
        self._gold_column = gold_column
        self._has_gold = False
        self._unseen = set(selection.named)
        self._has_rows = False

    def of(self, row: Mapping[str, Any], *, is_note: bool = False) -> Mapping[str, Any]:
        """The columns of a row that were chosen.

        :param is_note: Whether it is the note of a dead letter, which holds what was chosen when that was landed.
        """
        if not is_note:
            self._has_rows = True
            if self._unseen:
                self._unseen -= row.keys()
        return kept(row, self._selection) if self._selection.named else row

    def gold(self, row: Mapping[str, Any]) -> Any:
        """The cell of a row in the gold column; None if it has none."""
        if self._gold_column is None or self._gold_column not in row:
            return None
        self._has_gold = True
        return row[self._gold_column]

    def check(self) -> None:
        """Refuse a name that no row has, once all were read.

        :raises KimiInputError: A misspelled name would land what was meant to be left out, or compare nothing.
        """
        if self._has_rows and self._gold_column is not None and not self._has_gold:
            raise KimiInputError(
                f"gold_column names a column that no row of the input has: {self._gold_column[:80]!r}. Nothing was "
                "landed, and the batch keeps its results. Name the column as the input does."
            )
        if not self._has_rows or not self._unseen:
            return
        parameter = "select" if self._selection.select is not None else "exclude"
        missing = ", ".join(repr(name[:80]) for name in self._selection.named if name in self._unseen)
        raise KimiInputError(
            f"{parameter} names columns that no row of the input has: {missing}. Nothing was landed, and the batch "
            "keeps its results. Name the columns as the input does."
        )
