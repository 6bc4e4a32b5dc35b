"""A budget as its Airflow Variable defines it, and the window that a time falls into."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from airflow_provider_kimi.budgets.ledger import MICRO
from airflow_provider_kimi.exceptions import KimiInputError

#: How the name of the Variable begins that defines a budget.
BUDGET_PREFIX = "kimi_budget_"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
_EXAMPLE = '{"amount": 100, "per": "day"}'


class Window(NamedTuple):
    """The time for which an amount is.

    :param id: Names it among the windows of its budget.
    :param ends_at: None for that of a run.
    """

    id: str
    ends_at: datetime | None

    @property
    def end_in_words(self) -> str:
        """When what is left is gone."""
        return "for this run" if self.ends_at is None else f"until {self.ends_at:%Y-%m-%d %H:%M %Z}"


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a Variable says of a budget.

    :param amount: In the currency of the prices.
    :param currency: What that has to be; None for whatever it is. Each currency has the amount for itself.
    :param timezone: By which days and months begin.
    """

    amount: float
    per: Literal["run", "day", "month"]
    currency: str | None = None
    timezone: str = "UTC"

    @property
    def micro(self) -> int:
        """The amount in millionths, rounded down."""
        return int(Decimal(str(self.amount)) * MICRO)

    def window(self, now: datetime, run: tuple[str, str], currency: str) -> Window:
        """The window of a time.

        :param now: Aware of its zone.
        :param run: The DAG and the run that spend.
        :param currency: Of the prices.
        """
        code = re.sub(r"[^A-Za-z0-9]", "", currency)[:12]
        if self.per == "run":
            return Window(f"run-{sha256(repr(run).encode()).hexdigest()[:16]}-{code}", None)
        today = now.astimezone(ZoneInfo(self.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.per == "day":
            return Window(f"day-{today:%Y-%m-%d}-{code}", today + timedelta(days=1))
        month = today.replace(day=1)
        return Window(f"month-{month:%Y-%m}-{code}", (month + timedelta(days=32)).replace(day=1))


def read_name(given: object, *, can_list: bool) -> str | None:
    """Read the name of a budget; None for none.

    :param can_list: Whether a task can list Airflow's Variables.
    :raises KimiInputError: It cannot be part of the name of a Variable, or no task could see what others reserve.
    """
    if given is None or given == "":
        return None
    if not can_list:
        raise KimiInputError(
            "budget needs Airflow 2.11, or 3.3 and newer: on 3.0 to 3.2 no task can list Airflow's Variables, and so "
            "see what others have reserved. Nothing was sent. Leave it out, and set max_cost to limit what one task "
            "may cost."
        )
    if isinstance(given, str) and _NAME.fullmatch(given):
        return given
    raise KimiInputError(
        f"budget is {reprlib.repr(given)}; it must be a name of 1 to 60 letters, digits, hyphens and underscores, or "
        "None for no budget. Nothing was sent."
    )


def read_definition(name: str, stored: str | Mapping[str, Any] | None, currency: str | None = None) -> Definition:
    """Read what a Variable says of a budget.

    :param stored: Its value, which a secrets backend may have read as JSON; None if there is none.
    :param currency: Of the prices; None for any.
    :raises KimiInputError: There is none, or it is not a budget, or one in another currency.
    """
    variable = f"Airflow Variable {BUDGET_PREFIX}{name}"
    if stored is None:
        raise KimiInputError(
            f"Budget {name!r} is not defined: there is no {variable}. Nothing was sent. Make it, with a value such as "
            f"{_EXAMPLE}."
        )
    try:
        found = msgspec.convert(msgspec.json.decode(stored) if isinstance(stored, str) else stored, Definition)
        ZoneInfo(found.timezone)
    except (msgspec.MsgspecError, ValueError, OSError) as error:  # of a zone that is not known, a KeyError's child
        raise _wrong(variable, str(error)) from None
    except KeyError:
        raise _wrong(variable, "its timezone is not known") from None
    if not (isfinite(found.amount) and found.amount > 0):
        raise _wrong(variable, "its amount is not above zero")
    if currency is not None and found.currency not in (None, currency):
        raise KimiInputError(
            f"Budget {name!r} is in {found.currency!s:.16}, and the prices of this task are in {currency:.16}. Nothing "
            "was sent. Give the task a budget in that currency, or prices in the other as price_list."
        )
    return found


def _wrong(variable: str, fault: str) -> KimiInputError:
    return KimiInputError(
        f"{variable} does not define a budget: {fault}. Nothing was sent. Its value is JSON such as {_EXAMPLE}; per is "
        "run, day or month, and it may have a currency and a timezone."
    )
