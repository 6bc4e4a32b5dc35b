"""The entries of budgets where they are kept: Airflow's Variables, which tasks can write on every version.

Each entry is written by one attempt alone and never changed, so Airflow needs no compare-and-set.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_kimi.budgets.ledger import ENTRY_PREFIX, Entry, Ledger
from airflow_provider_kimi.compat import delete_variable, read_variable, variable_keys, write_variable
from airflow_provider_kimi.records.claim_note import ClaimNote


def read_window(budget: str, window: str) -> Ledger:
    """Read the entries of one window."""
    return _read(f"{ENTRY_PREFIX}{budget}.{window}.")


def read_budget(budget: str) -> list[Entry]:
    """Read the entries of all windows of a budget."""
    return list(_read(f"{ENTRY_PREFIX}{budget}.").entries)


def _read(prefix: str) -> Ledger:
    return Ledger(entry for name in variable_keys(prefix) if (entry := Entry.of(name)) is not None)


def write(entry: Entry, note: ClaimNote) -> None:
    """Write an entry, with whose it is."""
    write_variable(entry.name, note.to_json())


def read_note(entry: Entry) -> ClaimNote | None:
    """Read whose an entry is; None if somebody has removed or edited it."""
    return ClaimNote.of_json(read_variable(entry.name))


def remove(entries: Iterable[Entry]) -> None:
    """Remove entries of a window that is over."""
    for entry in entries:
        delete_variable(entry.name)
