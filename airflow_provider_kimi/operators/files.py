"""The operator that keeps the account below its limit of files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_kimi.choices import DEFAULT_CONN_ID, MAX_BATCHES_SEARCHED
from airflow_provider_kimi.compat import Context, XComArg, run_state
from airflow_provider_kimi.fields import check_flag, check_seconds, check_texts, check_whole_number
from airflow_provider_kimi.links import LINKS, show_links
from airflow_provider_kimi.rendering import TextTemplates


class KimiDeleteFilesOperator(TextTemplates):
    """Delete files on the platform that are no longer needed; it keeps at most 1,000.

    Deletes only files that this provider uploaded or that belong to its batches, and none that a batch needs that has
    not ended. Images and videos, which runs share, stay while any batch of this provider runs. An input that no batch
    names stays until no batch can be working on it: seven days and six hours after its upload. A file that stays is
    logged with the reason. It is not an error, and neither is a file that does not exist.

    :param file_id: The files: one id, a list, or the rendered text of a list, such as the XComs ``input_file_ids``
        and ``output_file_ids``. None if ``older_than`` selects them. Templated.
    :param older_than: Delete every file that has not been needed for this long (timedelta or seconds), counted from its
        upload or from the end of its last batch, unless the run of the batch is queued or running, or unknown to this
        Airflow. Results that are not landed by then are lost. None if ``file_id`` names them.
    :param unknown_runs: With ``older_than``, delete also files of batches whose run this Airflow does not have: it was
        deleted, or belongs to another Airflow that shares the account.
    :param dry_run: Only log and return what would be deleted.
    :param max_batches_searched: How many batches of the account to search. If it has more, nothing is deleted, because
        one of the others may need a file.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The ids of the deleted files.
    :raises AirflowFailException: The account has more batches than ``max_batches_searched``.
    """

    template_fields: Sequence[str] = ("file_id", "kimi_conn_id")
    operator_extra_links = LINKS
    ui_color = "#ffe0d9"

    def __init__(
        self,
        *,
        file_id: str | Sequence[str] | XComArg | None = None,
        older_than: timedelta | float | None = None,
        unknown_runs: bool = False,
        dry_run: bool = False,
        max_batches_searched: int = MAX_BATCHES_SEARCHED,
        kimi_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (file_id is None) == (older_than is None):
            raise ValueError("pass either file_id, the files to delete, or older_than, their age")
        self.file_id = file_id
        check_flag("unknown_runs", unknown_runs)
        check_flag("dry_run", dry_run)
        check_whole_number("max_batches_searched", max_batches_searched)
        self.older_than = None if older_than is None else check_seconds("older_than", older_than, may_be_zero=True)
        self.unknown_runs = unknown_runs
        self.only_list = dry_run  # BaseOperator.dry_run is a method
        self.max_batches_searched = max_batches_searched
        check_texts(kimi_conn_id=kimi_conn_id)
        self.kimi_conn_id = kimi_conn_id

    def execute(self, context: Context) -> list[str]:
        """Search the batches, then delete."""
        from airflow_provider_kimi.account.delete import Deletion
        from airflow_provider_kimi.airflow_errors import airflow_errors
        from airflow_provider_kimi.api.ids import read_file_ids
        from airflow_provider_kimi.calls.patience import Calls
        from airflow_provider_kimi.hooks.kimi import KimiHook

        hook = KimiHook(self.kimi_conn_id)
        show_links(context, hook)
        with airflow_errors(self):
            deletion = Deletion(
                Calls(hook, self.log),
                dry_run=self.only_list,
                max_batches_searched=self.max_batches_searched,
            )
            if self.older_than is not None:
                return deletion.older_than(self.older_than, run_state, unknown_runs=self.unknown_runs)
            return deletion.named(read_file_ids(self.file_id))
