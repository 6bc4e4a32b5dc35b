"""What is wrong with an input: collected row by row, reported together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Problems that one message describes; the rest are counted.
MAX_REPORTED_PROBLEMS = 20

#: Characters of a column's name that a message repeats.
MAX_NAME_CHARS = 60


class RowProblem(ValueError):
    """One row cannot be made into a request; the text says why, without repeating its content.

    A job that leaves rows out is known by these texts too. A retry after an upgrade that changes one does not find the
    batches of the first attempt.

    :param custom_id: Name of the row where it is known.
    """

    def __init__(self, detail: str, custom_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.custom_id = custom_id


class NeverSent(RowProblem):
    """A row was left out of an earlier job already, which is not a problem of this input."""


@dataclass
class Problems:
    """The first problems in words; those that differ only in their row are reported once."""

    count: int = 0
    _reported: dict[str, tuple[str, int]] = field(default_factory=dict)

    def note(self, place: str, problem: RowProblem) -> None:
        """Add one, found at a place such as "line 12"."""
        self.count += 1
        if problem.detail in self._reported or len(self._reported) < MAX_REPORTED_PROBLEMS:
            named = f" (custom_id {problem.custom_id[:80]!r})" if problem.custom_id else ""
            first, more = self._reported.get(problem.detail, (place + named, -1))
            self._reported[problem.detail] = (first, more + 1)

    def describe(self) -> str:
        """All of them in one sentence."""
        described = [
            f"{first} {detail}{f' ({more:,} more alike)' if more else ''}"
            for detail, (first, more) in self._reported.items()
        ]
        if hidden := self.count - sum(more + 1 for _, more in self._reported.values()):
            described.append(f"and {hidden:,} more")
        return f"{self.count:,} problem{'s' if self.count > 1 else ''}: {'; '.join(described)}"


def listed(row: Mapping[str, Any], most: int = 8) -> str:
    """Name the columns of a row, for a message."""
    if len(row) == 1 and (found := next((sign for sign in ";\t|" if sign in str(*row)), None)):
        return f"only {str(*row)[:MAX_NAME_CHARS]!r}: columns are separated by commas, not by {found!r}"
    names = [repr(str(name)[:MAX_NAME_CHARS]) for name in row]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
