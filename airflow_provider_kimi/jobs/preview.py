"""A preview: a sample of the rows is asked in a new way, and compared with an earlier result. Nothing follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.choices import OnIncomplete
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.jobs.in_turns import Ended, InTurns
from airflow_provider_kimi.jobs.job_run import JobRun
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.compared import Comparison
from airflow_provider_kimi.results.earlier import NOTHING_CHANGED, Earlier
from airflow_provider_kimi.results.label_changes import LabelChanges, fitted, table
from airflow_provider_kimi.results.landing import Collected
from airflow_provider_kimi.results.manifest import billed
from airflow_provider_kimi.results.shortfall import shortfall

#: The directory within the output that holds the result of a preview.
PREVIEW_NAME = "preview"


@dataclass(frozen=True)
class PreviewJob:
    """A preview in one try of its task.

    :param in_turns: How its batch is created and waited for.
    :param spending: What it may spend.
    :param on_incomplete: What becomes of the task if the batch does not complete.
    :param comparison: With what its answers are compared.
    """

    run: JobRun
    in_turns: InTurns
    spending: Spending
    on_incomplete: OnIncomplete
    comparison: Comparison

    def go_on(
        self, batch_ids: Sequence[str], event: BatchEvent | None = None, pending: Pending | None = None
    ) -> dict[str, Any]:
        """Wait, land beside the result, and compare; return the table of what has changed.

        :param event: The end of the wait, if the task has waited already.
        :param pending: What is still to be created; None if that is nothing.
        """
        ended, task = self.in_turns.until_ended(batch_ids, event, pending), self.run.task
        with airflow_errors(task):
            collected = self.run.land(ended.batch_ids, within=PREVIEW_NAME)
            self.spending.settle(self.run.calls, collected.manifest.cost, collected.batches)
            if said := self._incomplete(collected, ended):
                if ended.unsent or self.on_incomplete == "fail":
                    raise KimiBatchError(said)
                task.log.warning("Going on, as on_incomplete='continue' asks. %s", said)
            report = self._report(collected)
            task.log.info("%s", table(report))
            self.run.steps.accepted(self.run.calls, collected)
        return report

    def _report(self, collected: Collected) -> dict[str, Any]:
        manifest = collected.manifest
        earlier, changes = self._changes(manifest)
        rows = collected.tally.asked
        whole = max(rows, *(Tags.of(batch).preview_rows or 0 for batch in collected.batches))
        return fitted(
            {
                "preview": True,
                "rows": rows,
                "whole_rows": whole,
                "compared": changes.rows,
                "changed": changes.changed,
                "not_compared": dict(changes.unlike),
                "changes": changes.listed,
                "cost": manifest.cost,
                "whole_cost": whole_cost(manifest.cost, rows, whole),
                "results_file": manifest.results_file,
                "compared_with": earlier.uri if earlier else None,
            }
        )

    def _changes(self, manifest: Manifest) -> tuple[Earlier | None, LabelChanges]:
        """Compare with the earlier result, if there is one.

        :raises KimiInputError: It cannot be read; what was asked is landed by then.
        """
        try:
            if (earlier := self.comparison.earlier()) is None:
                return None, LabelChanges()
            with TemporaryDirectory(prefix="kimi-preview-") as folder:
                return earlier, self.comparison.changes(earlier, manifest, Path(folder))
        except KimiInputError as error:
            now = f"The answers of the preview are landed in {manifest.results_file}, and compared with nothing yet."
            remedy = "Or name another result with compare_with. Then clear this task: nothing is paid again."
            raise KimiInputError(f"{str(error).replace(NOTHING_CHANGED, now)} {remedy}") from None

    def _incomplete(self, collected: Collected, ended: Ended) -> str:
        """Say why not every row was asked to the end, and what to do; empty if all were."""
        manifest = collected.manifest
        now = f"What was answered is landed in {manifest.results_file}, for {billed(manifest)}."
        if ended.unsent is not None:
            return f"{ended.unsent.rows:,} rows of the preview were not sent, because it is too late. {now}"
        found = shortfall(self.run.calls, ended.event)
        return "" if found is None else f"{found.cause} {now} Clear this task to ask the rest. {found.details}"


def whole_cost(cost: Mapping[str, Any] | None, rows: int, whole: int) -> dict[str, Any] | None:
    """What all rows are likely to cost at the price of those that were asked; None where that is not known."""
    if cost is None or cost.get("amount") is None or not rows:
        return None
    return {**cost, "amount": round(cost["amount"] / rows * whole, 8)}
