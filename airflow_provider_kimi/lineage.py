"""Lineage of batches and of landed results, for OpenLineage.

Airflow's OpenLineage provider asks the operators for it. Without that provider nothing of OpenLineage is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.api.ids import read_batch_ids
from airflow_provider_kimi.files.locations import located
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.outside import without_connection

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def dataset_name(uri: str) -> tuple[str, str]:
    """Name a file as OpenLineage does: its storage, and its path there, without the connection in its URI."""
    scheme, _, rest = without_connection(located(uri)).partition("://")
    if scheme == "file":
        return "file", rest
    bucket, _, key = rest.partition("/")
    if scheme in ("http", "https"):
        key = key.partition("?")[0]  # what is behind it may be a signature
    return f"{scheme}://{bucket}", key


def lineage_of_batches(batch_ids: Any, kimi_conn_id: str, source: Any = None) -> OperatorLineage[Any, Any]:
    """Name the batches of a task, and the input that they were made from.

    :param source: The input; only a URI is a data set.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    ids = read_batch_ids(batch_ids)
    return OperatorLineage(inputs=_inputs(source), run_facets=_batches(ids, kimi_conn_id))


def lineage_of_result(manifest: Manifest, kimi_conn_id: str, source: Any) -> OperatorLineage[Any, Any]:
    """Name the files of a result, and the input whose columns they hold; only a URI is a data set."""
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    counts = manifest.counts
    rows = {"results_file": counts["total"], "dead_letter_file": counts["total"] - counts["succeeded"]}
    outputs = []
    for field, uri in manifest.files.items():
        if field == "report_file":  # a page, and no data set
            continue
        namespace, name = dataset_name(uri)
        facets: dict[str, Any] = {}
        if field in rows:
            facets["outputStatistics"] = OutputStatisticsOutputDatasetFacet(rowCount=rows[field])
        outputs.append(OutputDataset(namespace=namespace, name=name, outputFacets=facets))
    return OperatorLineage(
        inputs=_inputs(source), outputs=outputs, run_facets=_batches(manifest.batch_ids, kimi_conn_id)
    )


def _inputs(source: Any) -> list[Any]:
    from airflow.providers.common.compat.openlineage.facet import Dataset

    if not isinstance(source, str):
        return []
    try:
        namespace, name = dataset_name(source)
    except ValueError:  # nobody could read it; the rest of the lineage stands
        return []
    return [Dataset(namespace=namespace, name=name)]


def _batches(ids: Sequence[str], kimi_conn_id: str) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import ExternalQueryRunFacet

    base_url = KimiHook(kimi_conn_id).settings.base_url
    return {"externalQuery": ExternalQueryRunFacet(externalQueryId=",".join(ids), source=base_url)}
