"""What landed results have cost: each batch counts once, in however many results it is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.ui.result_view import amount

#: Longest name of a currency.
_LONGEST_CURRENCY = 16


@dataclass(frozen=True)
class Landed:
    """What a manifest in an XCom says of money.

    :param dag_id: The DAG whose task has landed it.
    :param at: Unix seconds at which its last batch had ended, or at which it was landed if it does not say.
    :param amount: None if it is not known.
    :param tokens: None if it is not known.
    """

    dag_id: str
    batch_ids: frozenset[str]
    at: float
    amount: float | None = None
    currency: str = ""
    tokens: int | None = None

    @classmethod
    def of(cls, manifest: Manifest, dag_id: str, landed_at: float) -> Self:
        """Read a manifest that was landed at a time."""
        cost = manifest.cost or {}
        spent, tokens = amount(cost.get("amount")), amount(manifest.usage.get("total_tokens"))
        currency = cost.get("currency")
        if not isinstance(currency, str) or not 0 < len(currency) <= _LONGEST_CURRENCY:
            spent = None
        return cls(
            dag_id,
            frozenset(manifest.batch_ids),
            min(_seconds(manifest.completed_at, landed_at), landed_at),
            spent,
            "" if spent is None else storable(currency),
            None if tokens is None else int(tokens),
        )


@dataclass(frozen=True)
class Share:
    """What batches have cost that no other share has.

    :param amount: None if it is not known.
    """

    batch_ids: frozenset[str]
    at: float
    amount: float | None
    currency: str


def shares_of(results: Iterable[Landed]) -> list[Share]:
    """Share the costs of results out among their batches, each of which is in one share at most.

    A result that holds a smaller one, as after another round or a merge, costs what it has cost more than that.
    """
    smallest_first = sorted(results, key=lambda result: (result.amount is None, len(result.batch_ids), -result.at))
    shares: list[Share] = []
    share_of: dict[str, Share] = {}
    unshared: list[Landed] = []
    for result in smallest_first:
        new = frozenset(batch_id for batch_id in result.batch_ids if batch_id not in share_of)
        held = {share_of[batch_id] for batch_id in result.batch_ids - new}
        if result.amount is None or not all(
            share.batch_ids <= result.batch_ids and share.currency == result.currency for share in held
        ):
            unshared.append(result)
        elif new:
            more = max(0.0, result.amount - sum(share.amount or 0.0 for share in held))
            shares.append(Share(new, result.at, more, result.currency))
            share_of.update(dict.fromkeys(new, shares[-1]))
    for result in unshared:
        if new := frozenset(batch_id for batch_id in result.batch_ids if batch_id not in share_of):
            shares.append(Share(new, result.at, None, ""))
            share_of.update(dict.fromkeys(new, shares[-1]))
    return shares


def spend_since(shares: Iterable[Share], since: float) -> dict[str, Any]:
    """Add up what was spent from a time on: `amounts` by currency, and `unknown` results whose cost is not known."""
    amounts: dict[str, list[float]] = {}
    unknown = 0
    for share in shares:
        if share.at >= since:
            if share.amount is None:
                unknown += 1
            else:
                amounts.setdefault(share.currency, []).append(share.amount)
    return {"amounts": {name: round(math.fsum(amounts[name]), 8) for name in sorted(amounts)}, "unknown": unknown}


def costs_of_batches(results: Iterable[Landed], batch_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Say what is known of each batch: what the smallest result that names it has cost, and of how many batches it is.

    Of two results of as many batches, the one with a known cost counts, or else the newer one.
    """
    wanted = frozenset(batch_ids)
    best_last = sorted(results, key=lambda result: (-len(result.batch_ids), result.amount is not None, result.at))
    return {
        batch_id: {
            "amount": result.amount,
            "currency": result.currency,
            "tokens": result.tokens,
            "batches": len(result.batch_ids),
        }
        for result in best_last
        if result.amount is not None or result.tokens is not None
        for batch_id in result.batch_ids & wanted
    }


def _seconds(iso: str | None, otherwise: float) -> float:
    try:
        at = datetime.fromisoformat(iso or "")
        return at.timestamp() if at.tzinfo else otherwise
    except (ValueError, OverflowError):
        return otherwise
