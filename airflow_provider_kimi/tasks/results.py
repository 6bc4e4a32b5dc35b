"""How the results operator lands batches that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import map_index_of
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.job_run import MANIFEST_KEY
from airflow_provider_kimi.links import show_links
from airflow_provider_kimi.results.failure_limits import read_limits
from airflow_provider_kimi.results.shards import lacking_shards, saved_elsewhere
from airflow_provider_kimi.tasks.landing import LandingTask
from airflow_provider_kimi.tasks.upstream import read_landed_ids

if TYPE_CHECKING:
    from airflow_provider_kimi.operators.results import KimiBatchResultsOperator


class ResultsTask(LandingTask):
    """One try of the task."""

    operator: KimiBatchResultsOperator

    def run(self) -> dict[str, Any]:
        """Land, reconcile, judge."""
        operator, ti = self.operator, self.context["ti"]
        with airflow_errors(operator):
            read_limits(operator.max_failed_rows, operator.max_failed_ratio)  # refuses what a template rendered
            batch_ids = read_landed_ids(operator.batch_id, operator, ti, operator.log)
            calls = Calls(KimiHook(operator.kimi_conn_id), operator.log)
            show_links(self.context, calls.hook, batch_ids)
            collected = self.land(calls, batch_ids)
            ti.xcom_push(MANIFEST_KEY, collected.manifest.to_dict())  # it is shown if too many rows failed
            if map_index_of(ti) < 0 and (lack := lacking_shards(collected.batches)):
                operator.log.warning(
                    "Not all batches of a job are given, so the result lacks the rows of the others: %s. A task that "
                    "was marked success while it waited may not have created them.",
                    lack,
                )
            if owners := saved_elsewhere(collected.batches):
                operator.log.warning(
                    "Rows that were not sent, because a cache has answered them or they repeat others, are in no "
                    "batch, and not in this result. They are in the output of %s.",
                    owners,
                )
            self.publish(collected)
            self.judge(collected)
            return self.accepted(calls, collected)
