"""The reserve: what the platform sets aside of the balance before a batch starts."""

from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.fetch import fetch_file
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.jobs.estimate import completion_tokens, worst_case
from airflow_provider_kimi.jobs.sampling import survey
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.spool import Slice


def is_beyond_balance(calls: Calls, batch: Batch) -> bool:
    """Whether the balance does not cover the reserve of a batch; true where that cannot be told."""
    price = PRICE_LISTS[calls.hook.settings.billing_region].models.get(Tags.of(batch).model or "")
    if price is None or batch.input_file_id is None:
        return True
    with TemporaryDirectory(prefix="kimi-reserve-") as folder:
        path = Path(folder) / "input.jsonl"
        try:
            balance = calls.hook.get_balance().available_balance
            lines = fetch_file(calls, batch.input_file_id, path, expected_lines=0, names_requests=True).lines
        except KimiError as error:
            calls.log.info("Whether the balance covers batch %s could not be read: %s", batch.id, error)
            return True
        found = survey([Slice(path, 0, path.stat().st_size, lines)])
    return worst_case(completion_tokens(found.asked, 0), price) > balance
