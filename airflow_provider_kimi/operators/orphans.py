"""The operator that finds batches that no run takes care of, and doubles."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, get_args

from airflow_provider_kimi.account.orphans import Orphan, OrphanAction, find_orphans, may_be_orphan, owner_of
from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.ids import in_path
from airflow_provider_kimi.calls.batch_list import MAX_BATCHES_SEARCHED, find_batches
from airflow_provider_kimi.calls.cancel import cancel_batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import Context, run_state
from airflow_provider_kimi.exceptions import KimiError, KimiInputError
from airflow_provider_kimi.fields import (
    check_choice,
    check_columns,
    check_flag,
    check_seconds,
    check_texts,
    check_whole_number,
    said_list,
)
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.links import LINKS, show_links
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.rendering import TextTemplates, known
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing


class KimiOrphanBatchesOperator(TextTemplates):
    """List batches of this provider that no run takes care of, and cancel them or land their answers.

    An orphan is a batch that runs although its run has ended or does not exist, or one that has ended with answers
    although its run failed or does not exist. (Whether a failed run has landed them is not known; landing twice does no
    harm.) A batch of a queued or running run is never an orphan. To adopt an orphan, clear its task, which attaches to
    it.

    Doubles are listed too, whatever their run: batches whose rows an older batch of the same work holds as well, which
    are paid twice. A double is cancelled as an orphan is, once its run has ended; before, the run may wait for it.

    By default nothing is changed.

    :param action: ``cancel`` cancels orphans that run; ``harvest`` lands those that have ended, each into a directory
        of ``output`` that has the name of its batch.
    :param dry_run: Only list and log them.
    :param output: URI of the directory to land in. Templated.
    :param dag_ids: DAGs whose batches to search: one id, a list, or the rendered text of a list; None for all.
        Templated.
    :param max_age: How old batches may be, timedelta or seconds.
    :param unknown_runs: Act also on batches whose run this Airflow does not have: it was deleted, or belongs to another
        Airflow that shares the account. They are listed in any case.
    :param max_batches_searched: How many batches of the account to search.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: A dict for each orphan: ``batch_id``, ``status``, ``dag_id``, ``run_id``, ``task_id``, ``run_state`` (None
        if unknown), ``running``, ``completed``, ``total``, ``double_of`` (the older batch of the same work, or None),
        and ``outcome``: what was done, or "".
    """

    template_fields: Sequence[str] = ("output_directory", "dag_ids", "kimi_conn_id")
    operator_extra_links = LINKS
    ui_color = "#ffe0d9"

    def __init__(
        self,
        *,
        action: OrphanAction = "cancel",
        dry_run: bool = True,
        output: str | None = None,
        dag_ids: str | Sequence[str] | None = None,
        max_age: timedelta | float = timedelta(days=30),
        unknown_runs: bool = False,
        max_batches_searched: int = MAX_BATCHES_SEARCHED,
        kimi_conn_id: str = KimiHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_location("output", output)
        check_choice("action", action, get_args(OrphanAction))
        check_flag("dry_run", dry_run)
        check_flag("unknown_runs", unknown_runs)
        check_whole_number("max_batches_searched", max_batches_searched)
        if action == "harvest" and not dry_run and output is None:
            raise ValueError("action='harvest' needs output, the directory to land in")
        check_texts(output=as_uri(output))
        _read_dag_ids(known(dag_ids))
        self.action = action
        self.only_list = dry_run  # BaseOperator.dry_run is a method
        self.output_directory = output
        self.dag_ids = dag_ids
        self.max_age = check_seconds("max_age", max_age)
        self.unknown_runs = unknown_runs
        self.max_batches_searched = max_batches_searched
        check_texts(kimi_conn_id=kimi_conn_id)
        self.kimi_conn_id = kimi_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Search the batches, then act."""
        with airflow_errors(self):
            check_location("output", self.output_directory)
            calls = Calls(KimiHook(self.kimi_conn_id), self.log)
            show_links(context, calls.hook)
            orphans = self._find(calls, _read_dag_ids(self.dag_ids))
            self.log.info("%s batches have no owner, or are doubles.", len(orphans))
            report: list[dict[str, Any]] = storable(
                [{**asdict(orphan), "outcome": self._treat(calls, orphan)} for orphan in orphans]
            )
            return report

    def _find(self, calls: Calls, dag_ids: Collection[str] | None) -> list[Orphan]:
        since = time.time() - self.max_age
        search = find_batches(
            calls,
            lambda batch: may_be_orphan(batch, since, dag_ids),
            since=since,
            most=self.max_batches_searched,
        )
        owners = {owner for batch in search.batches if (owner := owner_of(batch)) is not None}
        states = {owner: run_state(owner.dag_id, owner.run_id) for owner in owners}
        return find_orphans(search.batches, states)

    def _treat(self, calls: Calls, orphan: Orphan) -> str:
        self.log.warning("%s", orphan.describe())
        if self.only_list or not orphan.takes(self.action, self.unknown_runs):
            return ""
        try:
            if self.action == "cancel":
                return cancel_batch(calls, orphan.batch_id).status
            output = f"{str(self.output_directory).rstrip('/')}/{in_path(orphan.batch_id)}"
            collect(calls, Landing([orphan.batch_id], output))
        except KimiError as error:
            self.log.warning("%s", error)
            return f"not done: {error}"
        return f"landed in {output}"


def _read_dag_ids(given: object) -> Collection[str] | None:
    """Read `dag_ids`: one id, a list, or the text of a list; None for all DAGs.

    :raises KimiInputError: It is something else.
    """
    ids: Any = said_list(given)
    try:
        check_columns("dag_ids", None if ids == [] else ids, "DAG")
    except ValueError as error:
        raise KimiInputError(f"{error}. Nothing was cancelled or landed.") from None
    return None if ids is None else [ids] if isinstance(ids, str) else list(ids)
