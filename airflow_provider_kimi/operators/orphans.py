"""The operator that finds batches that no run takes care of, and doubles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, get_args

from airflow_provider_kimi.choices import DEFAULT_CONN_ID, MAX_BATCHES_SEARCHED, OrphanAction
from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.exceptions import KimiInputError
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
from airflow_provider_kimi.links import LINKS
from airflow_provider_kimi.rendering import TextTemplates, known


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
        kimi_conn_id: str = DEFAULT_CONN_ID,
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
        read_dag_ids(known(dag_ids))
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
        from airflow_provider_kimi.tasks.orphans import treat_orphans

        return treat_orphans(self, context)


def read_dag_ids(given: object) -> Collection[str] | None:
    """Read `dag_ids`: one id, a list, or the text of a list; None for all DAGs.

    :raises KimiInputError: It is something else.
    """
    ids: Any = said_list(given)
    try:
        check_columns("dag_ids", None if ids == [] else ids, "DAG")
    except ValueError as error:
        raise KimiInputError(f"{error}. Nothing was cancelled or landed.") from None
    return None if ids is None else [ids] if isinstance(ids, str) else list(ids)
