"""Which result may take the place of which."""

from collections.abc import Collection, Mapping

from airflow_provider_kimi.exceptions import KimiInputError, KimiResultError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.promises import poorer


def check_replaced(
    uri: str, works: Collection[str], landed_by: Mapping[str, str] | None, earlier: Manifest, *, may_replace: bool
) -> str:
    """Refuse to replace a result that is not to be replaced; warn of one of other batches; empty for any other.

    :param uri: Of the directory that holds the earlier result.
    :param works: Of the new result: its batches, or its input if no row was sent.
    :param landed_by: The task instance that lands the new one; None if it is not known.
    :param may_replace: Whether the result of other batches may be replaced.
    """
    is_shared = bool(earlier.works & set(works))
    if earlier.works <= set(works) or (is_shared and landed_by and landed_by == earlier.landed_by):
        return ""
    held, ids = f"{uri} holds the result of other batches", ", ".join(earlier.batch_ids) or "none, as no row was sent"
    remedy = (
        "It is kept, and nothing was landed or deleted; the results of this task stay on the platform. Give each "
        "result, and each mapped task, its own directory, such as one with {{ run_id }} and {{ ti.map_index }} in its "
        f"name, then clear this task: nothing is paid again. Batches of that result: {ids}."
    )
    if is_shared:
        raise KimiInputError(f"{uri} holds the result of these batches and of others. {remedy}")
    if landed_by and earlier.landed_by and _is_sibling(landed_by, earlier.landed_by):
        raise KimiInputError(f"{held} of this run, which another task has landed. {remedy}")
    if not may_replace:
        raise KimiInputError(f"{held}, which may be the only copy. {remedy}")
    return f"{held}, which is replaced. Give each result its own directory. Batches of that result: {ids}."


def _is_sibling(task: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two task instances differ, and are of the same run."""
    return task != other and all(task.get(name) == other.get(name) for name in ("dag_id", "run_id"))


def check_not_poorer(uri: str, new: Manifest, earlier: Manifest) -> None:
    """Refuse to replace a result of the same batches by a poorer one, or by one that may be.

    A batch that failed as a whole may have been replaced by another one since.
    """
    if earlier.schema_version > new.schema_version or "total" not in earlier.counts:
        raise KimiInputError(
            f"The manifest in {uri} does not say what its result has in a way that this version of the provider can "
            f"read (schema_version {earlier.schema_version}). The result is kept, and nothing was landed. Land with "
            "the version that wrote it, or into another output."
        )
    if not (lack := poorer(new, earlier)):
        return
    if "columns" in lack:
        raise KimiInputError(
            f"The result would have {lack} in {uri}, because the input has changed since, or the requests or what the "
            "create noted of them cannot be read. The earlier result is kept, and nothing was landed. Pass the input "
            "as it was, or another output."
        )
    raise KimiResultError(
        f"What the platform gives now has {lack} in {uri}. The earlier result is kept, and nothing was landed. Nothing "
        f"is lost: clear this task later, and it lands what there is then. Batches: {', '.join(new.batch_ids)}."
    )


def is_same_landing(one: Manifest, other: Manifest) -> bool:
    """Whether two attempts of one task instance have landed the same."""
    return (
        one.works == other.works
        and one.landed_by == other.landed_by
        and str(one.results_file).rpartition(".")[2] == str(other.results_file).rpartition(".")[2]
        and not poorer(one, other)
    )
