"""The pilot: a first small batch, whose answers decide whether the rest is sent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kimi.api.catalogue import PriceList
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.failure_limits import FailureLimit, breaches
from airflow_provider_kimi.results.manifest import billed
from airflow_provider_kimi.results.tally import Tally

#: Share of the rows of a pilot that may have no usable answer, where the task sets no limit, or asks such rows again.
PILOT_RATIO = 0.2

#: The directory within the output that holds the result of the pilot.
PILOT_NAME = "pilot"


@dataclass(frozen=True)
class Pilot:
    """Decides by a first batch about the others.

    :param limits: On its unusable rows.
    :param max_cost: Most that the job may cost, in the currency of the prices; None for no limit.
    """

    limits: Sequence[FailureLimit]
    max_cost: float | None
    prices: PriceList

    def check(self, tally: Tally, manifest: Manifest, others: int) -> None:
        """Look at the result of a pilot.

        :param others: How many rows follow.
        :raises KimiBatchError: It does not pass.
        """
        rows = tally.asked + others
        faults = faults_of_pilot(tally, manifest.cost, rows, self.limits, max_cost=self.max_cost, prices=self.prices)
        if faults:
            raise pilot_failed(faults, tally, manifest, rows)


def pilot_limits(limits: Iterable[FailureLimit], *, has_rounds: bool) -> list[FailureLimit]:
    """The limits of a pilot: those of the task, and a fifth of the rows where the task sets none for all of them.

    Rows that further rounds may put right count against that fifth only, or against the task's share if it is higher.
    """
    own = list(limits)
    shares = [limit.most for limit in own if limit.is_share and limit.status is None]
    if has_rounds:
        return [FailureLimit("the limit of a pilot", None, max([PILOT_RATIO, *shares]), is_share=True)]
    if any(limit.status is None for limit in own):
        return own
    return [*own, FailureLimit("the limit of a pilot", None, PILOT_RATIO, is_share=True)]


def faults_of_pilot(
    tally: Tally,
    cost: Mapping[str, Any] | None,
    rows: int,
    limits: Sequence[FailureLimit],
    *,
    max_cost: float | None,
    prices: PriceList,
) -> list[str]:
    """Say why the rest of a job is not to be sent; nothing if it is.

    :param cost: The `cost` of the pilot's manifest.
    :param rows: Of the whole job, the pilot's among them.
    :param max_cost: Most that the job may cost, in the currency of the prices; None for no limit.
    """
    faults = breaches(limits, tally)
    if max_cost is None:
        return faults
    amount: float | None = (cost or {}).get("amount")
    if amount is None:
        return [*faults, f"what it has cost is not known, and max_cost={prices.amount(max_cost)}"]
    whole = amount / max(tally.asked, 1) * rows
    if whole <= max_cost:
        return faults
    return [
        *faults,
        f"at its {prices.amount(amount)}, all {rows:,} rows would cost {prices.amount(whole)}, which is "
        f"more than max_cost={prices.amount(max_cost)}",
    ]


def pilot_failed(faults: Sequence[str], tally: Tally, manifest: Manifest, rows: int) -> KimiBatchError:
    """Say what happened, what is true now, and what to do."""
    return KimiBatchError(
        f"The pilot did not pass: {'; '.join(faults)}. {tally.summary()}. It is landed in {manifest.results_file}, for "
        f"{billed(manifest)}. The other {rows - tally.asked:,} rows were not asked, and cost nothing. Look at its "
        "answers. To go on with them, raise the limit (max_failed_ratio, max_failed_rows or max_cost) and clear this "
        "task: the rows of the pilot are not asked again. To change the prompt or the schema, change it, set "
        "on_changed_input='fresh' and clear this task: all rows are then asked anew."
    )
