"""Airflow's Variables behind a task's process: kept in Airflow's own table, as its API server keeps them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow import settings
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.variable import Variable
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms
from airflow.utils.session import create_session

from tests.support.supervisor import Supervisor, supervised


@dataclass
class VariableKeeper(Supervisor):
    """Keeps Variables, beside what every supervisor answers. Each answer is a transaction of its own."""

    def send(self, msg: Any) -> Any:
        """Answer one message."""
        match msg:
            case comms.GetVariableKeys(prefix=prefix, limit=limit, offset=offset):
                with create_session() as session:
                    found = session.query(Variable.key).filter(Variable.key.startswith(prefix, autoescape=True))
                    keys = [key for (key,) in found.order_by(Variable.key).offset(offset).limit(limit)]
                    return comms.VariableKeysResult(keys=keys, total_entries=found.count())
            case comms.GetVariable(key=key):
                with create_session() as session:
                    one = session.query(Variable).filter_by(key=key).one_or_none()
                    value = None if one is None else one.val
                if one is None:
                    return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": key})
                return comms.VariableResult(key=key, value=value)
            case comms.PutVariable(key=key, value=value):
                with create_session() as session:
                    session.query(Variable).filter_by(key=key).delete()
                    session.add(Variable(key=key, val=value))  # type: ignore[no-untyped-call]
                return comms.OKResponse(ok=True)
            case comms.DeleteVariable(key=key):
                with create_session() as session:
                    session.query(Variable).filter_by(key=key).delete()
                return comms.OKResponse(ok=True)
        return super().send(msg)


@contextmanager
def airflow_tables() -> Iterator[None]:
    """Make Airflow's tables, and drop them at the end."""
    import_all_models()  # type: ignore[no-untyped-call]
    Base.metadata.create_all(settings.engine)
    try:
        yield
    finally:
        Base.metadata.drop_all(settings.engine)


@contextmanager
def keeping(defined: Mapping[str, str]) -> Iterator[VariableKeeper]:
    """Be a task's process whose Airflow keeps Variables; no others are left at the end.

    :param defined: What is there.
    """
    with supervised(VariableKeeper()) as keeper:
        for key, value in defined.items():
            keeper.send(comms.PutVariable(key=key, value=value, description=None))
        yield keeper
        with create_session() as session:
            session.query(Variable).delete()
