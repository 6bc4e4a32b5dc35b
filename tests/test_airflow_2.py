"""What a task asks of Airflow 2, which is its database: Variables, states, and what earlier runs have returned."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from airflow import __version__ as AIRFLOW
from airflow.providers.common.compat import sdk as compat_sdk

from airflow_provider_kimi import compat
from tests.support.tasks import TaskInstanceRecord

pytestmark = pytest.mark.skipif(not AIRFLOW.startswith("2."), reason="Airflow 3 answers over its API")

DAYS = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.fixture
def session() -> Iterator[Any]:
    """A session on tables that hold nothing."""
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from airflow.utils.session import create_session

    import_all_models()  # type: ignore[no-untyped-call]
    import_module("airflow.providers.fab.auth_manager.models")  # Airflow's own tables refer to its
    Base.metadata.create_all(settings.engine)
    with create_session() as made:
        yield made
    Base.metadata.drop_all(settings.engine)


def add_runs(session: Any) -> list[TaskInstanceRecord]:
    """Add a run of each day, with one task instance each."""
    from airflow.models import dagrun, taskinstance

    new_run: Any = dagrun.DagRun
    new_instance: Any = taskinstance.TaskInstance
    with compat_sdk.DAG("reviews", schedule=None, start_date=DAYS[0]):
        task = compat_sdk.BaseOperator(task_id="label")
    records = []
    for day in DAYS:
        run = new_run(dag_id="reviews", run_id=f"scheduled__{day:%F}", execution_date=day, run_type="scheduled")
        session.add(run)
        session.flush()
        session.add(new_instance(task, run_id=run.run_id, state="failed"))
        records.append(TaskInstanceRecord(run_id=run.run_id))
    session.commit()
    return records


def test_variables_are_listed_by_how_they_begin_without_wildcards(session: Any) -> None:
    for key in ("kimi_claim.a_b.1", "kimi_claim.a_b.2", "kimi_claim.axb.3", "other"):
        compat.write_variable(key, "x")
    assert sorted(compat.variable_keys("kimi_claim.a_b.")) == ["kimi_claim.a_b.1", "kimi_claim.a_b.2"]
    compat.delete_variable("kimi_claim.a_b.1")
    compat.delete_variable("never there")
    assert compat.variable_keys("kimi_claim.a_b.") == ["kimi_claim.a_b.2"]
    assert [compat.read_variable(key) for key in ("other", "never there")] == ["x", None]


def test_the_state_of_any_task_instance_is_read(session: Any) -> None:
    (run, *_) = add_runs(session)
    place = ("reviews", run.run_id, "label")
    assert compat.instance_state(*place, -1) == "failed"
    assert compat.instance_state(*place, 0) == "removed"
    assert compat.instance_state("reviews", "deleted", "label", -1) == "removed"


def test_what_the_latest_run_before_has_returned_is_read_and_nothing_of_a_later_one(session: Any) -> None:
    first, second, third = add_runs(session)
    assert compat.read_last_return({"ti": first}) is None  # type: ignore[typeddict-item]
    new_xcom: Any = compat_sdk.XCom
    for record in (first, third):
        place = {"dag_id": record.dag_id, "task_id": record.task_id, "run_id": record.run_id}
        new_xcom.set(key="return_value", value=record.run_id, session=session, **place)
    session.commit()
    assert compat.read_last_return({"ti": second}) == first.run_id  # type: ignore[typeddict-item]
    assert compat.read_last_return({"ti": third}) == third.run_id  # type: ignore[typeddict-item]
