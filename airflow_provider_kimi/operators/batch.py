"""The operators for batches, under the path that DAGs import them from."""

from airflow_provider_kimi.operators.cancel import KimiCancelBatchOperator
from airflow_provider_kimi.operators.create import KimiCreateBatchOperator
from airflow_provider_kimi.operators.job import KimiBatchOperator
from airflow_provider_kimi.operators.results import KimiBatchResultsOperator

__all__ = ["KimiBatchOperator", "KimiBatchResultsOperator", "KimiCancelBatchOperator", "KimiCreateBatchOperator"]
