"""The operator that deletes old answers of a cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_kimi.compat import Context, XComArg
from airflow_provider_kimi.fields import check_flag, check_seconds, check_texts
from airflow_provider_kimi.files.locations import as_uri, check_location
from airflow_provider_kimi.rendering import TextTemplates


class KimiPurgeCacheOperator(TextTemplates):
    """Delete the answers of a cache that were kept long ago; see ``cache`` of ``KimiBatchOperator``.

    Runs that read or write the cache at the same time are not disturbed. Results that were landed stay as they are.
    It calls nothing of the platform, and needs no connection to it.

    :param cache: URI of the directory. Templated.
    :param older_than: Delete what was kept this long ago, or longer (timedelta or seconds); 0 deletes everything.
    :param dry_run: Delete nothing; log and return the same.
    :return: A dict: ``entries`` and ``bytes``, the answers that are left and the size of their files; ``hits``, rows
        that the cache has answered in runs that are not older than this; ``removed_entries`` and ``removed_bytes``.
    :raises AirflowFailException: The directory cannot be used.
    """

    template_fields: Sequence[str] = ("cache",)
    ui_color = "#ffe0d9"

    def __init__(
        self,
        *,
        cache: str | XComArg,
        older_than: timedelta | float,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_location("cache", cache)
        check_texts(cache=as_uri(cache))
        check_flag("dry_run", dry_run)
        self.cache = cache
        self.older_than = check_seconds("older_than", older_than, may_be_zero=True)
        self.only_list = dry_run  # BaseOperator.dry_run is a method

    def execute(self, context: Context) -> dict[str, int]:
        """Look at the names of its files, and delete those that are too old."""
        from airflow_provider_kimi.airflow_errors import airflow_errors
        from airflow_provider_kimi.cache.store import AnswerCache

        with airflow_errors(self):
            uri = as_uri(self.cache)
            left, removed = AnswerCache(uri).purge(timedelta(seconds=self.older_than), dry_run=self.only_list)
            self.log.info(
                "%s of %s answers %s from cache %s.",
                f"{removed.entries:,}",
                f"{left.entries + removed.entries:,}",
                "would be deleted" if self.only_list else "were deleted",
                uri,
            )
            return {**left._asdict(), "removed_entries": removed.entries, "removed_bytes": removed.bytes}
