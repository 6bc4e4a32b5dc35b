"""What Airflow's database holds of landed results: the manifests in XComs, read for all users."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from airflow.utils.session import create_session
from sqlalchemy import Text, and_, cast, func, select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.jobs.job_run import MANIFEST_KEY
from airflow_provider_kimi.ui.result_view import manifest_of
from airflow_provider_kimi.ui.spend import Landed

#: The longest time over which spend is added up.
DAYS = 30

#: Most XComs that are read, and how many of them are held at a time.
MOST_XCOMS, _AT_ONCE = 10_000, 50

#: Most batches of all results together: sums over them must not keep the API server busy.
MOST_BATCHES = 100_000

#: Most characters of one; a manifest of a thousand batches has fewer.
_MOST_CHARS = 200_000

#: What only tasks push that have landed a result.
_OF_LANDINGS = (MANIFEST_KEY, "plain_locations")


@dataclass(frozen=True)
class Recent:
    """The results of the last days.

    :param now: Unix seconds when they were read.
    :param is_whole: Whether these are all that there are.
    """

    results: tuple[Landed, ...]
    now: float
    is_whole: bool = True


def read_recent(most: int = MOST_XCOMS, most_batches: int = MOST_BATCHES) -> Recent:
    """Read what the results of the last days have cost. Blocks.

    :param most: How many XComs are read, the newest first.
    :param most_batches: How many batches these may name; the XCom that names more is the first that is left out.
    :raises KimiNoAnswerError: The database does not answer.
    """
    now = datetime.now(UTC)
    results: list[Landed] = []
    count = batches = 0
    try:
        for dag_id, value, landed_at in _xcoms(now - timedelta(days=DAYS), most):
            count += 1
            if (manifest := manifest_of(value)) is not None:
                batches += len(manifest.batch_ids)
                if batches > most_batches:
                    break
                results.append(Landed.of(manifest, dag_id, landed_at.timestamp()))
    except SQLAlchemyError as error:
        raise KimiNoAnswerError(
            f"Airflow's database could not be read ({type(error).__name__}): what results have cost is not known now. "
            "Batches go on as they were. The log of the API server may have the details, if this lasts."
        ) from None
    return Recent(tuple(results), now.timestamp(), count < most and batches <= most_batches)


def _xcoms(since: datetime, most: int) -> Iterator[Any]:
    """Yield the DAG, value and time of XComs that may be manifests, the newest first."""
    xcom = XComModel
    ours = (
        select(xcom.dag_run_id, xcom.task_id, xcom.map_index)
        .where(xcom.key.in_(_OF_LANDINGS), xcom.timestamp >= since)
        .distinct()
        .subquery()
    )
    statement = (
        select(xcom.dag_id, xcom.value, xcom.timestamp)
        .join(
            ours,
            and_(
                xcom.dag_run_id == ours.c.dag_run_id,
                xcom.task_id == ours.c.task_id,
                xcom.map_index == ours.c.map_index,
            ),
        )
        .where(
            xcom.key.in_((MANIFEST_KEY, XCOM_RETURN_KEY)),
            xcom.timestamp >= since,
            func.length(cast(xcom.value, Text)) <= _MOST_CHARS,
        )
        .order_by(xcom.timestamp.desc())
        .limit(most)
    )
    with create_session(scoped=False) as session:
        yield from session.execute(statement.execution_options(yield_per=_AT_ONCE))
