"""
Once a night, look after the account: batches that no run waits for, and files that nobody needs.

The platform keeps at most 1,000 files, and refuses uploads beyond them. Batches of runs that were deleted or marked
failed go on, and are billed.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator

with DAG(
    dag_id="example_kimi_maintenance",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["example", "kimi"],
    doc_md=__doc__,
):
    orphans = KimiOrphanBatchesOperator(task_id="orphans", action="cancel", dry_run=False)
    delete = KimiDeleteFilesOperator(task_id="delete", older_than=timedelta(days=30))
    orphans >> delete
