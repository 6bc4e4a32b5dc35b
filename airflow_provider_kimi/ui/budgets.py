"""What the page shows of budgets: their present windows, and what is spent, reserved and left of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_kimi.budgets.definition import BUDGET_PREFIX, Definition, read_definition
from airflow_provider_kimi.budgets.ledger import MICRO, Entry, Ledger, total
from airflow_provider_kimi.exceptions import KimiInputError

#: Most windows of one budget that are shown: that of a run has one for each.
_MOST_WINDOWS = 5


def views_of(definitions: Mapping[str, str | None], names: Iterable[str], now: datetime) -> list[dict[str, Any]]:
    """Say how budgets stand.

    :param definitions: The value of each Variable that defines one, by its key.
    :param names: Of all Variables of claims.
    """
    entries = [entry for name in names if (entry := Entry.of(name)) is not None]
    return [view for key, stored in definitions.items() for view in _views(key, stored, entries, now)]


def _views(key: str, stored: str | None, entries: Iterable[Entry], now: datetime) -> Iterator[dict[str, Any]]:
    name = key.removeprefix(BUDGET_PREFIX)
    try:
        definition = read_definition(name, stored)
    except KimiInputError as error:
        yield {"name": name, "error": str(error).partition(" Nothing was sent.")[0]}
        return
    ledgers = _present(definition, [entry for entry in entries if entry.budget == name], now)
    for window, ledger in ledgers.items() or [("", Ledger(()))]:
        spent, reserved = ledger.spent, total(ledger.reserved)
        place, _, currency = window.rpartition("-")
        yield {
            **{"name": name, "per": definition.per, "window": place, "currency": currency or definition.currency or ""},
            **{"amount": definition.micro / MICRO, "spent": spent / MICRO, "reserved": reserved / MICRO},
            "left": max(0, definition.micro - spent - reserved) / MICRO,
        }


def _present(definition: Definition, entries: Iterable[Entry], now: datetime) -> dict[str, Ledger]:
    """The windows of this time, the one that was drawn on last first."""
    begin = "run-" if definition.per == "run" else definition.window(now, ("", ""), "").id
    last: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: -entry.number):
        if entry.window.startswith(begin):
            last.setdefault(entry.window, []).append(entry)
    return {window: Ledger(of_window) for window, of_window in list(last.items())[:_MOST_WINDOWS]}
