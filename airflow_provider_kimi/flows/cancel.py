"""Cancel: ask where it can help; a batch that ended first is a result, not an error."""

from airflow_provider_kimi.api.models import CANCELLABLE_STATUSES, Batch
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.flows.log import Log
from airflow_provider_kimi.flows.patience import read_patiently
from airflow_provider_kimi.hooks.kimi import KimiHook


def request_cancel(hook: KimiHook, batch_id: str, log: Log) -> Batch:
    """Ask for a cancel if the batch's status allows one, and return the batch as it then stands.

    While results are assembled (`finalizing`) nothing is asked: the rows are done and billed by then, and a cancel
    was seen to lose them.
    """
    batch = read_patiently(lambda: hook.get_batch(batch_id), log)
    if batch.status not in CANCELLABLE_STATUSES:
        log.info("Batch %s is %s: there is nothing to cancel.", batch_id, batch.status)
        return batch
    try:
        # Asking twice does no harm, so a cancel may be repeated like a read.
        return read_patiently(lambda: hook.cancel_batch(batch_id), log)
    except KimiApiError as error:
        if error.status_code != 400:
            raise
        log.info("The cancel of batch %s came too late: %s", batch_id, error)
        return read_patiently(lambda: hook.get_batch(batch_id), log)
